//! Metrics: every name, unit and label, in one place.
//!
//! The same OpenTelemetry instruments are read by both exporters, the Prometheus one behind
//! `/metrics` and the OTLP one, so that the two cannot differ. The number of series is bounded: no
//! label holds what a caller or Chartbrew can choose (team, user, host, message, an unknown
//! method's name).
//!
//! The names follow the semantic conventions (1.45, where RPC became stable); they are written
//! out, since the crate that lists them is still at a version with other names.

use std::sync::OnceLock;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter, MeterProvider, UpDownCounter},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    metrics::{PeriodicReader, SdkMeterProvider, exporter::PushMetricExporter},
};
use prometheus::TextEncoder;

use super::labels::{CircuitState, Label, RecoveryResult, RetryCause, Signal};

/// Bounds of the buckets in seconds: those of the conventions, and up to 120, since a create may
/// take that long.
const SECONDS: [f64; 18] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 30.0,
    60.0, 120.0,
];

/// Reasons that alerts use. Their series exist from the start: Prometheus sees no increase where a
/// series appears with the value 1.
const ALERTED_REASONS: [&str; 3] = ["OUTCOME_UNKNOWN", "UPSTREAM_UNAVAILABLE", "OVERLOADED"];

static METRICS: OnceLock<Metrics> = OnceLock::new();

/// The instruments.
#[derive(Debug)]
struct Metrics {
    call_duration: Histogram<f64>,
    request_duration: Histogram<f64>,
    in_flight: UpDownCounter<i64>,
    circuit: Gauge<u64>,
    store_reachable: Gauge<u64>,
    counters: Counters,
}

#[derive(Debug)]
struct Counters {
    attempts: Counter<u64>,
    retries: Counter<u64>,
    budget_exhausted: Counter<u64>,
    recoveries: Counter<u64>,
    replays: Counter<u64>,
    failures: Counter<u64>,
    refusals: Counter<u64>,
    export_failures: Counter<u64>,
    connections_refused: Counter<u64>,
}

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallEnded {
    /// As in the contract, or `_OTHER`.
    pub(super) method: &'static str,
    /// The code's name.
    pub(super) code: &'static str,
    /// The code says that the gateway failed.
    pub(super) is_error: bool,
    /// The reason that its `ErrorInfo` gives.
    pub(super) reason: Option<&'static str>,
    /// Nothing was sent to Chartbrew for it.
    pub(super) nothing_sent: bool,
    pub(super) seconds: f64,
}

/// A request to Chartbrew that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestEnded<'a> {
    pub(super) method: &'static str,
    pub(super) template: &'static str,
    pub(super) status: Option<u16>,
    pub(super) error: Option<&'a str>,
    pub(super) seconds: f64,
}

/// Creates the instruments and their readers. Once a process.
pub(super) fn start<E: PushMetricExporter>(
    resource: Resource,
    push: Option<PeriodicReader<E>>,
) -> Result<SdkMeterProvider, OTelSdkError> {
    // The default registry has the metrics of the process already.
    let scraped = opentelemetry_prometheus::exporter()
        .with_registry(prometheus::default_registry().clone())
        .scope_info_enabled(false)
        .build()?;
    let mut provider = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(scraped);
    if let Some(push) = push {
        provider = provider.with_reader(push);
    }
    let provider = provider.build();
    let metrics = Metrics::new(&provider.meter("chartbrew-gateway"));
    metrics.begin_at_zero();
    // A second start in the same process changes nothing.
    drop(METRICS.set(metrics));
    Ok(provider)
}

/// All metrics in Prometheus' text format. Before [`start`], only those of the process.
pub(super) fn scrape() -> prometheus::Result<String> {
    TextEncoder::new().encode_to_string(&prometheus::gather())
}

fn metrics() -> Option<&'static Metrics> {
    METRICS.get()
}

pub(super) fn call_ended(call: CallEnded) {
    let Some(metrics) = metrics() else { return };
    let labels = [
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", call.method),
        KeyValue::new("rpc.status_code", call.code),
        KeyValue::new("error.type", call.code),
    ];
    // The last one only on errors.
    let labels = &labels[..if call.is_error { 4 } else { 3 }];
    metrics.call_duration.record(call.seconds, labels);
    if let Some(reason) = call.reason {
        let label = [KeyValue::new("reason", reason)];
        metrics.counters.failures.add(1, &label);
        if call.nothing_sent {
            metrics.counters.refusals.add(1, &label);
        }
    }
}

pub(super) fn request_began(method: &'static str, template: &'static str) {
    let Some(metrics) = metrics() else { return };
    metrics.counters.attempts.add(
        1,
        &[
            KeyValue::new("http.request.method", method),
            KeyValue::new("url.template", template),
        ],
    );
}

pub(super) fn request_ended(request: RequestEnded<'_>) {
    let Some(metrics) = metrics() else { return };
    let mut labels = vec![
        KeyValue::new("http.request.method", request.method),
        KeyValue::new("url.template", request.template),
    ];
    if let Some(status) = request.status {
        labels.push(KeyValue::new(
            "http.response.status_code",
            i64::from(status),
        ));
    }
    if let Some(error) = request.error {
        labels.push(KeyValue::new("error.type", error.to_owned()));
    }
    metrics.request_duration.record(request.seconds, &labels);
}

pub(super) fn in_flight(change: i64) {
    if let Some(metrics) = metrics() {
        metrics.in_flight.add(change, &[]);
    }
}

pub(super) fn retried(cause: RetryCause) {
    if let Some(metrics) = metrics() {
        metrics.counters.retries.add(1, &[label("cause", cause)]);
    }
}

pub(super) fn budget_exhausted() {
    if let Some(metrics) = metrics() {
        metrics.counters.budget_exhausted.add(1, &[]);
    }
}

pub(super) fn circuit(state: CircuitState) {
    if let Some(metrics) = metrics() {
        for known in CircuitState::ALL {
            let here = u64::from(*known == state);
            metrics.circuit.record(here, &[label("state", *known)]);
        }
    }
}

pub(super) fn recovered(result: RecoveryResult) {
    if let Some(metrics) = metrics() {
        metrics
            .counters
            .recoveries
            .add(1, &[label("result", result)]);
    }
}

pub(super) fn replayed() {
    if let Some(metrics) = metrics() {
        metrics.counters.replays.add(1, &[]);
    }
}

pub(super) fn store_reachable(reachable: bool) {
    if let Some(metrics) = metrics() {
        metrics.store_reachable.record(u64::from(reachable), &[]);
    }
}

pub(super) fn connection_refused() {
    if let Some(metrics) = metrics() {
        metrics.counters.connections_refused.add(1, &[]);
    }
}

pub(super) fn export_failed(signal: Signal) {
    if let Some(metrics) = metrics() {
        metrics
            .counters
            .export_failures
            .add(1, &[label("signal", signal)]);
    }
}

fn label<L: Label>(key: &'static str, value: L) -> KeyValue {
    KeyValue::new(key, value.name())
}

// === impl Metrics ===

impl Metrics {
    fn new(meter: &Meter) -> Self {
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
            counters: Counters::new(meter),
        }
    }

    fn begin_at_zero(&self) {
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
                "Calls answered with what an earlier call with the same request_id had created.",
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
        }
    }
}

fn seconds(meter: &Meter, name: &'static str, help: &'static str) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_unit("s")
        .with_description(help)
        .with_boundaries(SECONDS.to_vec())
        .build()
}
