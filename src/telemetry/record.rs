//! Records what happens, in the metrics and on the span of the current call.

use super::{event::Event, metrics, trace_context};

/// Counts an event and adds it to the span of the current call.
pub fn record(event: Event) {
    metrics::count(event);
    trace_context::add_event(event);
}

/// A call whose caller waits for it. It is counted from [`InFlight::begin`] until this is dropped.
#[derive(Debug)]
pub struct InFlight(());

// === impl InFlight ===

impl InFlight {
    /// The call begins.
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
