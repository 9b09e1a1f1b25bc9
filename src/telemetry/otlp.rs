//! The way to a collector, which never stands in the way of a call.
//!
//! Spans wait in a bounded queue and are dropped when it is full; metrics are read when it is time
//! to send them. A collector that is down, slow or refuses is told of once, then again only after
//! five minutes of it, or when it took something in between.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol as Spoken, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig, tonic_types::transport::ClientTlsConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SpanData, SpanExporter as ExportSpans},
};
use tokio::{runtime::Handle, time::Instant};

use super::{
    labels::Signal,
    metrics,
    settings::{Export, Protocol},
};

/// How long a failure that goes on is not told of again.
const SILENCE: Duration = Duration::from_secs(300);

/// The way to the collector cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InvalidExport {
    /// By OpenTelemetry's own judgement.
    #[error("the {signal} exporter cannot be set up: {error}")]
    Exporter {
        /// What it was for.
        signal: Signal,
        /// Why not.
        #[source]
        error: ExporterBuildError,
    },
    /// The HTTP client cannot be built.
    #[error("the HTTP client of the exporter cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// The exporter behind `/metrics` cannot be set up.
    #[error("the Prometheus exporter cannot be set up: {0}")]
    Prometheus(#[from] OTelSdkError),
}

/// An exporter that runs with the runtime's timers and sockets, from whatever thread it is called,
/// and whose failures are told of now and then.
#[derive(Debug)]
pub(super) struct Watched<E> {
    inner: E,
    runtime: Handle,
    watch: Arc<Watch>,
}

/// Decides what is told.
#[derive(Debug)]
struct Watch {
    signal: Signal,
    last_told: Mutex<Option<Instant>>,
}

/// The exporter of spans.
pub(super) fn spans(export: &Export) -> Result<Watched<SpanExporter>, InvalidExport> {
    let signal = Signal::Traces;
    let built = match export.protocol {
        Protocol::Grpc => {
            let builder = SpanExporter::builder()
                .with_tonic()
                .with_endpoint(export.endpoint.as_str())
                .with_timeout(export.timeout);
            match tls(export) {
                Some(tls) => builder.with_tls_config(tls).build(),
                None => builder.build(),
            }
        }
        Protocol::Http => SpanExporter::builder()
            .with_http()
            .with_http_client(http_client(export)?)
            .with_protocol(Spoken::HttpBinary)
            .with_endpoint(export.endpoint.as_str())
            .with_timeout(export.timeout)
            .build(),
    };
    Watched::new(signal, built)
}

/// The exporter of metrics.
pub(super) fn metrics(export: &Export) -> Result<Watched<MetricExporter>, InvalidExport> {
    let signal = Signal::Metrics;
    let built = match export.protocol {
        Protocol::Grpc => {
            let builder = MetricExporter::builder()
                .with_tonic()
                .with_endpoint(export.endpoint.as_str())
                .with_timeout(export.timeout);
            match tls(export) {
                Some(tls) => builder.with_tls_config(tls).build(),
                None => builder.build(),
            }
        }
        Protocol::Http => MetricExporter::builder()
            .with_http()
            .with_http_client(http_client(export)?)
            .with_protocol(Spoken::HttpBinary)
            .with_endpoint(export.endpoint.as_str())
            .with_timeout(export.timeout)
            .build(),
    };
    Watched::new(signal, built)
}

fn tls(export: &Export) -> Option<ClientTlsConfig> {
    install_provider();
    (export.endpoint.scheme() == "https").then(|| ClientTlsConfig::new().with_enabled_roots())
}

fn http_client(export: &Export) -> Result<reqwest::Client, reqwest::Error> {
    install_provider();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(export.timeout)
        .build()
}

fn install_provider() {
    // Another part of the process may have chosen a provider already: that one serves too.
    drop(rustls::crypto::ring::default_provider().install_default());
}

// === impl Watched ===

impl<E> Watched<E> {
    fn new(signal: Signal, built: Result<E, ExporterBuildError>) -> Result<Self, InvalidExport> {
        Ok(Self {
            inner: built.map_err(|error| InvalidExport::Exporter { signal, error })?,
            runtime: Handle::current(),
            watch: Arc::new(Watch {
                signal,
                last_told: Mutex::new(None),
            }),
        })
    }

    async fn watched(&self, work: impl Future<Output = OTelSdkResult> + Send) -> OTelSdkResult {
        let result = within(&self.runtime, work).await;
        self.watch.see(&result);
        result
    }
}

/// Polls with the runtime at hand: the SDK calls exporters from threads of its own.
async fn within<F: Future + Send>(runtime: &Handle, work: F) -> F::Output {
    let mut work = pin!(work);
    std::future::poll_fn(|context| -> Poll<F::Output> {
        let _entered = runtime.enter();
        Pin::as_mut(&mut work).poll(context)
    })
    .await
}

impl ExportSpans for Watched<SpanExporter> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.watched(self.inner.export(batch)).await
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

impl PushMetricExporter for Watched<MetricExporter> {
    async fn export(&self, all: &ResourceMetrics) -> OTelSdkResult {
        self.watched(self.inner.export(all)).await
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

// === impl Watch ===

impl Watch {
    fn see(&self, result: &OTelSdkResult) {
        let signal = self.signal;
        let now = Instant::now();
        match result {
            Ok(()) => {
                if self.last_told().take().is_some() {
                    tracing::info!(%signal, "the collector takes telemetry again");
                }
            }
            Err(error) => {
                metrics::export_failed(signal);
                let mut last = self.last_told();
                if last.is_none_or(|last| now.duration_since(last) >= SILENCE) {
                    *last = Some(now);
                    tracing::warn!(
                        %signal, %error,
                        "the collector does not take telemetry; calls are not affected, what does \
                         not fit into the queue is dropped"
                    );
                }
            }
        }
    }

    fn last_told(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        // A panic elsewhere leaves a time all the same.
        self.last_told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
