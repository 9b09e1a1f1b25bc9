//! Statuses that are not ours: what tonic refuses before a handler sees it, and panics.
//!
//! A message that is too large or cannot be decoded, an unknown method, a panic: they get an
//! `ErrorInfo` like every other failure, and the code that the table has for them.

use std::panic::AssertUnwindSafe;

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use futures_util::FutureExt;
use tonic::{Code, Status};

use super::{call, call_record::CallRecord, status::Context};

/// Layer: explains tonic's own refusals. Those of the standard services (health, reflection) are
/// theirs and stay as they are.
pub(super) async fn explain(request: Request, next: Next) -> Response {
    let standard = call::is_standard(request.uri().path().trim_start_matches('/'));
    let record = CallRecord::of(request.extensions());
    let response = next.run(request).await;
    // Only a response without a message has its status in the headers.
    let refusal = Status::from_header_map(response.headers())
        .filter(|status| status.details().is_empty() && status.code() != Code::Ok);
    match refusal {
        Some(refusal) if !standard => {
            let context = Context::new(&record);
            let status = match record.message_refusal() {
                Some(refused) => context.message_refused(refused),
                None => context.refused_by_tonic(&refusal),
            };
            status.into_http::<Body>()
        }
        _ => response,
    }
}

/// Layer: a panic ends one call, not its connection with all the other calls on it. The panic's
/// text goes to the log by its hook, not to the caller.
pub(super) async fn catch_panic(request: Request, next: Next) -> Response {
    let record = CallRecord::of(request.extensions());
    // What a panic leaves half done is dropped with the call.
    let response = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    response.unwrap_or_else(|_| Context::new(&record).panicked().into_http())
}
