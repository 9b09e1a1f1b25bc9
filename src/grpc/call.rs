//! A call from its first byte to its last: its id, its trailers, its span, its metrics and its line
//! in the log.
//!
//! What the layers and the handler learn about the call is in its [`CallRecord`].

use std::{
    pin::Pin,
    task::{self, Poll, ready},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};
use tonic::{Code, Status, body::Body};
use tracing::Level;

use super::{
    call_record::CallRecord,
    methods,
    status::Context,
    unread::{Message, Piece, Unread},
};
use crate::telemetry::{self, Ended};

/// Writes the call's line when the response has been sent, or given up.
pub(super) struct CallEnd {
    record: CallRecord,
    call: telemetry::Call,
    method: String,
    began: Instant,
    code: Option<Code>,
    /// Streams of the standard services end with their callers: nobody waits for them.
    _under_way: Option<[TaskTrackerToken; 2]>,
    /// What the call takes up until it has ended.
    place: Option<OwnedSemaphorePermit>,
}

/// The body of a response. Dropped, the call has ended.
pub(super) struct CallBody {
    /// The message, unless it was read.
    message: Option<Message>,
    /// What was looked at and is no message.
    next: Option<Result<Frame<Bytes>, Status>>,
    inner: Body,
    end: CallEnd,
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

impl CallEnd {
    /// The call begins. The trackers count those that are under way.
    pub(super) fn begin<B>(
        request: &Request<B>,
        record: CallRecord,
        calls: &[TaskTracker; 2],
    ) -> Self {
        let path = request.uri().path().trim_start_matches('/');
        Self {
            call: telemetry::Call::begin(methods::of(path), request.headers()),
            _under_way: (!is_standard(path)).then(|| calls.each_ref().map(TaskTracker::token)),
            method: path.to_owned(),
            began: Instant::now(),
            code: None,
            place: None,
            record,
        }
    }

    /// Keeps this until the call has ended.
    pub(super) fn hold(&mut self, place: Option<OwnedSemaphorePermit>) {
        self.place = place;
    }

    /// Does the call's work as part of it.
    pub(super) fn within<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.call.within(work)
    }

    /// Ends with the response's last frame. The message is encoded now, where it is there, and kept until
    /// the caller reads it.
    pub(super) fn follow(
        mut self,
        mut response: Response<Body>,
        unread: &Unread,
    ) -> Response<CallBody> {
        if let Some(code) = code_in(response.headers()) {
            // Trailers only: the headers are the trailers.
            self.code = Some(code);
            self.record.write_to(response.headers_mut());
        }
        // Streams of the standard services have several messages.
        let has_message = self._under_way.is_some() && self.code.is_none();
        response.map(|mut inner| {
            let first = has_message.then(|| ready_frame(&mut inner)).flatten();
            let (message, next) = match first.map(|first| first.map(Frame::into_data)) {
                Some(Ok(Ok(message))) => (Some(unread.keep(message)), ready_frame(&mut inner)),
                Some(Ok(Err(frame))) => (None, Some(Ok(frame))),
                Some(Err(error)) => (None, Some(Err(error))),
                None => (None, None),
            };
            if matches!(&next, Some(Ok(frame)) if frame.is_trailers()) {
                // It is over, and would keep the memory of its message.
                inner = Body::empty();
            }
            CallBody {
                message,
                next,
                inner,
                end: self,
            }
        })
    }
}

/// The next frame of a body, if it is there.
fn ready_frame(body: &mut Body) -> Option<Result<Frame<Bytes>, Status>> {
    body.frame().now_or_never().flatten()
}

impl Drop for CallEnd {
    fn drop(&mut self) {
        // A response without a code was not read to its end: the caller has left.
        let code = self.code.unwrap_or(Code::Cancelled);
        self.call.end(Ended {
            code: code.into(),
            reason: self.record.reason(),
            caller: self.record.caller(),
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
                    caller = self.record.caller(),
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

// === impl CallBody ===

impl http_body::Body for CallBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(message) = &mut self.message {
            let piece = match message.take() {
                Piece::NotLast(piece) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Piece::Last(piece) => Ok(Frame::data(piece)),
                Piece::GivenUp => Err(Context::new(&self.end.record).response_given_up()),
            };
            self.message = None;
            return Poll::Ready(Some(piece));
        }
        let mut frame = match self.next.take() {
            None => ready!(Pin::new(&mut self.inner).poll_frame(cx)),
            next => next,
        };
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            self.end.code = code_in(trailers);
            self.end.record.write_to(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.next.is_none() && self.inner.is_end_stream()
    }
}
