//! Whose call it is, asked before its message is read.
//!
//! A caller without a token is refused before it can make the gateway read a message of several
//! megabytes.

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::{call::Facts, metadata, methods, status::Context};
use crate::telemetry::Method;

/// Layer: refuses calls of the contract's methods that bring no token where they need one.
pub(super) async fn require(
    State(has_own_token): State<bool>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let needs_token = !has_own_token && matches!(methods::of(path), Method::Known(_));
    let missing = match needs_token {
        true => metadata::token(request.headers()).err(),
        false => None,
    };
    let Some(missing) = missing else {
        return next.run(request).await;
    };
    let facts = request
        .extensions()
        .get::<Facts>()
        .cloned()
        .unwrap_or_default();
    let context = Context {
        facts: &facts,
        team_id: None,
        request_id: None,
        own_token: has_own_token,
    };
    context.token_missing(missing).into_http::<Body>()
}
