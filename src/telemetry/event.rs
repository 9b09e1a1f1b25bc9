//! What happens during a call that an operator wants to know. It is counted, and most of it is an
//! event on the span of the call.

use std::time::Duration;

use opentelemetry::KeyValue;

use super::labels::{
    Certificate, CircuitState, FileKind, HandshakeFailure, Label, RecoveryResult, RetryCause,
};

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request will be sent again.
    Retry {
        /// Why.
        cause: RetryCause,
        /// How often it was sent so far.
        attempts: u32,
        /// How long until it is.
        wait: Duration,
    },
    /// A request would have been sent again, but the budget had nothing left.
    BudgetExhausted,
    /// A search for a connection has ended: the response to its creation was lost.
    Recovery(RecoveryResult),
    /// A call got the connection that an earlier one with the same request id had created.
    Replay,
    /// The circuit to Chartbrew has changed.
    Circuit(CircuitState),
    /// The store of request ids can be reached, or cannot any longer.
    StoreReachable(bool),
    /// A connection of a caller was closed at once: the limit was reached.
    ConnectionRefused,
    /// The TLS handshake of a caller failed.
    HandshakeFailed(HandshakeFailure),
    /// A file was read for the first time, or has changed.
    Loaded {
        /// What it is for.
        kind: FileKind,
        /// Whether its content is used. Otherwise the previous content is.
        is_used: bool,
    },
    /// A certificate was loaded.
    Expires {
        /// Which one.
        certificate: Certificate,
        /// When it expires, in seconds since 1970.
        at: i64,
    },
}

// === impl Event ===

impl Event {
    /// The name and the attributes of the span's event, if it is one.
    pub(super) fn on_span(self) -> Option<(&'static str, Vec<KeyValue>)> {
        Some(match self {
            Self::Retry {
                cause,
                attempts,
                wait,
            } => {
                let attributes = vec![
                    KeyValue::new("cause", cause.name()),
                    KeyValue::new("attempts", i64::from(attempts)),
                    KeyValue::new("wait_seconds", wait.as_secs_f64()),
                ];
                ("retry", attributes)
            }
            Self::BudgetExhausted => ("retry budget exhausted", Vec::new()),
            Self::Recovery(result) => ("recovery", vec![KeyValue::new("result", result.name())]),
            Self::Replay => ("replay", Vec::new()),
            Self::Circuit(state) => ("circuit", vec![KeyValue::new("state", state.name())]),
            Self::StoreReachable(_)
            | Self::ConnectionRefused
            | Self::HandshakeFailed(_)
            | Self::Loaded { .. }
            | Self::Expires { .. } => return None,
        })
    }
}
