//! What is learned about a call while it is handled, for its trailers, its span, the metrics and
//! its line in the log.
//!
//! Made where the call begins ([`layers`](super::layers)); every layer and handler can add to it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use http::{HeaderMap, HeaderValue};
use tracing::Level;
use uuid::Uuid;

use crate::delivery::Origin;

/// Echoed in the trailers and in error details, and made where absent.
pub(super) const X_REQUEST_ID: &str = "x-request-id";
/// Trailer: how often the request was sent to Chartbrew.
pub(super) const X_UPSTREAM_ATTEMPTS: &str = "x-upstream-attempts";
/// Trailer: where a response came from, if not from Chartbrew's response to this call.
pub(super) const X_OUTCOME: &str = "x-outcome";

/// Longest request id that is echoed, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// What is learned about a call while it is handled.
#[derive(Clone, Debug)]
pub(super) struct CallRecord(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request_id: HeaderValue,
    attempts: Arc<AtomicU32>,
    caller: OnceLock<Arc<str>>,
    origin: OnceLock<Origin>,
    failure: OnceLock<(&'static str, Level)>,
    refusal: OnceLock<MessageRefusal>,
    upstream_status: OnceLock<u16>,
}

/// Why a message is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageRefusal {
    /// It took too long.
    #[error("the message did not arrive in time")]
    TooSlow,
    /// The messages that are waited for take up more memory than they may, and this one has been waited for
    /// longest; or it was not its turn to be decoded in time.
    #[error("too many messages are waited for or decoded")]
    Overloaded,
    /// The gateway's grace period is over.
    #[error("the gateway is stopping")]
    Stopping,
}

// === impl CallRecord ===

impl Default for CallRecord {
    /// The record of a call that no layer has seen.
    fn default() -> Self {
        Self::begin(&HeaderMap::new())
    }
}

impl CallRecord {
    /// The record of a call that begins with these headers.
    pub(super) fn begin(headers: &HeaderMap) -> Self {
        Self(Arc::new(Inner {
            request_id: request_id(headers),
            attempts: Arc::default(),
            caller: OnceLock::new(),
            origin: OnceLock::new(),
            failure: OnceLock::new(),
            refusal: OnceLock::new(),
            upstream_status: OnceLock::new(),
        }))
    }

    /// The id that the call goes by.
    pub(super) fn request_id(&self) -> &str {
        self.0.request_id.to_str().unwrap_or_default()
    }

    /// Counts the attempts, from wherever they are made.
    pub(super) fn counter(&self) -> Arc<AtomicU32> {
        self.0.attempts.clone()
    }

    /// The call is one of this caller of the callers file.
    pub(super) fn is_of(&self, caller: Arc<str>) {
        self.0.caller.get_or_init(|| caller);
    }

    pub(super) fn caller(&self) -> Option<&str> {
        self.0.caller.get().map(|name| &**name)
    }

    pub(super) fn delivered(&self, origin: Origin) {
        self.0.origin.get_or_init(|| origin);
    }

    pub(super) fn failed(&self, reason: &'static str, level: Level, upstream_status: Option<u16>) {
        self.0.failure.get_or_init(|| (reason, level));
        if let Some(status) = upstream_status {
            self.0.upstream_status.get_or_init(|| status);
        }
    }

    /// The call's message is not read to its end.
    pub(super) fn message_refused(&self, refusal: MessageRefusal) {
        self.0.refusal.get_or_init(|| refusal);
    }

    pub(super) fn message_refusal(&self) -> Option<MessageRefusal> {
        self.0.refusal.get().copied()
    }

    pub(super) fn upstream_status(&self) -> Option<u16> {
        self.0.upstream_status.get().copied()
    }

    /// The level of the call's line in the log, if it failed.
    pub(super) fn level(&self) -> Option<Level> {
        self.0.failure.get().map(|(_, level)| *level)
    }

    pub(super) fn reason(&self) -> Option<&'static str> {
        self.0.failure.get().map(|(reason, _)| *reason)
    }

    pub(super) fn attempts(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed)
    }

    pub(super) fn outcome(&self) -> Option<&'static str> {
        match self.0.origin.get()? {
            Origin::Response => None,
            Origin::Recovered => Some("recovered"),
            Origin::Replayed => Some("replayed"),
        }
    }

    /// Adds the trailers.
    pub(super) fn write_to(&self, trailers: &mut HeaderMap) {
        trailers.insert(X_REQUEST_ID, self.0.request_id.clone());
        trailers.insert(X_UPSTREAM_ATTEMPTS, self.attempts().into());
        if let Some(outcome) = self.outcome() {
            trailers.insert(X_OUTCOME, HeaderValue::from_static(outcome));
        }
    }
}

/// The caller's id for the call if it can be echoed as it is, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        !bytes.is_empty() && bytes.len() <= MAX_REQUEST_ID && bytes.iter().all(u8::is_ascii_graphic)
    };
    let given = headers.get(X_REQUEST_ID).filter(usable).cloned();
    given.unwrap_or_else(|| {
        let made = Uuid::new_v4().to_string();
        HeaderValue::try_from(made).unwrap_or(HeaderValue::from_static("-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_echoed_if_it_can_be() {
        let with_id = |id: &'static [u8]| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static(X_REQUEST_ID),
                HeaderValue::from_bytes(id).unwrap(),
            )])
        };
        assert_eq!(request_id(&with_id(b"abc-1")), "abc-1");
        for bad in [&b""[..], b"a b", b"\xff", &[b'a'; 129]] {
            let bad: &'static [u8] = bad.to_vec().leak();
            let made = request_id(&with_id(bad));
            assert!(Uuid::parse_str(made.to_str().unwrap()).is_ok(), "{bad:?}");
        }
    }
}
