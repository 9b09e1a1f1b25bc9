//! What happens on the way of a call that an operator wants to know: counted, and noted on the
//! call's span.

use std::time::Duration;

use opentelemetry::KeyValue;

use super::{metrics, scope};

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

/// Why a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryCause {
    /// There was no connection.
    NotSent,
    /// 429.
    RateLimited,
    /// 503 and its like.
    Unavailable,
    /// No answer, to a request that is safe to repeat.
    NoAnswer,
}

/// What looking for a connection has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryResult {
    /// It is there.
    Found,
    /// It is not there.
    NotFound,
    /// More than one may be it.
    Ambiguous,
    /// It is not there, and the server is done with the request.
    Settled,
    /// The team's list could not be read, or not at the end.
    ListUnavailable,
    /// What answers is not Chartbrew.
    NotTheApi,
}

/// Where the circuit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Lets calls through.
    Closed,
    /// Fails them at once.
    Open,
    /// Lets one through to find out.
    Probing,
}

/// A closed set of values of a label.
pub(super) trait Label: Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// As it stands in a label.
    fn name(self) -> &'static str;
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

// === impl Label ===

impl Label for RetryCause {
    const ALL: &'static [Self] = &[
        Self::NotSent,
        Self::RateLimited,
        Self::Unavailable,
        Self::NoAnswer,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::NoAnswer => "no_answer",
        }
    }
}

impl Label for RecoveryResult {
    const ALL: &'static [Self] = &[
        Self::Found,
        Self::NotFound,
        Self::Ambiguous,
        Self::Settled,
        Self::ListUnavailable,
        Self::NotTheApi,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Ambiguous => "ambiguous",
            Self::Settled => "settled",
            Self::ListUnavailable => "list_unavailable",
            Self::NotTheApi => "not_the_api",
        }
    }
}

impl Label for CircuitState {
    const ALL: &'static [Self] = &[Self::Closed, Self::Open, Self::Probing];

    fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }
}

impl std::fmt::Display for RecoveryResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that the documents name for a label of a metric.
    fn documented(metric: &str) -> Vec<&'static str> {
        let row = include_str!("../../docs/telemetry.md")
            .lines()
            .find(|line| line.starts_with(&format!("| `{metric}`")))
            .unwrap();
        // The last cell: the label and its values, each between two backticks.
        let labels = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap();
        labels.split('`').skip(3).step_by(2).collect()
    }

    fn named<L: Label + Copy>() -> Vec<&'static str> {
        L::ALL.iter().map(|value| value.name()).collect()
    }

    #[test]
    fn every_value_of_a_label_is_documented_and_no_other() {
        let all = [
            ("chartbrew_gateway_retries_total", named::<RetryCause>()),
            (
                "chartbrew_gateway_recoveries_total",
                named::<RecoveryResult>(),
            ),
            ("chartbrew_gateway_circuit_state", named::<CircuitState>()),
        ];
        for (metric, values) in all {
            assert_eq!(documented(metric), values, "{metric}");
        }
    }
}
