//! The outermost layer: gives a call its id, its trailers, its span, its metrics and its line in the
//! log.
//!
//! It sees every response, also those to panics and to requests that never reach a handler. What the
//! layers and the handler learn about the call is in its [`CallRecord`].

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderMap;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use tonic::{Code, Status};
use tracing::Level;

use super::{call_record::CallRecord, methods};
use crate::telemetry::{self, Ended};

/// Writes the call's line when the response has been sent, or given up.
struct CallEnd {
    record: CallRecord,
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
    let record = CallRecord::begin(request.headers());
    request.extensions_mut().insert(record.clone());
    let path = request.uri().path().trim_start_matches('/');
    let mut end = CallEnd {
        call: telemetry::Call::begin(methods::of(path), request.headers()),
        _under_way: (!is_standard(path)).then(|| calls.token()),
        method: path.to_owned(),
        began: Instant::now(),
        code: None,
        record: record.clone(),
    };
    let mut response = end.call.within(next.run(request)).await;
    if let Some(code) = code_in(response.headers()) {
        // Trailers only: the headers are the trailers.
        end.code = Some(code);
        record.write_to(response.headers_mut());
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                end.code = code_in(&trailers);
                end.record.write_to(&mut trailers);
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

// === impl CallEnd ===

impl Drop for CallEnd {
    fn drop(&mut self) {
        // A response without a code was not read to its end: the caller has left.
        let code = self.code.unwrap_or(Code::Cancelled);
        self.call.end(Ended {
            code: code.into(),
            reason: self.record.reason(),
            attempts: self.record.attempts(),
            outcome: self.record.outcome(),
        });
        let trace = self.call.trace_ids();
        let duration_ms = self.began.elapsed().as_secs_f64() * 1000.0;
        let quiet = is_standard(&self.method);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method = self.method,
                    code = ?code,
                    reason = self.record.reason(),
                    duration_ms,
                    attempts = self.record.attempts(),
                    upstream_status = self.record.upstream_status(),
                    outcome = self.record.outcome(),
                    request_id = self.record.request_id(),
                    trace_id = trace.as_ref().map(|ids| &*ids.trace),
                    span_id = trace.as_ref().map(|ids| &*ids.span),
                    "call"
                )
            };
        }
        match self.record.level() {
            _ if quiet => line!(debug),
            Some(Level::ERROR) => line!(error),
            Some(Level::WARN) => line!(warn),
            Some(_) | None => line!(info),
        }
    }
}
