//! Metrics: what is recorded, with which labels.
//!
//! The same OpenTelemetry instruments are read by both exporters, the Prometheus one behind
//! `/metrics` and the OTLP one, so that the two cannot differ. The number of series is bounded: no
//! label holds what a caller or Chartbrew can choose (team, user, host, message, an unknown
//! method's name).

mod instruments;

use std::sync::OnceLock;

use opentelemetry::{KeyValue, metrics::MeterProvider};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    metrics::{PeriodicReader, SdkMeterProvider, exporter::PushMetricExporter},
};
use prometheus::TextEncoder;

use self::instruments::Metrics;
use super::{
    event::Event,
    labels::{CircuitState, Label, Signal, label},
};

static METRICS: OnceLock<Metrics> = OnceLock::new();

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallEnded<'a> {
    /// As in the contract, or `_OTHER`.
    pub(super) method: &'static str,
    /// The code's name.
    pub(super) code: &'static str,
    /// The code says that the gateway failed.
    pub(super) is_error: bool,
    /// The reason that its `ErrorInfo` gives.
    pub(super) reason: Option<&'static str>,
    /// The caller's name in the callers file, of which there is a limited number.
    pub(super) caller: Option<&'a str>,
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
    // They are not set yet: the registry refuses a second exporter.
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

pub(super) fn call_ended(call: CallEnded<'_>) {
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
    if let Some(caller) = call.caller {
        let labels = [
            KeyValue::new("caller", caller.to_owned()),
            KeyValue::new("rpc.status_code", call.code),
        ];
        metrics.counters.caller_calls.add(1, &labels);
    }
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

pub(super) fn count(event: Event) {
    let Some(metrics) = metrics() else { return };
    let counters = &metrics.counters;
    match event {
        Event::Retry { cause, .. } => counters.retries.add(1, &[label("cause", cause)]),
        Event::BudgetExhausted => counters.budget_exhausted.add(1, &[]),
        Event::Recovery(result) => counters.recoveries.add(1, &[label("result", result)]),
        Event::Replay => counters.replays.add(1, &[]),
        Event::Circuit(state) => {
            for known in CircuitState::ALL {
                let value = u64::from(*known == state);
                metrics.circuit.record(value, &[label("state", *known)]);
            }
        }
        Event::StoreReachable(reachable) => {
            metrics.store_reachable.record(u64::from(reachable), &[]);
        }
        Event::ConnectionRefused => counters.connections_refused.add(1, &[]),
        Event::HandshakeFailed(cause) => {
            counters.handshakes_failed.add(1, &[label("cause", cause)]);
        }
        Event::Loaded { kind, is_used } => {
            let file = [label("file", kind)];
            counters.files_refused.add(u64::from(!is_used), &file);
            metrics.file_current.record(u64::from(is_used), &file);
        }
        Event::Expires { certificate, at } => {
            let labels = [label("certificate", certificate)];
            metrics.certificate_expiry.record(at, &labels);
        }
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
