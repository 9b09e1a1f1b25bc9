//! The retry loop: every request that may be repeated goes through it.
//!
//! One circuit breaker, one budget, one backoff and one rule for `Retry-After`. What an operation
//! may do after a failure is [`Effect`]'s to say. A plain `async fn` with a loop: what follows a
//! failed attempt depends on the operation, which `tower::retry::Policy` could not express.

use std::{future::Future, time::Duration};

use tokio::time::Instant;
use tower::retry::budget::Budget;

use super::{
    Caller, Error, Shared, Unavailable,
    effect::{Effect, Failure, Reached},
};
use crate::{
    chartbrew::{self, Rejection, Unknown},
    telemetry::{self, Event, RetryCause},
};

/// The attempts that came before one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    made: u32,
    /// What became of one of them is not known.
    pub(super) lost: Option<Unknown>,
}

impl Shared {
    /// Makes attempts until one succeeds or no other may follow. `attempt` is given what came
    /// before it.
    ///
    /// If the last attempt had no effect but the outcome of an earlier one is not known, that is
    /// what is known of all of them.
    pub(super) async fn repeat<T, F>(
        &self,
        caller: &Caller,
        effect: Effect,
        mut attempt: impl FnMut(Before) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut before = Before::default();
        loop {
            let pass = match self.breaker.pass(Instant::now()) {
                Ok(pass) => pass,
                Err(open) => {
                    return Err(before.failed(Failure::Stop(Error::Unavailable {
                        cause: Unavailable::CircuitOpen,
                        retry_after: open.retry_after,
                    })));
                }
            };
            let result = telemetry::with_resend_count(before.made, attempt(before)).await;
            match Reached::of(&result) {
                Reached::Yes => pass.succeeded(),
                Reached::No => pass.failed(Instant::now()),
                Reached::Unclear => drop(pass),
            }
            before.made += 1;
            let made = before.made;
            let error = match result {
                Ok(done) => return Ok(done),
                Err(Failure::Request(error)) => error,
                Err(stop) => return Err(before.failed(stop)),
            };
            match self.wait_before_another(caller, effect, made, &error) {
                Some(wait) => {
                    tracing::debug!(made, wait_ms = wait.as_millis(), %error, "retrying");
                    tokio::time::sleep(wait).await;
                }
                None => return Err(before.failed(Failure::Request(error))),
            }
            if let chartbrew::Error::Unknown(cause) = error {
                before.lost = Some(cause);
            }
        }
    }

    /// How long to wait before the next attempt; `None` if there must be none.
    fn wait_before_another(
        &self,
        caller: &Caller,
        effect: Effect,
        made: u32,
        error: &chartbrew::Error,
    ) -> Option<Duration> {
        if made >= self.settings.attempts || !effect.may_repeat(error) {
            return None;
        }
        let backoff = self.settings.backoff.wait(made, fastrand::f64());
        let wait = error.retry_after().unwrap_or_default().max(backoff);
        if !caller.deadline.allows(wait) {
            return None;
        }
        let may = self.budget.withdraw();
        telemetry::record(match may {
            true => Event::Retry {
                cause: cause_of(error),
                attempts: made,
                wait,
            },
            false => Event::BudgetExhausted,
        });
        may.then_some(wait)
    }
}

// === impl Before ===

impl Before {
    /// What is known of all attempts after the last one has failed.
    fn failed(self, last: Failure) -> Failure {
        let had_no_effect = match &last {
            Failure::Stop(_) | Failure::Request(chartbrew::Error::NotSent(_)) => true,
            Failure::Request(error) => error.is_transient(),
        };
        match self.lost {
            Some(cause) if had_no_effect => Failure::Request(chartbrew::Error::Unknown(cause)),
            _ => last,
        }
    }
}

fn cause_of(error: &chartbrew::Error) -> RetryCause {
    match error {
        chartbrew::Error::NotSent(_) => RetryCause::NotSent,
        chartbrew::Error::Rejected(Rejection::RateLimited(_)) => RetryCause::RateLimited,
        chartbrew::Error::Rejected(_) => RetryCause::Unavailable,
        chartbrew::Error::Unknown(_) => RetryCause::NoResponse,
    }
}
