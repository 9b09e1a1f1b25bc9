//! Log, traces and metrics. Of the other modules it uses `crypto` only.
//!
//! | | made by | exported to |
//! |---|---|---|
//! | log | `tracing` | stderr ([`Logs`]) |
//! | traces | [`Call`], [`Attempt`], [`record()`] | a collector, by OTLP |
//! | metrics | the same, and [`InFlight`] | `/metrics` ([`scrape`]), and a collector, by OTLP |
//!
//! Names of spans, metrics and labels are in this module and nowhere else: other modules pass
//! types. Without a call of [`start`] nothing is measured or traced. There is one tracer and one
//! set of instruments in a process.

mod attempt;
mod call;
mod event;
mod labels;
pub mod logs;
mod metrics;
mod otlp;
mod panics;
mod record;
mod trace_context;
mod traces;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SdkTracerProvider,
};

pub use self::{
    attempt::Attempt,
    call::{Call, Ended, Method, TraceIds},
    event::Event,
    labels::{
        Certificate, CircuitState, FileKind, HandshakeFailure, RecoveryResult, RetryCause, Signal,
    },
    logs::{Format, InvalidFilter, Logging, Logs},
    otlp::{Collector, InvalidExporter},
    record::{InFlight, record},
    trace_context::{propagate, with_resend_count},
};

/// Limit of the last export when the process ends.
const FLUSH: Duration = Duration::from_secs(2);

/// The `Content-Type` of a scrape: Prometheus' text format, 0.0.4.
pub const SCRAPE_FORMAT: &str = prometheus::TEXT_FORMAT;

/// What is measured and exported, apart from the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Measures calls. Off where no exporter would read the metrics: there is neither an admin port
    /// nor a collector of metrics.
    pub metrics: bool,
    /// Where metrics are exported to, apart from `/metrics`. `None`: nowhere.
    pub push_metrics: Option<Collector>,
    /// Where traces are exported to. `None`: no span is made, and the trace headers of callers are
    /// forwarded unchanged.
    pub traces: Option<Collector>,
}

/// The metrics cannot be written as text.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be written as text: {0}")]
pub struct ScrapeError(#[from] prometheus::Error);

/// The running exporters.
#[derive(Debug)]
#[must_use = "what was not exported yet is lost without `flush`"]
pub struct Guard {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// Starts to measure and to export. Must be called within the runtime that the exporters shall use.
///
/// # Errors
/// If an exporter cannot be set up. No collector is contacted yet.
pub fn start(settings: Settings) -> Result<Guard, InvalidExporter> {
    let Settings {
        metrics: measured,
        push_metrics,
        traces,
    } = settings;
    let resource = resource();
    let push = push_metrics.map(otlp::metrics).transpose()?;
    let push = push.map(|exporter| PeriodicReader::builder(exporter).build());
    let metrics = match measured {
        true => Some(metrics::start(resource.clone(), push)?),
        false => None,
    };
    let traces = match traces {
        Some(collector) => Some(traces::start(resource, otlp::spans(collector)?)),
        None => None,
    };
    Ok(Guard { traces, metrics })
}

/// The attributes of this process, which `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` change.
fn resource() -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name("chartbrew-gateway")
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ])
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
        ]);
    match std::env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name),
        _ => resource,
    }
    .build()
}

/// All metrics in the format [`SCRAPE_FORMAT`]; only those of the process if nothing else is
/// measured.
///
/// # Errors
/// If a metric cannot be written as text.
pub fn scrape() -> Result<String, ScrapeError> {
    Ok(metrics::scrape()?)
}

// === impl Guard ===

impl Guard {
    /// Exports what was not exported yet, for no longer than two seconds.
    pub async fn flush(self) {
        let Self { traces, metrics } = self;
        let (done, flushed) = tokio::sync::oneshot::channel();
        // The SDK's shutdown blocks, at times for longer than its timeout: a thread that the end of
        // the process does not wait for.
        std::thread::spawn(move || {
            let metrics =
                std::thread::spawn(move || metrics.map(|m| m.shutdown_with_timeout(FLUSH)));
            if let Some(traces) = traces {
                drop(traces.shutdown_with_timeout(FLUSH));
            }
            drop(metrics.join());
            // Nobody may be waiting any more.
            done.send(()).unwrap_or_default();
        });
        if tokio::time::timeout(FLUSH, flushed).await.is_err() {
            tracing::warn!("telemetry that the collector did not take in time is lost");
        }
    }
}
