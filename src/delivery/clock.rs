//! When a request began, by the clock of this process and by that of the server.
//!
//! A recovery compares the time at which its request began with the times that rows show, which
//! are the server's. The two clocks need not agree: only differences are carried over.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// How far a proxy's `Date` may be ahead of the clock that rows are stamped with.
pub(super) const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// When a request began to be sent, at the earliest. Not a moment of the clock: it may lie before
/// this machine was started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    known: Instant,
    before: Duration,
}

/// The clock of the server, by which its rows show their times.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerClock {
    now: Timestamp,
}

// === impl Began ===

impl Began {
    pub(super) fn now() -> Self {
        Self {
            known: Instant::now(),
            before: Duration::ZERO,
        }
    }

    /// Earlier than this by so much, at most.
    pub(super) fn minus(self, earlier: Duration) -> Self {
        Self {
            before: self.before.saturating_add(earlier),
            ..self
        }
    }

    /// How long ago, at most.
    pub(super) fn elapsed(self) -> Duration {
        self.before.saturating_add(self.known.elapsed())
    }
}

// === impl ServerClock ===

impl ServerClock {
    /// Reads it from a response's `Date`: at most a second behind the server's clock, and made no
    /// later than it was read.
    pub(super) fn new(date: Option<Timestamp>) -> Self {
        Self {
            now: date.unwrap_or_else(Timestamp::now),
        }
    }

    /// The earliest time that a row can show if its request began then.
    pub(super) fn earliest(self, began: Began) -> Timestamp {
        let ago = began.elapsed().saturating_add(CLOCK_SLACK);
        let ago = SignedDuration::try_from(ago).unwrap_or(SignedDuration::MAX);
        let since = self.now.checked_sub(ago).unwrap_or(Timestamp::MIN);
        // Rows show whole seconds.
        Timestamp::from_second(since.as_second()).unwrap_or(Timestamp::MIN)
    }
}
