//! Chooses the token of a call, the caller's or the gateway's, before its message is read.
//!
//! A caller without a token is refused before it can make the gateway read a message of several
//! megabytes.

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::{call_record::CallRecord, metadata, methods, status::Context};
use crate::{chartbrew::Token, telemetry::Method};

/// Layer: leaves the token to go on with, the gateway's own or the caller's, with each call of the
/// contract's methods, and refuses those that bring none where they need one.
pub(super) async fn require(
    State(own_token): State<Option<Token>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if !matches!(methods::of(path), Method::Known(_)) {
        return next.run(request).await;
    }
    let token = own_token.map_or_else(|| metadata::token(request.headers()), Ok);
    match token {
        Ok(token) => {
            request.extensions_mut().insert(token);
            next.run(request).await
        }
        Err(missing) => {
            let record = CallRecord::of(request.extensions());
            Context::new(&record)
                .token_missing(missing)
                .into_http::<Body>()
        }
    }
}
