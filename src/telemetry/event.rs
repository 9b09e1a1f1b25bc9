//! What happens on the way of a call that an operator wants to know: counted, and noted on the
//! call's span.

use std::time::Duration;

use opentelemetry::KeyValue;

use super::{
    labels::{CircuitState, Label, RecoveryResult, RetryCause},
    metrics, scope,
};

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request will be sent again.
    Retry {
        /// What stood in the way.
        cause: RetryCause,
        /// How often it was sent so far.
        attempts: u32,
        /// How long until then.
        wait: Duration,
    },
    /// A request would have been sent again, but the budget had nothing left.
    BudgetExhausted,
    /// A connection was looked for: the response to its creation was lost.
    Recovery(RecoveryResult),
    /// A call was answered with what an earlier one had created.
    Replay,
    /// The circuit to Chartbrew has changed.
    Circuit(CircuitState),
    /// The store of request ids can be reached, or cannot any longer.
    StoreReachable(bool),
    /// A connection was closed at once: there are as many as there may be.
    ConnectionRefused,
}

/// Counts it and notes it on the span of the call at hand.
pub fn record(event: Event) {
    match event {
        Event::Retry {
            cause,
            attempts,
            wait,
        } => {
            metrics::retried(cause);
            scope::note("retry", || {
                vec![
                    KeyValue::new("cause", cause.name()),
                    KeyValue::new("attempts", i64::from(attempts)),
                    KeyValue::new("wait_seconds", wait.as_secs_f64()),
                ]
            });
        }
        Event::BudgetExhausted => {
            metrics::budget_exhausted();
            scope::note("retry budget exhausted", Vec::new);
        }
        Event::Recovery(result) => {
            metrics::recovered(result);
            scope::note("recovery", || vec![KeyValue::new("result", result.name())]);
        }
        Event::Replay => {
            metrics::replayed();
            scope::note("replay", Vec::new);
        }
        Event::Circuit(state) => {
            metrics::circuit(state);
            scope::note("circuit", || vec![KeyValue::new("state", state.name())]);
        }
        Event::StoreReachable(reachable) => metrics::store_reachable(reachable),
        Event::ConnectionRefused => metrics::connection_refused(),
    }
}

/// A call at work, from its making to its end.
#[derive(Debug)]
pub struct InFlight(());

// === impl InFlight ===

impl InFlight {
    /// The work begins.
    #[must_use]
    pub fn begin() -> Self {
        metrics::in_flight(1);
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::in_flight(-1);
    }
}
