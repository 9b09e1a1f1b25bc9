//! How long to wait before another attempt: exponential, with full jitter.

use std::time::Duration;

/// Exponential backoff with full jitter: the wait before attempt *n* + 1 is drawn evenly from
/// zero to `base` × 2ⁿ⁻¹, at most `cap`. (Why full jitter: "Exponential Backoff And
/// Jitter" in the AWS Architecture Blog.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub base: Duration,
    /// Upper bound of every wait.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(100),
            cap: Duration::from_secs(5),
        }
    }
}

impl Backoff {
    /// The longest wait after that many attempts (1 is the first).
    #[must_use]
    pub fn ceiling(&self, attempts: u32) -> Duration {
        let factor = 2_u32.saturating_pow(attempts.saturating_sub(1));
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// The wait after that many attempts; `chance` is drawn evenly from 0 to 1.
    #[must_use]
    pub fn wait(&self, attempts: u32, chance: f64) -> Duration {
        self.ceiling(attempts).mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let backoff = Backoff::default();
        let cases = [
            (0, 100),
            (1, 100),
            (2, 200),
            (3, 400),
            (6, 3200),
            (7, 5000),
            (99, 5000),
        ];
        for (attempts, millis) in cases {
            let expected = Duration::from_millis(millis);
            assert_eq!(backoff.ceiling(attempts), expected, "{attempts}");
            assert_eq!(backoff.wait(attempts, 1.0), expected, "{attempts}");
            assert_eq!(backoff.wait(attempts, 0.0), Duration::ZERO, "{attempts}");
        }
        assert_eq!(backoff.wait(2, 0.5), Duration::from_millis(100));
        assert_eq!(backoff.wait(2, f64::INFINITY), Duration::from_millis(200));
    }
}
