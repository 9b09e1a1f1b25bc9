//! The trace context of the current task: the call's span, and the trace headers of its caller.
//!
//! It is a task-local, so that functions need no parameter for it. A spawned task does not inherit
//! it: [`propagate`] and [`with_resend_count`] pass it on.

use std::{future::Future, sync::Arc};

use http::{HeaderMap, HeaderValue};
use opentelemetry::{Context, trace::TraceContextExt};

use super::event::Event;

/// Longest header of a trace that is forwarded, in bytes: what the baggage specification asks of
/// everyone to take.
const MAX_HEADER: usize = 8192;
/// The headers that make a trace (W3C Trace Context and Baggage).
const HEADERS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// The trace context. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct TraceContext {
    carried: Option<Arc<Carried>>,
    resends: u32,
}

#[derive(Debug)]
struct Carried {
    /// With the call's span, if spans are made.
    context: Option<Context>,
    /// The caller's, as they came.
    headers: Vec<(&'static str, HeaderValue)>,
}

/// Passes the trace context of this task on to a future that is spawned.
pub fn propagate<F: Future>(work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(current(), work)
}

/// The same as [`propagate`], for a request that was sent so many times before.
pub fn with_resend_count<F: Future>(resends: u32, work: F) -> impl Future<Output = F::Output> {
    let carried = current().carried;
    CURRENT.scope(TraceContext { carried, resends }, work)
}

pub(super) fn current() -> TraceContext {
    CURRENT.try_with(TraceContext::clone).unwrap_or_default()
}

pub(super) fn enter<F: Future>(trace: TraceContext, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(trace, work)
}

/// Adds an event to the span of the current call.
pub(super) fn add_event(event: Event) {
    let added = CURRENT.try_with(|trace| {
        if let Some(context) = trace.recording()
            && let Some((name, attributes)) = event.on_span()
        {
            context.span().add_event(name, attributes);
        }
    });
    // Outside a call there is no span.
    added.unwrap_or_default();
}

/// What a caller sent of its trace. Of a header that came more than once, or is too long, nothing
/// is taken.
pub(super) fn trace_headers(headers: &HeaderMap) -> Vec<(&'static str, HeaderValue)> {
    let one = |name: &'static str| {
        let mut values = headers.get_all(name).iter();
        let value = values.next().filter(|value| value.len() <= MAX_HEADER)?;
        values.next().is_none().then(|| (name, value.clone()))
    };
    HEADERS.into_iter().filter_map(one).collect()
}

// === impl TraceContext ===

impl TraceContext {
    pub(super) fn new(context: Option<Context>, headers: Vec<(&'static str, HeaderValue)>) -> Self {
        let nothing = context.is_none() && headers.is_empty();
        Self {
            carried: (!nothing).then(|| Arc::new(Carried { context, headers })),
            resends: 0,
        }
    }

    /// How often the request at hand was sent before.
    pub(super) fn resends(&self) -> u32 {
        self.resends
    }

    /// With the call's span, if spans are made.
    pub(super) fn context(&self) -> Option<&Context> {
        self.carried.as_ref()?.context.as_ref()
    }

    /// The same, if the span is one that is kept.
    pub(super) fn recording(&self) -> Option<&Context> {
        self.context()
            .filter(|context| context.span().is_recording())
    }

    /// The caller's headers, to be sent to Chartbrew.
    pub(super) fn headers(&self) -> impl Iterator<Item = &(&'static str, HeaderValue)> {
        self.carried.iter().flat_map(|carried| &carried.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_headers_of_a_trace_are_taken_once_and_of_a_size() {
        let mut headers = HeaderMap::new();
        let long = "a".repeat(MAX_HEADER + 1);
        headers.append("traceparent", HeaderValue::from_static("tp"));
        headers.append("tracestate", HeaderValue::from_static("one"));
        headers.append("tracestate", HeaderValue::from_static("two"));
        headers.append("baggage", HeaderValue::from_str(&long).unwrap());
        headers.append("cookie", HeaderValue::from_static("x"));
        let found = trace_headers(&headers);
        assert_eq!(found, [("traceparent", HeaderValue::from_static("tp"))]);
    }

    #[tokio::test]
    async fn a_task_of_its_own_takes_it_along() {
        let headers = vec![("baggage", HeaderValue::from_static("k=v"))];
        let seen = enter(TraceContext::new(None, headers), async {
            tokio::spawn(with_resend_count(2, async { current() }))
                .await
                .unwrap()
        });
        let seen = seen.await;
        assert_eq!((seen.resends(), seen.headers().count()), (2, 1));
        assert_eq!(current().headers().count(), 0);
    }
}
