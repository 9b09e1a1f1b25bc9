//! Traces: a span for each [`Call`](super::Call) and one for each [`Attempt`](super::Attempt), and
//! the headers that tie them to their callers' and to Chartbrew's.
//!
//! Made with OpenTelemetry directly, not by way of `tracing` spans: those are built in full before
//! the sampler is asked. Here a span that is not sampled has an id and nothing
//! else, and its children are not even begun.
//!
//! Names and attributes are the semantic conventions' (1.45); they are written out in these files
//! and nowhere else.

use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{SpanContext, TraceContextExt, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider, SpanExporter},
};

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Starts to make spans. Once a process. The SDK reads which traces are sampled
/// (`OTEL_TRACES_SAMPLER`) by itself.
pub(super) fn start(
    resource: Resource,
    exporter: impl SpanExporter + 'static,
) -> SdkTracerProvider {
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_span_processor(BatchSpanProcessor::builder(exporter).build())
        .build();
    // A second start in the same process changes nothing.
    drop(TRACER.set(provider.tracer("chartbrew-gateway")));
    provider
}

/// What makes spans, if spans are made.
pub(super) fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
}

/// What the headers say of the trace that they belong to.
pub(super) fn extract(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Read(headers))
}

/// Writes the headers that make a span the parent of the receiver's spans.
pub(super) fn inject(span: &SpanContext, headers: &mut HeaderMap) {
    let context = Context::new().with_remote_span_context(span.clone());
    TraceContextPropagator::new().inject_context(&context, &mut Write(headers));
}

struct Read<'a>(&'a HeaderMap);

struct Write<'a>(&'a mut HeaderMap);

impl Extractor for Read<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

impl Injector for Write<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty `tracestate` says nothing.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
