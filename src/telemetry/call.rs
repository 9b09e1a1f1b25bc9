//! A call as its caller and its operator see it: a server span, a duration, an outcome.

use std::future::Future;

use http::{HeaderMap, HeaderName};
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanContext, SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::SdkTracer;
use tokio::time::Instant;

use super::{
    metrics::{self, CallEnded},
    trace_context::{self, TraceContext},
    traces::{extract, tracer},
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

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A method of the contract: `package.Service/Method`.
    Known(&'static str),
    /// One of the standard services (health, reflection), which are not recorded.
    Standard,
    /// Something that there is not. Its name is the caller's and stays out of every label.
    Unknown,
}

/// A call, from its arrival to its end. Its holder reports both.
#[derive(Debug)]
pub struct Call {
    method: Option<&'static str>,
    trace: TraceContext,
    began: Instant,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// gRPC's code.
    pub code: i32,
    /// The reason that its `ErrorInfo` gives.
    pub reason: Option<&'static str>,
    /// The caller's name in the callers file.
    pub caller: Option<&'a str>,
    /// How often the request was sent to Chartbrew.
    pub attempts: u32,
    /// Where its response came from, if not from Chartbrew's response to it.
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
        let trace = method.map_or_else(TraceContext::default, |method| {
            let context = tracer().map(|tracer| server_span(tracer, method, headers));
            TraceContext::new(context, trace_context::trace_headers(headers))
        });
        Self {
            method,
            trace,
            began: Instant::now(),
        }
    }

    /// Does the call's work as part of it.
    pub fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        trace_context::enter(self.trace.clone(), work)
    }

    /// The trace it belongs to: its own span where one is kept, else the caller's.
    #[must_use]
    pub fn trace_ids(&self) -> Option<TraceIds> {
        let ids = |span: &SpanContext| TraceIds {
            trace: span.trace_id().to_string(),
            span: span.span_id().to_string(),
        };
        match self.trace.context() {
            Some(context) => Some(ids(context.span().span_context())),
            None => {
                let (_, parent) = self.trace.headers().find(|(n, _)| *n == "traceparent")?;
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
    pub fn end(&self, ended: Ended<'_>) {
        let Some(method) = self.method else { return };
        let code = usize::try_from(ended.code).ok();
        let code = code.and_then(|code| CODES.get(code)).unwrap_or(&"UNKNOWN");
        let is_error = ERRORS.contains(code);
        metrics::call_ended(CallEnded {
            method,
            code,
            is_error,
            reason: ended.reason,
            caller: ended.caller,
            nothing_sent: ended.attempts == 0,
            seconds: self.began.elapsed().as_secs_f64(),
        });
        let Some(context) = self.trace.recording() else {
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
        if let Some(caller) = ended.caller {
            let caller = caller.to_owned();
            span.set_attribute(KeyValue::new("chartbrew.gateway.caller", caller));
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
