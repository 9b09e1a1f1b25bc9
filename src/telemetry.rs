//! What the gateway tells about itself. A leaf: every room may write to `tracing`, and to what is
//! public here.
//!
//! | | made by | goes to |
//! |---|---|---|
//! | log | `tracing` | stderr ([`Logs`]) |
//! | traces | [`Call`], [`Attempt`], [`record`] | a collector, by OTLP |
//! | metrics | the same, and [`InFlight`] | `/metrics` ([`scrape`]), and a collector, by OTLP |
//!
//! Names of spans, metrics and labels are written in here and nowhere else; other rooms say what
//! happened, in types. Until [`start`] was called, all of it does nothing; there is one of it a
//! process.

mod attempt;
mod call;
mod event;
mod labels;
pub mod logs;
mod metrics;
mod otlp;
mod scope;
mod settings;
mod traces;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    trace::SdkTracerProvider,
};

pub use self::{
    attempt::Attempt,
    call::{Call, Ended, Method, TraceIds},
    event::{Event, InFlight, record},
    labels::{CircuitState, RecoveryResult, RetryCause, Signal},
    logs::{Format, InvalidFilter, Logs},
    otlp::InvalidExport,
    scope::{carry, resent},
    settings::{
        DEFAULT_SERVICE_NAME, Export, Invalid, Protocol, Root, Sampling, Settings, parse_resource,
    },
};

/// What may be spent on the last delivery when the process ends.
const FLUSH: Duration = Duration::from_secs(2);

/// The `Content-Type` of a scrape: Prometheus' text format, 0.0.4.
pub const SCRAPE_FORMAT: &str = prometheus::TEXT_FORMAT;

/// The metrics cannot be written as text.
#[derive(Debug, thiserror::Error)]
#[error("the metrics cannot be written as text: {0}")]
pub struct ScrapeError(#[from] prometheus::Error);

/// Telemetry at work.
#[derive(Debug)]
#[must_use = "what was not sent yet is lost without `flush`"]
pub struct Guard {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// Begins to measure and to send. Must be called within the runtime that the exporters shall use.
///
/// # Errors
/// If an exporter cannot be set up. Whether a collector is there is not looked for.
pub fn start(settings: &Settings) -> Result<Guard, InvalidExport> {
    let Settings {
        metrics: measured,
        push_metrics,
        traces,
        sampler,
        service_name: _,
        resource: _,
    } = settings;
    let resource = resource(settings);
    let metrics = match (measured, push_metrics) {
        (false, None) => None,
        (_, push) => {
            let push = push.as_ref().map(otlp::metrics).transpose()?;
            let push = push.map(|exporter| PeriodicReader::builder(exporter).build());
            Some(metrics::start(resource.clone(), push)?)
        }
    };
    let traces = match traces {
        None => None,
        Some(export) => Some(traces::start(resource, *sampler, otlp::spans(export)?)),
    };
    Ok(Guard { traces, metrics })
}

fn resource(settings: &Settings) -> Resource {
    let given = settings.resource.iter();
    let given = given.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("telemetry.sdk.name", "opentelemetry"),
            KeyValue::new("telemetry.sdk.language", "rust"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ])
        .with_attributes(given)
        .with_service_name(settings.service_name.clone())
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
    /// Sends what was not sent yet, for no longer than two seconds.
    pub async fn flush(self) {
        let Self { traces, metrics } = self;
        let (done, flushed) = tokio::sync::oneshot::channel();
        // The SDK's shutdown blocks, and not always for as short as it is told: a thread that the
        // end of the process does not wait for.
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
