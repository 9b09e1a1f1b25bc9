//! The circuit breaker: while Chartbrew cannot be reached, calls fail without an attempt.
//!
//! `Closed` lets every call through. After a number of failures in a row to reach the server it is
//! `Open`: calls fail at once. After a while it lets one call through as a probe (`Probing`): if
//! that call reaches the server, the circuit closes, else it opens for as long again. Only failures
//! to connect and status 503 count: any other response shows that the server is there.

use std::{fmt, sync::Mutex, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::telemetry::{self, CircuitState, Event};

/// When the circuit opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before a call is let through as a probe.
    pub probe_after: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            probe_after: Duration::from_secs(5),
        }
    }
}

/// The circuit is open. Try again after this long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CircuitOpen {
    /// Until the next probe may go out.
    pub(super) retry_after: Duration,
}

/// See the module's docs.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
    circuit: watch::Sender<CircuitState>,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing { since: Instant },
}

/// The permission to make one attempt. Report to it how the attempt ended. If it is dropped without
/// a report, the result is not known, and after a probe the next one may start.
#[must_use]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
    is_reported: bool,
}

// === impl Breaker ===

impl Breaker {
    /// A closed circuit.
    #[must_use]
    pub(super) fn new(settings: BreakerSettings) -> Self {
        telemetry::record(Event::Circuit(CircuitState::Closed));
        Self {
            settings,
            state: Mutex::new(State::Closed { failures: 0 }),
            circuit: watch::Sender::new(CircuitState::Closed),
        }
    }

    /// The state of the circuit, as it changes.
    #[must_use]
    pub(super) fn watch(&self) -> watch::Receiver<CircuitState> {
        self.circuit.subscribe()
    }

    /// Asks for the permission to make an attempt.
    ///
    /// # Errors
    /// [`CircuitOpen`] while the circuit is open, or a probe is under way.
    pub(super) fn pass(&self, now: Instant) -> Result<Pass<'_>, CircuitOpen> {
        let mut state = self.state();
        let probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } if now < until => {
                let retry_after = until - now;
                return Err(CircuitOpen { retry_after });
            }
            State::Probing { since } if now < since + self.settings.probe_after => {
                let retry_after = since + self.settings.probe_after - now;
                return Err(CircuitOpen { retry_after });
            }
            // A probe may be a create that takes minutes: the next one does not wait for it.
            State::Open { .. } | State::Probing { .. } => {
                self.enter(&mut state, State::Probing { since: now });
                true
            }
        };
        Ok(Pass {
            breaker: self,
            probe,
            is_reported: false,
        })
    }

    fn succeed(&self) {
        self.enter(&mut self.state(), State::Closed { failures: 0 });
    }

    fn fail(&self, now: Instant, probe: bool) {
        let mut state = self.state();
        let until = now + self.settings.probe_after;
        match &mut *state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= self.settings.failures {
                    self.enter(&mut state, State::Open { until });
                }
            }
            State::Probing { .. } if probe => self.enter(&mut state, State::Open { until }),
            // An attempt from before the circuit opened says nothing new.
            State::Open { .. } | State::Probing { .. } => {}
        }
    }

    fn enter(&self, state: &mut State, next: State) {
        let circuit = next.circuit();
        *state = next;
        let changed = self
            .circuit
            .send_if_modified(|known| std::mem::replace(known, circuit) != circuit);
        if changed {
            tracing::info!(?circuit, "circuit to Chartbrew");
            telemetry::record(Event::Circuit(circuit));
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic elsewhere leaves a state that is still one of the three.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn circuit(&self) -> CircuitState {
        match self {
            Self::Closed { .. } => CircuitState::Closed,
            Self::Open { .. } => CircuitState::Open,
            Self::Probing { .. } => CircuitState::Probing,
        }
    }
}

// === impl Pass ===

impl Pass<'_> {
    /// The server was reached.
    pub(super) fn succeeded(mut self) {
        self.is_reported = true;
        self.breaker.succeed();
    }

    /// The server was not reached, or responded with 503.
    pub(super) fn failed(mut self, now: Instant) {
        self.is_reported = true;
        self.breaker.fail(now, self.probe);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe && !self.is_reported {
            let mut state = self.breaker.state();
            if let State::Probing { since } = *state {
                self.breaker.enter(&mut state, State::Open { until: since });
            }
        }
    }
}

impl fmt::Debug for Pass<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass")
            .field("probe", &self.probe)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BreakerSettings = BreakerSettings {
        failures: 3,
        probe_after: Duration::from_secs(5),
    };

    fn opened(at: Instant) -> Breaker {
        let breaker = Breaker::new(SETTINGS);
        for _ in 0..3 {
            breaker.pass(at).unwrap().failed(at);
        }
        assert_eq!(*breaker.watch().borrow(), CircuitState::Open);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_in_a_row_open_it() {
        let (breaker, now) = (Breaker::new(SETTINGS), Instant::now());
        for _ in 0..5 {
            breaker.pass(now).unwrap().failed(now);
            breaker.pass(now).unwrap().failed(now);
            breaker.pass(now).unwrap().succeeded();
        }
        assert_eq!(*breaker.watch().borrow(), CircuitState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_circuit_fails_at_once_and_says_for_how_long() {
        let now = Instant::now();
        let breaker = opened(now);
        let refused = breaker.pass(now + Duration::from_secs(2)).unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_decides() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + SETTINGS.probe_after;
        let probe = breaker.pass(later).unwrap();
        assert_eq!(*breaker.watch().borrow(), CircuitState::Probing);
        assert!(breaker.pass(later).is_err());
        probe.failed(later);
        assert_eq!(*breaker.watch().borrow(), CircuitState::Open);

        let later = later + SETTINGS.probe_after;
        breaker.pass(later).unwrap().succeeded();
        assert_eq!(*breaker.watch().borrow(), CircuitState::Closed);
        assert!(breaker.pass(later).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_makes_room_for_the_next() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + SETTINGS.probe_after;
        drop(breaker.pass(later).unwrap());
        assert!(breaker.pass(later).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_result_does_not_decide_a_probe() {
        let now = Instant::now();
        let breaker = Breaker::new(SETTINGS);
        let straggler = breaker.pass(now).unwrap();
        for _ in 0..3 {
            breaker.pass(now).unwrap().failed(now);
        }
        let later = now + SETTINGS.probe_after;
        let _probe = breaker.pass(later).unwrap();
        straggler.failed(later);
        assert_eq!(*breaker.watch().borrow(), CircuitState::Probing);
    }
}
