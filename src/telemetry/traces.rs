//! Traces: a span for each call and one for each request that it makes of Chartbrew.
//!
//! Made with OpenTelemetry directly, not by way of `tracing` spans: those are built in full before
//! anyone asks whether the trace is kept. Here a span that is not sampled has an id and nothing
//! else, and its children are not even begun.
//!
//! Names and attributes are the semantic conventions' (1.45), written out here and nowhere else.

use std::{borrow::Cow, future::Future, sync::OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span},
};
use tokio::time::Instant;
use url::Url;

use super::{
    metrics::{self, CallEnded, RequestEnded},
    otlp::Watched,
    scope::{self, Scope},
    settings::Sampling,
};

/// The codes of gRPC, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The codes that are a server's fault (conventions for gRPC, server spans).
const ERRORS: [&str; 6] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Begins to make spans. Once a process.
pub(super) fn start(
    resource: Resource,
    sampling: Sampling,
    exporter: Watched<opentelemetry_otlp::SpanExporter>,
) -> SdkTracerProvider {
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(sampling.sampler())
        .with_span_processor(BatchSpanProcessor::builder(exporter).build())
        .build();
    // A second start in the same process changes nothing.
    drop(TRACER.set(provider.tracer("chartbrew-gateway")));
    provider
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A method of the contract: `package.Service/Method`.
    Known(&'static str),
    /// One of the standard services (health, reflection), which are not told of.
    Standard,
    /// Something that there is not. Its name is the caller's and stays out of every label.
    Unknown,
}

/// A call, from its arrival to its end. Ends as the caller's doing if it is only dropped.
#[derive(Debug)]
pub struct Call {
    method: Option<&'static str>,
    scope: Scope,
    began: Instant,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// gRPC's code.
    pub code: i32,
    /// The reason that its `ErrorInfo` gives.
    pub reason: Option<&'static str>,
    /// How often the request was sent to Chartbrew.
    pub attempts: u32,
    /// Where its answer came from, if not from Chartbrew's answer to it.
    pub outcome: Option<&'static str>,
}

/// A trace and a span, as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceIds {
    /// 32 hexadecimal digits.
    pub trace: String,
    /// 16 hexadecimal digits.
    pub span: String,
}

/// One request to Chartbrew, from its sending to the end of its answer.
#[derive(Debug)]
pub struct Attempt {
    method: &'static str,
    template: &'static str,
    scope: Scope,
    span: Option<Span>,
    began: Instant,
    status: Option<u16>,
    ended: bool,
}

// === impl Call ===

impl Call {
    /// Begins with what the caller sent of its trace.
    #[must_use]
    pub fn begin(method: Method, headers: &HeaderMap) -> Self {
        let method = match method {
            Method::Known(name) => Some(name),
            Method::Unknown => Some("_OTHER"),
            Method::Standard => None,
        };
        let scope = method.map_or_else(Scope::default, |method| {
            let context = TRACER
                .get()
                .map(|tracer| server_span(tracer, method, headers));
            Scope::new(context, scope::trace_headers(headers))
        });
        Self {
            method,
            scope,
            began: Instant::now(),
        }
    }

    /// Does the call's work as part of it.
    pub fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        scope::enter(self.scope.clone(), work)
    }

    /// The trace it belongs to: its own span where one is kept, else the caller's.
    #[must_use]
    pub fn trace_ids(&self) -> Option<TraceIds> {
        let ids = |span: &SpanContext| TraceIds {
            trace: span.trace_id().to_string(),
            span: span.span_id().to_string(),
        };
        match self.scope.context() {
            Some(context) => Some(ids(context.span().span_context())),
            None => {
                let (_, parent) = self.scope.headers().find(|(n, _)| *n == "traceparent")?;
                let headers = HeaderMap::from_iter([(
                    HeaderName::from_static("traceparent"),
                    parent.clone(),
                )]);
                let context = extract(&headers);
                let span = context.span();
                span.span_context()
                    .is_valid()
                    .then(|| ids(span.span_context()))
            }
        }
    }

    /// Measures it and ends its span.
    pub fn end(&self, ended: Ended) {
        let Some(method) = self.method else { return };
        let code = usize::try_from(ended.code).ok();
        let code = code.and_then(|code| CODES.get(code)).unwrap_or(&"UNKNOWN");
        let is_error = ERRORS.contains(code);
        metrics::call_ended(CallEnded {
            method,
            code,
            is_error,
            reason: ended.reason,
            nothing_sent: ended.attempts == 0,
            seconds: self.began.elapsed().as_secs_f64(),
        });
        let Some(context) = self.scope.recording() else {
            return;
        };
        let span = context.span();
        span.set_attribute(KeyValue::new("rpc.status_code", *code));
        span.set_attribute(KeyValue::new(
            "chartbrew.gateway.attempts",
            i64::from(ended.attempts),
        ));
        if let Some(reason) = ended.reason {
            span.set_attribute(KeyValue::new("chartbrew.gateway.reason", reason));
        }
        if let Some(outcome) = ended.outcome {
            span.set_attribute(KeyValue::new("chartbrew.gateway.outcome", outcome));
        }
        if is_error {
            span.set_attribute(KeyValue::new("error.type", *code));
            span.set_status(Status::error(ended.reason.unwrap_or_default()));
        }
        span.end();
    }
}

fn server_span(tracer: &SdkTracer, method: &'static str, headers: &HeaderMap) -> Context {
    // A name that is the caller's own is no name for a span (conventions, RPC span name).
    let name = if method == "_OTHER" { "grpc" } else { method };
    let builder = tracer.span_builder(name).with_kind(SpanKind::Server);
    let parent = extract(headers);
    let mut span = tracer.build_with_context(builder, &parent);
    if span.is_recording() {
        span.set_attribute(KeyValue::new("rpc.system.name", "grpc"));
        span.set_attribute(KeyValue::new("rpc.method", method));
    }
    Context::new().with_span(span)
}

fn extract(headers: &HeaderMap) -> Context {
    struct Headers<'a>(&'a HeaderMap);
    impl opentelemetry::propagation::Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(HeaderName::as_str).collect()
        }
    }
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
}

// === impl Attempt ===

impl Attempt {
    /// Begins a request of the call at hand. `template` is the path with names for its parts.
    #[must_use]
    pub fn begin(method: &'static str, template: &'static str, url: &Url) -> Self {
        metrics::request_began(method, template);
        let scope = scope::current();
        let span = scope
            .recording()
            .zip(TRACER.get())
            .map(|(context, tracer)| {
                client_span(tracer, context, method, template, url, scope.resends())
            });
        Self {
            method,
            template,
            scope,
            span,
            began: Instant::now(),
            status: None,
            ended: false,
        }
    }

    /// The headers that tell Chartbrew of the trace: with this request as the parent if spans are
    /// made, else as they came from the caller.
    pub fn write_to(&self, headers: &mut HeaderMap) {
        let ours = match (&self.span, self.scope.context()) {
            (Some(span), _) => Some(span.span_context().clone()),
            (None, Some(context)) => Some(context.span().span_context().clone()),
            (None, None) => None,
        };
        for (name, value) in self.scope.headers() {
            if ours.is_none() || *name == "baggage" {
                headers.insert(*name, value.clone());
            }
        }
        if let Some(span) = ours {
            inject(&span, headers);
        }
    }

    /// The status has arrived.
    pub fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// It ended: well, or with an error of this class, which counts where no status tells more.
    pub fn end(mut self, error: Option<&'static str>) {
        self.finish(error);
    }

    fn finish(&mut self, error: Option<&'static str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let error: Option<Cow<'static, str>> = match self.status {
            Some(status @ 400..) => Some(status.to_string().into()),
            _ => error.map(Cow::Borrowed),
        };
        metrics::request_ended(RequestEnded {
            method: self.method,
            template: self.template,
            status: self.status,
            error: error.as_deref(),
            seconds: self.began.elapsed().as_secs_f64(),
        });
        let Some(span) = &mut self.span else { return };
        if let Some(status) = self.status {
            span.set_attribute(KeyValue::new(
                "http.response.status_code",
                i64::from(status),
            ));
        }
        if let Some(error) = error {
            span.set_attribute(KeyValue::new("error.type", error.into_owned()));
            // Without a text: the class says it all (conventions, HTTP span status).
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Nobody waits for it any more.
        self.finish(Some("cancelled"));
    }
}

fn client_span(
    tracer: &SdkTracer,
    context: &Context,
    method: &'static str,
    template: &'static str,
    url: &Url,
    resends: u32,
) -> Span {
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.template", template),
        KeyValue::new("url.full", url.to_string()),
    ];
    if let Some(host) = url.host_str() {
        attributes.push(KeyValue::new("server.address", host.to_owned()));
    }
    if let Some(port) = url.port_or_known_default() {
        attributes.push(KeyValue::new("server.port", i64::from(port)));
    }
    if resends > 0 {
        let resends = KeyValue::new("http.request.resend_count", i64::from(resends));
        attributes.push(resends);
    }
    let builder = tracer
        .span_builder(format!("{method} {template}"))
        .with_kind(SpanKind::Client)
        .with_attributes(attributes);
    tracer.build_with_context(builder, context)
}

fn inject(span: &SpanContext, headers: &mut HeaderMap) {
    struct Headers<'a>(&'a mut HeaderMap);
    impl opentelemetry::propagation::Injector for Headers<'_> {
        fn set(&mut self, key: &str, value: String) {
            let name = HeaderName::try_from(key);
            // An empty `tracestate` says nothing.
            if let (Ok(name), Ok(value), false) =
                (name, HeaderValue::try_from(&value), value.is_empty())
            {
                self.0.insert(name, value);
            }
        }
    }
    let context = Context::new().with_remote_span_context(span.clone());
    TraceContextPropagator::new().inject_context(&context, &mut Headers(headers));
}
