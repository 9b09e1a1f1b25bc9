//! Chooses the token of a call, the caller's or the gateway's, before its message is read.
//!
//! A caller without a token is refused before it can make the gateway read a message of several
//! megabytes.

use http::HeaderMap;

use super::metadata::{self, TokenMissing};
use crate::{chartbrew::Token, telemetry::Method};

/// The token to go on with: the gateway's own if it has one, else the caller's. `None` for methods
/// that need none.
///
/// # Errors
/// If the call brings none where it needs one.
pub(super) fn token(
    own: Option<Token>,
    method: Method,
    headers: &HeaderMap,
) -> Result<Option<Token>, TokenMissing> {
    match (method, own) {
        (Method::Standard | Method::Unknown, _) => Ok(None),
        (Method::Known(_), Some(own)) => Ok(Some(own)),
        (Method::Known(_), None) => metadata::token(headers).map(Some),
    }
}
