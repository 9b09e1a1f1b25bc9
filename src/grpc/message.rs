//! Bounds the reading of messages: how long one takes, and how much memory all of them do.
//!
//! A message is read before its call is admitted, so that neither the limit of calls under way nor
//! a deadline bounds it. Here each has a time limit, and what has been read of messages that are
//! not whole yet comes out of one budget.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::BoxError;

use super::call_record::{CallRecord, MessageRefusal};

/// Bytes that messages may take up while they are read, all together.
const BUDGET: usize = 128 * 1024 * 1024;

/// The limits, shared by all calls.
#[derive(Clone, Debug)]
pub(super) struct MessageLimits {
    timeout: Duration,
    /// What a compressed message may become, in bytes.
    largest: u32,
    budget: Arc<Semaphore>,
    grace_over: CancellationToken,
}

/// A body that keeps to the limits.
#[derive(Debug)]
pub(super) struct LimitedBody<B> {
    inner: B,
    limits: MessageLimits,
    record: CallRecord,
    is_compressed: bool,
    /// What the message takes of the budget.
    held: Option<OwnedSemaphorePermit>,
    /// Made when the message does not arrive at once.
    waiting: Option<Waiting>,
}

/// What can end the wait for the rest of a message.
type Waiting = (Pin<Box<Sleep>>, Pin<Box<WaitForCancellationFutureOwned>>);

// === impl MessageLimits ===

impl MessageLimits {
    pub(super) fn new(timeout: Duration, largest: usize, grace_over: CancellationToken) -> Self {
        Self {
            timeout,
            largest: u32::try_from(largest.min(BUDGET)).unwrap_or(u32::MAX),
            budget: Arc::new(Semaphore::new(BUDGET)),
            grace_over,
        }
    }

    /// Puts the limits on the message of a call.
    pub(super) fn limit<B>(
        &self,
        request: Request<B>,
        record: &CallRecord,
    ) -> Request<Box<LimitedBody<B>>> {
        let encoding = request.headers().get("grpc-encoding");
        let is_compressed = encoding.is_some_and(|encoding| encoding != "identity");
        // Boxed: tonic keeps several places for a request until it has responded.
        request.map(|inner| {
            Box::new(LimitedBody {
                inner,
                limits: self.clone(),
                record: record.clone(),
                is_compressed,
                held: None,
                waiting: None,
            })
        })
    }
}

// === impl LimitedBody ===

impl<B> LimitedBody<B> {
    fn refuse(&self, refusal: MessageRefusal) -> BoxError {
        self.record.message_refused(refusal);
        refusal.into()
    }

    /// Takes the bytes out of the budget, until the body is dropped.
    fn hold(&mut self, bytes: usize) -> Result<(), MessageRefusal> {
        let wanted = match (self.is_compressed, &self.held) {
            // As much as it may become, once.
            (true, None) => self.limits.largest,
            (true, Some(_)) => return Ok(()),
            (false, _) => u32::try_from(bytes).unwrap_or(u32::MAX),
        };
        let permit = self.limits.budget.clone().try_acquire_many_owned(wanted);
        let permit = permit.map_err(|_| MessageRefusal::Overloaded)?;
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        Ok(())
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<MessageRefusal> {
        let limits = &self.limits;
        let (timeout, grace_over) = self.waiting.get_or_insert_with(|| {
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
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                Poll::Ready(Some(match this.hold(bytes) {
                    Ok(()) => Ok(frame),
                    Err(refusal) => Err(this.refuse(refusal)),
                }))
            }
            Poll::Ready(end) => Poll::Ready(end.map(|end| end.map_err(Into::into))),
            Poll::Pending => this
                .poll_waiting(cx)
                .map(|refusal| Some(Err(this.refuse(refusal)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
