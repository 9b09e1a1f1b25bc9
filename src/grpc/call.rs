//! One call, seen from outside: its id, its trailers, its span, its line in the log.
//!
//! The outermost layer, so that it sees every answer, also those to panics and to requests that
//! never reach a handler. What the handler learns on the way it leaves in [`Facts`].

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering},
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{Extensions, HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use tonic::{Code, Status};
use tracing::Level;

use super::{message::MessageRefusal, metadata, methods};
use crate::{
    delivery::Origin,
    telemetry::{self, Ended},
};

/// What is learned about a call while it is handled.
#[derive(Clone, Debug)]
pub(super) struct Facts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request_id: HeaderValue,
    attempts: Arc<AtomicU32>,
    origin: OnceLock<Origin>,
    failure: OnceLock<(&'static str, Level)>,
    refusal: OnceLock<MessageRefusal>,
    upstream_status: OnceLock<u16>,
}

/// Writes the call's line when the response has been sent, or given up.
struct Record {
    facts: Facts,
    call: telemetry::Call,
    method: String,
    began: Instant,
    code: Option<Code>,
    /// Streams of the standard services end with their callers: nobody waits for them.
    _under_way: Option<TaskTrackerToken>,
}

/// Layer: see the module's docs. The tracker counts the calls that are under way.
pub(super) async fn track(
    State(calls): State<TaskTracker>,
    mut request: Request,
    next: Next,
) -> Response {
    let facts = Facts::new(metadata::request_id(request.headers()));
    request.extensions_mut().insert(facts.clone());
    let path = request.uri().path().trim_start_matches('/');
    let mut record = Record {
        call: telemetry::Call::begin(methods::of(path), request.headers()),
        _under_way: (!is_standard(path)).then(|| calls.token()),
        method: path.to_owned(),
        began: Instant::now(),
        code: None,
        facts: facts.clone(),
    };
    let mut response = record.call.within(next.run(request)).await;
    if let Some(code) = code_in(response.headers()) {
        // Trailers only: the headers are the trailers.
        record.code = Some(code);
        facts.write_to(response.headers_mut());
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                record.code = code_in(&trailers);
                record.facts.write_to(&mut trailers);
                http_body::Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }))
    })
}

/// A method of the health or the reflection service.
pub(super) fn is_standard(method: &str) -> bool {
    method.starts_with("grpc.")
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(Status::GRPC_STATUS)
        .map(|code| Code::from_bytes(code.as_bytes()))
}

// === impl Facts ===

impl Default for Facts {
    /// Of a call that no layer has seen.
    fn default() -> Self {
        Self::new(metadata::request_id(&HeaderMap::new()))
    }
}

impl Facts {
    pub(super) fn new(request_id: HeaderValue) -> Self {
        Self(Arc::new(Inner {
            request_id,
            attempts: Arc::default(),
            origin: OnceLock::new(),
            failure: OnceLock::new(),
            refusal: OnceLock::new(),
            upstream_status: OnceLock::new(),
        }))
    }

    /// What the outermost layer has left with a request.
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// The id that the call goes by.
    pub(super) fn request_id(&self) -> &str {
        self.0.request_id.to_str().unwrap_or_default()
    }

    /// Counts the attempts, from wherever they are made.
    pub(super) fn counter(&self) -> Arc<AtomicU32> {
        self.0.attempts.clone()
    }

    pub(super) fn delivered(&self, origin: Origin) {
        self.0.origin.get_or_init(|| origin);
    }

    pub(super) fn failed(&self, reason: &'static str, level: Level, upstream_status: Option<u16>) {
        self.0.failure.get_or_init(|| (reason, level));
        if let Some(status) = upstream_status {
            self.0.upstream_status.get_or_init(|| status);
        }
    }

    /// The call's message is not read to its end.
    pub(super) fn message_refused(&self, refusal: MessageRefusal) {
        self.0.refusal.get_or_init(|| refusal);
    }

    pub(super) fn message_refusal(&self) -> Option<MessageRefusal> {
        self.0.refusal.get().copied()
    }

    fn reason(&self) -> Option<&'static str> {
        self.0.failure.get().map(|(reason, _)| *reason)
    }

    fn attempts(&self) -> u32 {
        self.0.attempts.load(Ordering::Relaxed)
    }

    fn outcome(&self) -> Option<&'static str> {
        match self.0.origin.get()? {
            Origin::Answered => None,
            Origin::Recovered => Some("recovered"),
            Origin::Replayed => Some("replayed"),
        }
    }

    fn write_to(&self, trailers: &mut HeaderMap) {
        trailers.insert(metadata::X_REQUEST_ID, self.0.request_id.clone());
        trailers.insert(metadata::X_UPSTREAM_ATTEMPTS, self.attempts().into());
        if let Some(outcome) = self.outcome() {
            trailers.insert(metadata::X_OUTCOME, HeaderValue::from_static(outcome));
        }
    }
}

// === impl Record ===

impl Drop for Record {
    fn drop(&mut self) {
        // An answer without a code was not taken to its end: the caller hung up.
        let code = self.code.unwrap_or(Code::Cancelled);
        let facts = &self.facts.0;
        self.call.end(Ended {
            code: code.into(),
            reason: self.facts.reason(),
            attempts: self.facts.attempts(),
            outcome: self.facts.outcome(),
        });
        let trace = self.call.trace_ids();
        let duration_ms = self.began.elapsed().as_secs_f64() * 1000.0;
        let quiet = is_standard(&self.method);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method = self.method,
                    code = ?code,
                    reason = self.facts.reason(),
                    duration_ms,
                    attempts = self.facts.attempts(),
                    upstream_status = facts.upstream_status.get(),
                    outcome = self.facts.outcome(),
                    request_id = self.facts.request_id(),
                    trace_id = trace.as_ref().map(|ids| &*ids.trace),
                    span_id = trace.as_ref().map(|ids| &*ids.span),
                    "call"
                )
            };
        }
        match facts.failure.get().map(|(_, level)| *level) {
            _ if quiet => line!(debug),
            Some(Level::ERROR) => line!(error),
            Some(Level::WARN) => line!(warn),
            Some(_) | None => line!(info),
        }
    }
}
