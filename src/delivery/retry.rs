//! The loop: attempt → what is known → wait, recover or stop.
//!
//! A plain `async fn`, since what follows an attempt is more than a yes or no to another one:
//! `tower::retry::Policy` cannot read a list, judge it, and perhaps answer from it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tower::retry::budget::Budget;

use super::{
    Error, Job, Origin, attempt::Attempt, error::Unavailable, recovery::Sent, request_id::Holder,
};
use crate::{
    chartbrew::{self, types::Connection},
    telemetry::{self, Event, RetryCause},
};

/// A connection and where it came from.
pub(super) type Found = (Box<Connection>, Origin);

/// What is told when nothing better is known of when to come back.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

impl Job {
    /// Sends the request until its outcome is known. `patience` bounds one attempt and what
    /// follows a lost answer; the caller's deadline bounds the beginning of everything.
    ///
    /// With a claim, the store learns of every attempt before it is made; no note, no attempt.
    pub(super) async fn send(
        self: &Arc<Self>,
        patience: Instant,
        claim: Option<Holder>,
    ) -> Result<Found, Error> {
        if !self.caller.is_retry {
            self.shared.budget.deposit();
        }
        for attempt in 1.. {
            let pass =
                self.shared
                    .breaker
                    .pass(Instant::now())
                    .map_err(|open| Error::Unavailable {
                        cause: Unavailable::CircuitOpen,
                        retry_after: open.retry_after,
                    })?;
            self.note_sending(claim).await?;
            let began = Instant::now();
            let outcome = self.attempt(patience).await;
            match &outcome {
                Attempt::NotBegun => drop(pass),
                Attempt::Failed(error) if is_a_failure_to_reach(error) => {
                    pass.failed(Instant::now());
                }
                Attempt::Created(_) | Attempt::Failed(_) => pass.succeeded(),
            }
            let error = match outcome {
                Attempt::Created(found) => return Ok(found),
                Attempt::NotBegun => return Err(too_late()),
                Attempt::Failed(chartbrew::Error::Unknown(cause)) => {
                    let sent = Sent::since(began, cause);
                    return self.recover_now(sent, patience).await;
                }
                Attempt::Failed(error) => error,
            };
            match self.wait_before_another(attempt, &error) {
                Some(wait) => {
                    tracing::debug!(attempt, wait_ms = wait.as_millis(), %error, "retrying");
                    tokio::time::sleep(wait).await;
                }
                None => return Err(self.last_word(error)),
            }
        }
        Err(too_late())
    }

    async fn note_sending(&self, claim: Option<Holder>) -> Result<(), Error> {
        let (Some(holder), Some(identity)) = (claim, &self.identity) else {
            return Ok(());
        };
        Ok(self.shared.store.sending(&identity.key, holder).await?)
    }

    /// How long to wait before the next attempt; `None` if there shall be none.
    fn wait_before_another(&self, attempt: u32, error: &chartbrew::Error) -> Option<Duration> {
        let settings = &self.shared.settings;
        if !is_transient(error) || attempt >= settings.attempts {
            return None;
        }
        let backoff = settings.backoff.wait(attempt, fastrand::f64());
        let wait = asked_wait(error).map_or(backoff, |asked| asked.max(backoff));
        (self.caller.deadline.allows(wait) && self.may_retry(attempt, error, wait)).then_some(wait)
    }

    /// Takes a retry out of the budget, if there is one left, and tells of it.
    pub(super) fn may_retry(
        &self,
        attempts: u32,
        error: &chartbrew::Error,
        wait: Duration,
    ) -> bool {
        let may = self.shared.budget.withdraw();
        telemetry::record(match may {
            true => Event::Retry {
                cause: retry_cause(error),
                attempts,
                wait,
            },
            false => Event::BudgetExhausted,
        });
        may
    }

    /// What the caller is told when no attempt follows. Nothing was created.
    fn last_word(&self, error: chartbrew::Error) -> Error {
        use chartbrew::{Error as Upstream, Rejection};
        let settings = &self.shared.settings;
        let retry_after = asked_wait(&error).unwrap_or(DEFAULT_RETRY_AFTER);
        match error {
            Upstream::NotSent(cause) => Error::Unavailable {
                cause: Unavailable::NotSent(cause),
                retry_after,
            },
            Upstream::Rejected(Rejection::RateLimited(_)) => Error::RateLimited { retry_after },
            Upstream::Rejected(Rejection::NotTheApi(status)) => Error::NotTheApi { status },
            Upstream::Rejected(rejection) if rejection.is_transient() => Error::Unavailable {
                cause: Unavailable::Rejected(rejection),
                retry_after: retry_after.max(settings.backoff.base),
            },
            Upstream::Rejected(rejection) => Error::Rejected(rejection),
            Upstream::Unknown(_) => self.outcome_unknown(),
        }
    }

    /// The error for an outcome that was not found out.
    pub(super) fn outcome_unknown(&self) -> Error {
        Error::OutcomeUnknown {
            deadline_passed: self.caller.deadline.has_passed(),
            long_ago: false,
        }
    }

    /// Notes that a connection is this request's, so that no recovery takes it for another's.
    pub(super) async fn hand_out(&self, id: i32) -> bool {
        let handed = self
            .shared
            .store
            .hand_out(self.create.team, id, &self.owner)
            .await;
        handed.unwrap_or_else(|error| {
            if self.shared.store.may_complain() {
                tracing::warn!(%error, "cannot note a connection as handed out");
            }
            true
        })
    }
}

fn too_late() -> Error {
    Error::Unavailable {
        cause: Unavailable::DeadlineBeforeSending,
        retry_after: DEFAULT_RETRY_AFTER,
    }
}

fn is_a_failure_to_reach(error: &chartbrew::Error) -> bool {
    use chartbrew::Rejection;
    match error {
        chartbrew::Error::NotSent(_) => true,
        chartbrew::Error::Rejected(rejection) => matches!(
            rejection,
            Rejection::Unavailable(503, _) | Rejection::StoreUnavailable
        ),
        chartbrew::Error::Unknown(_) => false,
    }
}

pub(super) fn retry_cause(error: &chartbrew::Error) -> RetryCause {
    use chartbrew::Rejection;
    match error {
        chartbrew::Error::NotSent(_) => RetryCause::NotSent,
        chartbrew::Error::Rejected(Rejection::RateLimited(_)) => RetryCause::RateLimited,
        chartbrew::Error::Rejected(_) => RetryCause::Unavailable,
        chartbrew::Error::Unknown(_) => RetryCause::NoAnswer,
    }
}

fn is_transient(error: &chartbrew::Error) -> bool {
    match error {
        chartbrew::Error::NotSent(cause) => cause.is_transient(),
        chartbrew::Error::Rejected(rejection) => rejection.is_transient(),
        chartbrew::Error::Unknown(_) => false,
    }
}

fn asked_wait(error: &chartbrew::Error) -> Option<Duration> {
    match error {
        chartbrew::Error::Rejected(rejection) => rejection.retry_after(),
        chartbrew::Error::NotSent(_) | chartbrew::Error::Unknown(_) => None,
    }
}
