//! A request to Chartbrew: a client span, a duration, and the trace's headers on the way out.

use std::borrow::Cow;

use http::HeaderMap;
use opentelemetry::{
    KeyValue,
    trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_sdk::trace::Span;
use tokio::time::Instant;
use url::Url;

use super::{
    metrics::{self, RequestEnded},
    trace_context::{self, TraceContext},
    traces::{inject, tracer},
};

/// One request to Chartbrew, from its sending to the end of its response.
#[derive(Debug)]
pub struct Attempt {
    method: &'static str,
    template: &'static str,
    trace: TraceContext,
    /// Boxed: few requests have one, and all would have the place for it.
    span: Option<Box<Span>>,
    began: Instant,
    status: Option<u16>,
    ended: bool,
}

// === impl Attempt ===

impl Attempt {
    /// Begins a request of the call at hand. `template` is the path with names for its parts. `url`
    /// is asked for if the request is traced.
    #[must_use]
    pub fn begin(
        method: &'static str,
        template: &'static str,
        url: impl FnOnce() -> Option<Url>,
    ) -> Self {
        metrics::request_began(method, template);
        let trace = trace_context::current();
        let span = trace.recording().zip(tracer()).map(|(context, tracer)| {
            let mut attributes = vec![
                KeyValue::new("http.request.method", method),
                KeyValue::new("url.template", template),
            ];
            attributes.extend(url().iter().flat_map(url_attributes));
            if trace.resends() > 0 {
                let resends = i64::from(trace.resends());
                attributes.push(KeyValue::new("http.request.resend_count", resends));
            }
            let builder = tracer
                .span_builder(format!("{method} {template}"))
                .with_kind(SpanKind::Client)
                .with_attributes(attributes);
            Box::new(tracer.build_with_context(builder, context))
        });
        Self {
            method,
            template,
            trace,
            span,
            began: Instant::now(),
            status: None,
            ended: false,
        }
    }

    /// The headers that tell Chartbrew of the trace: with this request as the parent if spans are
    /// made, else as they came from the caller.
    pub fn write_to(&self, headers: &mut HeaderMap) {
        let ours = match (&self.span, self.trace.context()) {
            (Some(span), _) => Some(span.span_context().clone()),
            (None, Some(context)) => Some(context.span().span_context().clone()),
            (None, None) => None,
        };
        for (name, value) in self.trace.headers() {
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
            // A redirect is no error of HTTP's, whatever it means here (conventions, HTTP spans).
            Some(300..=399) => None,
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

fn url_attributes(url: &Url) -> impl Iterator<Item = KeyValue> + use<> {
    let host = url.host_str().map(ToOwned::to_owned);
    let port = url.port_or_known_default().map(i64::from);
    std::iter::once(KeyValue::new("url.full", url.to_string()))
        .chain(host.map(|host| KeyValue::new("server.address", host)))
        .chain(port.map(|port| KeyValue::new("server.port", port)))
}
