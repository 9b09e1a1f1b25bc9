//! The OTLP exporters. They never delay a call.
//!
//! Spans wait in a bounded queue and are dropped when it is full; metrics are read when they are
//! exported. Each export that fails is counted. It is logged if the one before succeeded, and at
//! most every five minutes.

use std::{
    env,
    future::Future,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, OTEL_EXPORTER_OTLP_METRICS_TIMEOUT,
    OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT,
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, SpanExporter, WithHttpConfig, WithTonicConfig,
    tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter as ExportSpans},
};
use tokio::{runtime::Handle, time::Instant};

use super::{labels::Signal, metrics};
use crate::crypto;

/// How long failures are not logged after one was.
const LOG_INTERVAL: Duration = Duration::from_secs(300);

/// The collector of a signal, by how it is called. Where it is, and most else, the SDK reads from the
/// environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collector {
    /// By HTTP, with or without TLS.
    Http,
    /// By gRPC.
    Grpc,
    /// By gRPC over TLS: the SDK trusts no certificate authority then, unless told to.
    GrpcTls,
}

/// An exporter cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InvalidExporter {
    /// One of the OTLP exporters.
    #[error("the OTLP exporter of {signal} cannot be set up: {error}")]
    Otlp {
        /// What it exports.
        signal: Signal,
        /// Why not.
        #[source]
        error: ExporterBuildError,
    },
    /// The client for a collector that is called by HTTP.
    #[error("the HTTP client for the collector of {signal} cannot be set up: {error}")]
    Http {
        /// What is sent to it.
        signal: Signal,
        /// Why not.
        #[source]
        error: reqwest::Error,
    },
    /// The one behind `/metrics`.
    #[error("the Prometheus exporter cannot be set up: {0}")]
    Prometheus(#[from] OTelSdkError),
}

/// An exporter whose failures are counted and logged, and that may be called from any thread.
#[derive(Debug)]
pub(super) struct Monitored<E> {
    inner: E,
    runtime: Handle,
    signal: Signal,
    /// When a failure was logged, if exports have failed since.
    logged: Mutex<Option<Instant>>,
}

/// The exporter of spans.
pub(super) fn spans(collector: Collector) -> Result<Monitored<SpanExporter>, InvalidExporter> {
    crypto::install_provider();
    let builder = SpanExporter::builder();
    let built = match collector {
        Collector::Http => {
            let client = http_client(Signal::Traces)?;
            builder.with_http().with_http_client(client).build()
        }
        Collector::Grpc => builder.with_tonic().build(),
        Collector::GrpcTls => builder.with_tonic().with_tls_config(authorities()).build(),
    };
    Monitored::new(Signal::Traces, built)
}

/// The exporter of metrics.
pub(super) fn metrics(collector: Collector) -> Result<Monitored<MetricExporter>, InvalidExporter> {
    crypto::install_provider();
    let builder = MetricExporter::builder();
    let built = match collector {
        Collector::Http => {
            let client = http_client(Signal::Metrics)?;
            builder.with_http().with_http_client(client).build()
        }
        Collector::Grpc => builder.with_tonic().build(),
        Collector::GrpcTls => builder.with_tonic().with_tls_config(authorities()).build(),
    };
    Monitored::new(Signal::Metrics, built)
}

/// The SDK's own would follow redirects, and send the headers along, which can be secrets.
fn http_client(signal: Signal) -> Result<reqwest::Client, InvalidExporter> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout(signal, &|variable| env::var(variable).ok()));
    let client = client.build();
    client.map_err(|error| InvalidExporter::Http { signal, error })
}

/// The limit of one export, as the SDK reads it. The SDK gives it only to a client of its own.
fn timeout(signal: Signal, variable: &dyn Fn(&str) -> Option<String>) -> Duration {
    let own = match signal {
        Signal::Traces => OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
        Signal::Metrics => OTEL_EXPORTER_OTLP_METRICS_TIMEOUT,
    };
    let mut limits = [own, OTEL_EXPORTER_OTLP_TIMEOUT].into_iter();
    let limit = limits.find_map(|name| variable(name)?.parse().ok());
    limit.map_or(OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT, Duration::from_millis)
}

/// Trusts the authorities that the machine trusts.
fn authorities() -> ClientTlsConfig {
    ClientTlsConfig::new().with_enabled_roots()
}

// === impl Monitored ===

impl<E> Monitored<E> {
    fn new(signal: Signal, built: Result<E, ExporterBuildError>) -> Result<Self, InvalidExporter> {
        Ok(Self {
            inner: built.map_err(|error| InvalidExporter::Otlp { signal, error })?,
            runtime: Handle::current(),
            signal,
            logged: Mutex::new(None),
        })
    }

    async fn monitor(&self, export: impl Future<Output = OTelSdkResult> + Send) -> OTelSdkResult {
        let result = within(&self.runtime, export).await;
        let signal = self.signal;
        match &result {
            Ok(()) => {
                if self.logged().take().is_some() {
                    tracing::info!(%signal, "the collector takes telemetry again");
                }
            }
            Err(error) => {
                metrics::export_failed(signal);
                if self.should_log() {
                    tracing::warn!(
                        %signal, %error,
                        "the collector does not take telemetry; calls are not affected, what does \
                         not fit into the queue is dropped"
                    );
                }
            }
        }
        result
    }

    fn should_log(&self) -> bool {
        let now = Instant::now();
        let mut logged = self.logged();
        let should = logged.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL);
        if should {
            *logged = Some(now);
        }
        should
    }

    fn logged(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        // A panic elsewhere leaves a time all the same.
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Polls with the runtime at hand: the SDK calls exporters from threads of its own.
async fn within<F: Future + Send>(runtime: &Handle, export: F) -> F::Output {
    let mut export = pin!(export);
    std::future::poll_fn(|context| -> Poll<F::Output> {
        let _entered = runtime.enter();
        Pin::as_mut(&mut export).poll(context)
    })
    .await
}

impl ExportSpans for Monitored<SpanExporter> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.monitor(self.inner.export(batch)).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl PushMetricExporter for Monitored<MetricExporter> {
    async fn export(&self, all: &ResourceMetrics) -> OTelSdkResult {
        self.monitor(self.inner.export(all)).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signals_own_limit_comes_first() {
        let limit = |variables: &[(&str, &str)]| {
            timeout(Signal::Traces, &|name| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| (*value).to_owned())
            })
            .as_millis()
        };
        let common = (OTEL_EXPORTER_OTLP_TIMEOUT, "2");
        assert_eq!(limit(&[]), 10_000);
        assert_eq!(
            limit(&[common, (OTEL_EXPORTER_OTLP_METRICS_TIMEOUT, "1")]),
            2
        );
        assert_eq!(
            limit(&[common, (OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, "1")]),
            1
        );
        assert_eq!(
            limit(&[common, (OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, "1s")]),
            2
        );
    }
}
