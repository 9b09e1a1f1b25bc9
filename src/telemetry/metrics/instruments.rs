//! The instruments: every name, unit and description, in one place.
//!
//! The names follow the semantic conventions (1.45, where RPC became stable); they are written
//! out, since the crate that lists them is still at a version with other names.

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter},
};

use super::super::{
    labels::{HandshakeFailure, Label, RecoveryResult, RetryCause, label},
    logs,
};

/// Bounds of the buckets in seconds: those of the conventions, and up to 120, since a create may
/// take that long.
const SECONDS: [f64; 18] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0,
    60.0, 120.0,
];

/// Reasons that alerts use. Their series exist from the start: Prometheus sees no increase where a
/// series appears with the value 1.
const ALERTED_REASONS: [&str; 3] = ["OUTCOME_UNKNOWN", "UPSTREAM_UNAVAILABLE", "OVERLOADED"];

/// The instruments.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) call_duration: Histogram<f64>,
    pub(super) request_duration: Histogram<f64>,
    pub(super) in_flight: UpDownCounter<i64>,
    pub(super) circuit: Gauge<u64>,
    pub(super) store_reachable: Gauge<u64>,
    pub(super) file_current: Gauge<u64>,
    pub(super) certificate_expiry: Gauge<i64>,
    pub(super) counters: Counters,
}

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) attempts: Counter<u64>,
    pub(super) retries: Counter<u64>,
    pub(super) budget_exhausted: Counter<u64>,
    pub(super) recoveries: Counter<u64>,
    pub(super) replays: Counter<u64>,
    pub(super) failures: Counter<u64>,
    pub(super) refusals: Counter<u64>,
    pub(super) export_failures: Counter<u64>,
    pub(super) connections_refused: Counter<u64>,
    pub(super) handshakes_failed: Counter<u64>,
    pub(super) files_refused: Counter<u64>,
    pub(super) caller_calls: Counter<u64>,
}

// === impl Metrics ===

impl Metrics {
    pub(super) fn new(meter: &Meter) -> Self {
        observe_the_log(meter);
        Self {
            call_duration: seconds(
                meter,
                "rpc.server.call.duration",
                "Duration of calls, by method and status code.",
            ),
            request_duration: seconds(
                meter,
                "http.client.request.duration",
                "Duration of requests to Chartbrew, each attempt by itself, until the whole \
                 response was read.",
            ),
            in_flight: meter
                .i64_up_down_counter("chartbrew.gateway.calls.in_flight")
                .with_unit("{call}")
                .with_description("Calls whose callers wait for them.")
                .build(),
            circuit: meter
                .u64_gauge("chartbrew.gateway.circuit.state")
                .with_description("The state of the circuit to Chartbrew: 1 for the current one.")
                .build(),
            store_reachable: meter
                .u64_gauge("chartbrew.gateway.request_id_store.reachable")
                .with_description("Whether the store of request ids can be reached: 1 or 0.")
                .build(),
            file_current: meter
                .u64_gauge("chartbrew.gateway.file.current")
                .with_description(
                    "Whether the content of a file is in use: 1, or 0 if a changed content was \
                     refused.",
                )
                .build(),
            certificate_expiry: meter
                .i64_gauge("chartbrew.gateway.certificate.expiry")
                .with_unit("s")
                .with_description("When a certificate expires, in seconds since 1970.")
                .build(),
            counters: Counters::new(meter),
        }
    }

    /// Adds 0 to what alerts and dashboards use, so that the series exist.
    pub(super) fn begin_at_zero(&self) {
        let counters = &self.counters;
        for cause in RetryCause::ALL {
            counters.retries.add(0, &[label("cause", *cause)]);
        }
        for result in RecoveryResult::ALL {
            counters.recoveries.add(0, &[label("result", *result)]);
        }
        for reason in ALERTED_REASONS {
            counters.failures.add(0, &[KeyValue::new("reason", reason)]);
        }
        self.in_flight.add(0, &[]);
        counters.connections_refused.add(0, &[]);
        for cause in HandshakeFailure::ALL {
            counters.handshakes_failed.add(0, &[label("cause", *cause)]);
        }
        counters.replays.add(0, &[]);
        counters.budget_exhausted.add(0, &[]);
    }
}

// === impl Counters ===

impl Counters {
    fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit: &'static str, help: &'static str| {
            let counter = meter.u64_counter(name).with_unit(unit);
            counter.with_description(help).build()
        };
        Self {
            attempts: counter(
                "chartbrew.gateway.attempts",
                "{request}",
                "Requests sent to Chartbrew, each attempt by itself.",
            ),
            retries: counter(
                "chartbrew.gateway.retries",
                "{request}",
                "Requests that were sent again, by the cause.",
            ),
            budget_exhausted: counter(
                "chartbrew.gateway.retry_budget.exhausted",
                "{request}",
                "Retries that were not made because the retry budget had nothing left.",
            ),
            recoveries: counter(
                "chartbrew.gateway.recoveries",
                "{search}",
                "Searches for a connection whose creation got no response, by result.",
            ),
            replays: counter(
                "chartbrew.gateway.replays",
                "{call}",
                "Calls responded with what an earlier call with the same request_id had created.",
            ),
            failures: counter(
                "chartbrew.gateway.failures",
                "{call}",
                "Calls that failed, by the reason in their ErrorInfo.",
            ),
            refusals: counter(
                "chartbrew.gateway.refusals",
                "{call}",
                "Calls that failed before anything was sent to Chartbrew, by reason.",
            ),
            export_failures: counter(
                "chartbrew.gateway.telemetry.export_failures",
                "{export}",
                "Exports of telemetry that failed, by signal.",
            ),
            connections_refused: counter(
                "chartbrew.gateway.connections.refused",
                "{connection}",
                "Connections of callers that were closed at once: the limit was reached.",
            ),
            handshakes_failed: counter(
                "chartbrew.gateway.handshakes.failed",
                "{handshake}",
                "TLS handshakes of callers that failed, by cause.",
            ),
            files_refused: counter(
                "chartbrew.gateway.files.refused",
                "{content}",
                "Changed contents of files that were refused.",
            ),
            caller_calls: counter(
                "chartbrew.gateway.caller.calls",
                "{call}",
                "Calls by the callers of the callers file, by status code.",
            ),
        }
    }
}

fn observe_the_log(meter: &Meter) {
    let dropped = meter.u64_observable_counter("chartbrew.gateway.log.lines_dropped");
    let _registered = dropped
        .with_unit("{line}")
        .with_description("Lines of the log that were dropped because stderr did not take them.")
        .with_callback(|lines| lines.observe(logs::dropped() as u64, &[]))
        .build();
}

fn seconds(meter: &Meter, name: &'static str, help: &'static str) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_description(help)
        .with_boundaries(SECONDS.to_vec())
        .build()
}
