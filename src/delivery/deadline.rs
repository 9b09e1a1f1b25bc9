//! Until when a call is of use to its caller.

use std::time::Duration;

use tokio::time::Instant;

/// The moment by which a response must be on its way. Every attempt and every wait is bounded by
/// what remains of it, and a wait that would outlast it is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline that long from now. Durations beyond what the clock can hold count as a year.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        Self(Instant::now() + timeout.min(YEAR))
    }

    /// The deadline as a moment of tokio's clock.
    #[must_use]
    pub fn instant(self) -> Instant {
        self.0
    }

    /// Whether it is over.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.0 <= Instant::now()
    }

    /// Whether a wait that starts now would end before it.
    #[must_use]
    pub fn allows(self, wait: Duration) -> bool {
        Instant::now() + wait < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_must_end_before_the_deadline() {
        let deadline = Deadline::after(Duration::from_secs(10));
        assert!(deadline.allows(Duration::from_millis(9_999)));
        assert!(!deadline.allows(Duration::from_secs(10)));
        assert!(!deadline.has_passed());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(deadline.has_passed());
        assert!(!deadline.allows(Duration::ZERO));
    }

    #[tokio::test]
    async fn an_endless_timeout_is_no_overflow() {
        assert!(!Deadline::after(Duration::MAX).has_passed());
    }
}
