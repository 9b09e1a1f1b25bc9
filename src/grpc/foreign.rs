//! Statuses that are not ours: what tonic refuses before a handler sees it, and panics.
//!
//! A message that is too large or cannot be decoded, an unknown method, a panic: they get an
//! `ErrorInfo` like every other failure, and the code that the table has for them.

use std::any::Any;

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use tonic::{Code, Status};
use tower_http::catch_panic::{CatchPanicLayer, ResponseForPanic};

use super::{
    call::{self, Facts},
    metadata,
    status::Context,
};

/// Layer: explains tonic's own refusals. Those of the standard services (health, reflection) are
/// theirs and stay as they are.
pub(super) async fn explain(request: Request, next: Next) -> Response {
    let standard = call::is_standard(request.uri().path().trim_start_matches('/'));
    let facts = request.extensions().get::<Facts>().cloned();
    let response = next.run(request).await;
    // Only an answer without a message has its status in the headers.
    let refusal = Status::from_header_map(response.headers())
        .filter(|status| status.details().is_empty() && status.code() != Code::Ok);
    match (refusal, facts) {
        (Some(refusal), Some(facts)) if !standard => context(&facts)
            .refused_by_tonic(&refusal)
            .into_http::<Body>(),
        _ => response,
    }
}

/// Layer: answers for a handler that panicked.
pub(super) fn catch_panic() -> CatchPanicLayer<Answer> {
    CatchPanicLayer::custom(Answer)
}

/// The answer to a panic. The panic's text goes to the log by its hook, not to the caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer;

impl ResponseForPanic for Answer {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, _: Box<dyn Any + Send>) -> http::Response<Body> {
        // The request is gone with the handler; the outer layer adds its id to the trailers.
        let facts = Facts::new(metadata::request_id(&http::HeaderMap::new()));
        context(&facts).panicked().into_http()
    }
}

fn context(facts: &Facts) -> Context<'_> {
    Context {
        facts,
        team_id: None,
        request_id: None,
        own_token: false,
    }
}
