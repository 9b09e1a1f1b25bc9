//! Whether a request is sent: decided by the first of sender and caller.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const WITHHELD: u8 = 2;
/// It had begun when the caller would have withheld it.
const BEGUN_AND_LEFT: u8 = 3;

/// Whether the body of a request has begun to be sent, or never will be. Cheap to clone.
///
/// Nobody can act on a request of whose body he has seen no byte (measured: Chartbrew creates
/// nothing for a request whose body does not come). So a caller whose time is over while the
/// connection is still being made can be told that nothing was sent, and it stays true:
/// [`withhold`](Self::withhold) and the first byte exclude each other. Only where the server says
/// over HTTP/2 that it did not process the request is it open again.
#[derive(Clone, Debug, Default)]
pub struct SendState(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: AtomicU8,
    /// Woken by each decision.
    waker: AtomicWaker,
}

/// A [`GuardedBody`] in few bytes: a request has several places on its way, in the futures that pass it
/// on and in hyper's channel to the connection.
pub(super) type SentBody = Box<GuardedBody>;

/// A body that asks its [`SendState`] before its first byte, and waits for a [`Go`] if it has one.
#[derive(Debug)]
pub(super) struct GuardedBody {
    state: SendState,
    go: Option<Go>,
    bytes: Option<Bytes>,
}

/// Whether a body may go out on the connection that it waits on: given or refused, once.
#[derive(Clone, Debug, Default)]
pub(super) struct Go(SendState);

/// The request was withheld.
#[derive(Debug, thiserror::Error)]
#[error("the request was withheld")]
pub(super) struct Withheld;

// === impl SendState ===

impl SendState {
    /// Whether a byte of the body may have been sent.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        matches!(self.now(), BEGUN | BEGUN_AND_LEFT)
    }

    /// Keeps the body from being sent. Returns whether that came in time: then no byte of it was
    /// sent, and none will be.
    #[must_use]
    pub fn withhold(&self) -> bool {
        let withheld = self.change(|state| match state {
            WAITING | WITHHELD => WITHHELD,
            _ => BEGUN_AND_LEFT,
        });
        withheld == WITHHELD
    }

    /// What was sent proved to be unprocessed, and its connection sends no more of it: as if nothing
    /// had been sent. If the caller has left meanwhile, it is not sent again.
    pub(super) fn take_back(&self) {
        self.change(|state| match state {
            BEGUN => WAITING,
            BEGUN_AND_LEFT => WITHHELD,
            state => state,
        });
    }

    pub(super) fn is_withheld(&self) -> bool {
        self.now() == WITHHELD
    }

    /// Waits until it is withheld.
    pub(super) async fn withheld(&self) {
        poll_fn(|cx| match self.poll_decided(cx) {
            Poll::Ready(WITHHELD) => Poll::Ready(()),
            Poll::Ready(_) | Poll::Pending => Poll::Pending,
        })
        .await;
    }

    /// Whether the body may be sent, which it then is taken to be.
    fn begin(&self) -> bool {
        let begun = self.change(|state| match state {
            WAITING => BEGUN,
            state => state,
        });
        begun != WITHHELD
    }

    fn now(&self) -> u8 {
        self.0.state.load(Ordering::SeqCst)
    }

    fn change(&self, next: impl Fn(u8) -> u8) -> u8 {
        let order = Ordering::SeqCst;
        let changed = self
            .0
            .state
            .fetch_update(order, order, |state| Some(next(state)));
        self.0.waker.wake();
        changed.map_or_else(|state| state, next)
    }

    fn poll_decided(&self, cx: &Context<'_>) -> Poll<u8> {
        self.0.waker.register(cx.waker());
        match self.now() {
            WAITING => Poll::Pending,
            decided => Poll::Ready(decided),
        }
    }
}

// === impl Go ===

impl Go {
    pub(super) fn give(&self) {
        self.0.begin();
    }

    /// Returns whether that came in time.
    pub(super) fn refuse(&self) -> bool {
        self.0.withhold()
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<bool> {
        self.0.poll_decided(cx).map(|decided| decided != WITHHELD)
    }
}

// === impl GuardedBody ===

impl GuardedBody {
    pub(super) fn new(bytes: Bytes, state: SendState) -> Self {
        let bytes = Some(bytes);
        Self {
            state,
            go: None,
            bytes,
        }
    }

    /// From now on it goes out only when what is returned is given.
    pub(super) fn wait_for_go(&mut self) -> Go {
        self.go.insert(Go::default()).clone()
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = Withheld;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Withheld>>> {
        if let Some(go) = &self.go {
            match ready!(go.poll(cx)) {
                true => self.go = None,
                false => return Poll::Ready(Some(Err(Withheld))),
            }
        }
        let Some(bytes) = self.bytes.take() else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(match self.state.begin() {
            true => Ok(Frame::data(bytes)),
            false => Err(Withheld),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn what_has_begun_cannot_be_withheld_and_the_other_way_round() {
        let body = Bytes::from_static(b"{}");
        let sent = SendState::default();
        assert!(!sent.has_begun());
        let whole = GuardedBody::new(body.clone(), sent.clone()).collect().await;
        assert_eq!(whole.unwrap().to_bytes(), body);
        assert!(sent.has_begun() && !sent.withhold() && sent.has_begun());
        // Its caller has left: it is not sent for nobody.
        sent.take_back();
        assert!(sent.is_withheld() && !sent.begin());
        sent.withheld().await;

        let refused = SendState::default();
        assert!(refused.begin());
        refused.take_back();
        assert!(!refused.has_begun() && refused.begin());

        let withheld = SendState::default();
        assert!(withheld.withhold() && withheld.withhold());
        assert!(
            GuardedBody::new(body, withheld.clone())
                .collect()
                .await
                .is_err()
        );
        assert!(!withheld.has_begun());
    }
}
