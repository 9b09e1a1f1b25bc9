//! Bounds the reading of messages: how long one takes, and how much memory all of them do.
//!
//! A message is read before its call is admitted, so that neither the limit of calls under way nor
//! a deadline bounds it. Here each has a time limit, and messages that are waited for have a limit
//! together, in number and in bytes. If there are more, the one that has been waited for longest is
//! refused: callers that are slow on purpose cannot keep out the others.
//!
//! A call of the contract has one message, which is handed on when its stream has ended. Decoded, a
//! message can take many times its bytes (a list of nulls ten times, a compressed one thousands of
//! times); so it is decoded when nothing is left to wait for. That takes milliseconds where a small
//! message takes microseconds, so half of the processors at most decode such messages at the same time.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    thread::available_parallelism,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body::{Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, PollSemaphore, WaitForCancellationFutureOwned};
use tower::BoxError;

use super::{
    call_record::{CallRecord, MessageRefusal},
    waiting::Waiting,
};
use crate::telemetry::Method;

/// Bytes that have come of messages that are waited for, all together.
const MOST_BYTES: usize = 128 * 1024 * 1024;
/// Messages that are waited for at the same time. Each takes about 10 KiB apart from its bytes.
const MOST_WAITING: usize = 16 * 1024;
/// A message of more bytes can take long to decode, and so can any that is compressed.
const SMALL: usize = 64 * 1024;
/// What comes before a message: a flag and its length.
const HEAD: usize = 5;

/// The limits, shared by all calls.
#[derive(Clone, Debug)]
pub(super) struct MessageLimits {
    timeout: Duration,
    largest: usize,
    queue: Arc<Mutex<Queue>>,
    /// Turns to decode a message that can take long.
    turns: Arc<Semaphore>,
    grace_over: CancellationToken,
}

/// The messages that are waited for, each with the task that reads it.
type Queue = Waiting<Waker>;

/// A body that keeps to the limits.
#[derive(Debug)]
pub(super) struct LimitedBody<B> {
    inner: B,
    limits: MessageLimits,
    record: CallRecord,
    /// `None`: a stream of messages, which are not kept.
    message: Option<Message>,
    /// Its place in the queue, once it was waited for.
    place: Option<u64>,
    end_of_waiting: Option<EndOfWaiting>,
    /// Kept until the message has been decoded, when tonic drops the body.
    turn: Option<OwnedSemaphorePermit>,
    waiting_for_turn: Option<PollSemaphore>,
}

/// The one message of a call, as far as it has come.
#[derive(Debug, Default)]
struct Message {
    head: [u8; HEAD],
    /// Bytes that have come, with the head.
    came: usize,
    kept: BytesMut,
}

/// What can end the wait for the rest of a message.
type EndOfWaiting = (Pin<Box<Sleep>>, Pin<Box<WaitForCancellationFutureOwned>>);

// === impl MessageLimits ===

impl MessageLimits {
    pub(super) fn new(timeout: Duration, largest: usize, grace_over: CancellationToken) -> Self {
        let turns = available_parallelism().map_or(1, |threads| threads.get().div_ceil(2));
        Self {
            timeout,
            largest,
            queue: Arc::default(),
            turns: Arc::new(Semaphore::new(turns)),
            grace_over,
        }
    }

    /// Puts the limits on the message of a call.
    pub(super) fn limit<B>(
        &self,
        request: Request<B>,
        method: Method,
        record: &CallRecord,
    ) -> Request<Box<LimitedBody<B>>> {
        let message = matches!(method, Method::Known(_)).then(Message::default);
        // Boxed: tonic keeps several places for a request until it has responded.
        request.map(|inner| {
            Box::new(LimitedBody {
                inner,
                limits: self.clone(),
                record: record.clone(),
                message,
                place: None,
                end_of_waiting: None,
                turn: None,
                waiting_for_turn: None,
            })
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a message of which this much has come, or notes how much has come of one that is there. Returns
/// its place, or `None` if it was removed to make room.
fn wait(queue: &mut Queue, place: Option<u64>, bytes: usize, waker: &Waker) -> Option<u64> {
    let place = match place {
        Some(place) => {
            queue.resize(place, bytes)?.clone_from(waker);
            place
        }
        None => queue.add(bytes, waker.clone()),
    };
    while queue.bytes() > MOST_BYTES || queue.len() > MOST_WAITING {
        queue.remove_oldest()?.wake();
    }
    Some(place)
}

// === impl Message ===

impl Message {
    /// What the head says that the message has, with the head. `None` before that has come.
    fn whole(&self) -> Option<usize> {
        let [_, a, b, c, d] = self.head;
        let length = u32::from_be_bytes([a, b, c, d]).try_into();
        (self.came >= HEAD).then(|| HEAD.saturating_add(length.unwrap_or(usize::MAX)))
    }

    /// Takes what has come, without what does not belong to the message.
    fn take(&mut self, mut bytes: Bytes) -> Bytes {
        let of_head = HEAD.saturating_sub(self.came).min(bytes.len());
        self.head[self.came.min(HEAD)..][..of_head].copy_from_slice(&bytes[..of_head]);
        self.came += of_head;
        let most = self.whole().map_or(0, |whole| whole - self.came);
        let rest = most.min(bytes.len() - of_head);
        self.came += rest;
        bytes.truncate(of_head + rest);
        bytes
    }

    /// Whether it is decoded at once.
    fn is_small(&self) -> bool {
        let [is_compressed, ..] = self.head;
        is_compressed == 0 && self.came <= SMALL
    }

    fn is_whole(&self) -> bool {
        self.whole() == Some(self.came)
    }
}

// === impl LimitedBody ===

impl<B> LimitedBody<B> {
    fn refuse(&self, refusal: MessageRefusal) -> BoxError {
        self.record.message_refused(refusal);
        refusal.into()
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<MessageRefusal> {
        let limits = &self.limits;
        let bytes = self
            .message
            .as_ref()
            .map_or(0, |message| message.kept.len());
        self.place = wait(&mut limits.queue(), self.place, bytes, cx.waker());
        if self.place.is_none() {
            return Poll::Ready(MessageRefusal::Overloaded);
        }
        let (timeout, grace_over) = self.end_of_waiting.get_or_insert_with(|| {
            let grace_over = limits.grace_over.clone().cancelled_owned();
            (Box::pin(sleep(limits.timeout)), Box::pin(grace_over))
        });
        if timeout.as_mut().poll(cx).is_ready() {
            return Poll::Ready(MessageRefusal::TooSlow);
        }
        grace_over
            .as_mut()
            .poll(cx)
            .map(|()| MessageRefusal::Stopping)
    }
}

impl<B> LimitedBody<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    /// Takes a piece of the body. Returns what is handed on at once.
    fn take(&mut self, bytes: Bytes) -> Option<Bytes> {
        let Some(message) = &mut self.message else {
            return Some(bytes);
        };
        let bytes = message.take(bytes);
        // What is too large is refused by its head.
        let is_too_large = message.whole() > Some(HEAD.saturating_add(self.limits.largest));
        let is_end = message.is_whole() && self.inner.is_end_stream() && message.is_small();
        if message.kept.is_empty() && (is_end || is_too_large) {
            return Some(bytes);
        }
        // Copied: a piece keeps the whole buffer in which it was read.
        message.kept.extend_from_slice(&bytes);
        (is_end || is_too_large).then(|| std::mem::take(&mut message.kept).freeze())
    }

    /// What was kept, when nothing more comes.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, MessageRefusal>> {
        let kept = self.message.as_ref().filter(|it| !it.kept.is_empty());
        let Some(is_small) = kept.map(Message::is_small) else {
            return Poll::Ready(Ok(None));
        };
        if !is_small && self.turn.is_none() {
            self.turn = Some(ready!(self.poll_turn(cx))?);
        }
        let message = self.message.as_mut();
        let kept = message.map(|message| std::mem::take(&mut message.kept).freeze());
        Poll::Ready(Ok(kept))
    }

    /// Waits for a turn to decode the message, within the limits of the wait for messages.
    fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<OwnedSemaphorePermit, MessageRefusal>> {
        let turns = || PollSemaphore::new(self.limits.turns.clone());
        let turn = self.waiting_for_turn.get_or_insert_with(turns);
        if let Poll::Ready(turn) = turn.poll_acquire(cx) {
            return Poll::Ready(turn.ok_or(MessageRefusal::Overloaded));
        }
        self.poll_waiting(cx).map(|refusal| {
            Err(match refusal {
                // It has come; the gateway has no time for it.
                MessageRefusal::TooSlow => MessageRefusal::Overloaded,
                other => other,
            })
        })
    }
}

impl<B> http_body::Body for LimitedBody<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => {
                    let rest = ready!(this.poll_rest(cx));
                    let rest = rest.map_err(|refusal| this.refuse(refusal)).transpose();
                    return Poll::Ready(rest.map(|rest| rest.map(Frame::data)));
                }
                Poll::Pending => {
                    return this
                        .poll_waiting(cx)
                        .map(|refusal| Some(Err(this.refuse(refusal))));
                }
            };
            // Trailers end the stream; gRPC gives those of a request no meaning.
            if let Ok(bytes) = frame.into_data()
                && let Some(bytes) = this.take(bytes)
            {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let keeps = self
            .message
            .as_ref()
            .is_some_and(|message| !message.kept.is_empty());
        !keeps && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for LimitedBody<B> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.limits.queue().remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_message_is_known_however_it_comes() {
        let message = [&[1, 0, 0, 0, 10][..], &[7; 10]].concat();
        let and_more = [&*message, &message].concat();
        for (bytes, piece) in (1..=30).flat_map(|piece| [(&message, piece), (&and_more, piece)]) {
            let (mut taken, mut got) = (Message::default(), Vec::new());
            for part in bytes.chunks(piece) {
                got.extend_from_slice(&taken.take(Bytes::copy_from_slice(part)));
                assert_eq!(taken.is_whole(), got.len() == message.len(), "{piece}");
            }
            assert_eq!(got, message, "{piece}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_waits_for_its_turn_as_long_as_for_its_bytes() {
        let timeout = Duration::from_secs(30);
        let limits = MessageLimits::new(timeout, 1024, CancellationToken::new());
        let all = u32::try_from(limits.turns.available_permits()).unwrap();
        let turns = limits.turns.clone().acquire_many_owned(all).await.unwrap();
        let compressed = || {
            let message = http_body_util::Full::new(Bytes::from_static(&[1, 0, 0, 0, 1, 7]));
            let method = Method::Known("Create");
            let body = limits.limit(Request::new(message), method, &CallRecord::default());
            http_body_util::BodyExt::collect(body.into_body())
        };
        let refused = tokio::time::timeout(2 * timeout, compressed()).await;
        assert!(refused.is_ok_and(|message| message.is_err()));
        assert_eq!(limits.queue().bytes(), 0);
        drop(turns);
        assert_eq!(compressed().await.unwrap().to_bytes().len(), 6);
    }

    #[test]
    fn who_has_been_waited_for_longest_makes_room() {
        let mut queue = Queue::default();
        let waker = Waker::noop();
        let first = wait(&mut queue, None, MOST_BYTES / 2, waker);
        let second = wait(&mut queue, None, 1, waker);
        assert_eq!(wait(&mut queue, first, MOST_BYTES - 1, waker), first);
        let third = wait(&mut queue, None, 1, waker);
        assert_eq!(wait(&mut queue, first, MOST_BYTES, waker), None);
        assert_eq!(wait(&mut queue, second, 2, waker), second);
        assert_eq!(wait(&mut queue, third, 2, waker), third);
        for place in [second, third] {
            queue.remove(place.unwrap());
        }
        assert_eq!((queue.bytes(), queue.len()), (0, 0));

        for _ in 0..2 * MOST_WAITING {
            wait(&mut queue, None, 0, waker);
        }
        assert_eq!(queue.len(), MOST_WAITING);
    }
}
