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
    chartbrew::{self, Rejection},
    telemetry::{self, Event, RetryCause},
};

impl Shared {
    /// Makes attempts until one succeeds or no other may follow. `attempt` is given how many came
    /// before it.
    pub(super) async fn repeat<T, F>(
        &self,
        caller: &Caller,
        effect: Effect,
        mut attempt: impl FnMut(u32) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut made = 0;
        loop {
            let pass = self.breaker.pass(Instant::now());
            let pass = pass.map_err(|open| {
                Failure::Stop(Error::Unavailable {
                    cause: Unavailable::CircuitOpen,
                    retry_after: open.retry_after,
                })
            })?;
            let result = telemetry::with_resend_count(made, attempt(made)).await;
            match Reached::of(&result) {
                Reached::Yes => pass.succeeded(),
                Reached::No => pass.failed(Instant::now()),
                Reached::Unclear => drop(pass),
            }
            made += 1;
            let error = match result {
                Err(Failure::Request(error)) => error,
                result => return result,
            };
            match self.wait_before_another(caller, effect, made, &error) {
                Some(wait) => {
                    tracing::debug!(made, wait_ms = wait.as_millis(), %error, "retrying");
                    tokio::time::sleep(wait).await;
                }
                None => return Err(Failure::Request(error)),
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

fn cause_of(error: &chartbrew::Error) -> RetryCause {
    match error {
        chartbrew::Error::NotSent(_) => RetryCause::NotSent,
        chartbrew::Error::Rejected(Rejection::RateLimited(_)) => RetryCause::RateLimited,
        chartbrew::Error::Rejected(_) => RetryCause::Unavailable,
        chartbrew::Error::Unknown(_) => RetryCause::NoResponse,
    }
}
