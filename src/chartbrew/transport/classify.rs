//! What a failure of the HTTP client says of the outcome.

use std::error::Error as StdError;

use super::send_state::{SendState, Withheld};
use crate::chartbrew::{Error, NotSent, Unknown};

/// `NotSent` only where it is proven; everything else may have been read by somebody.
pub(super) fn classify(error: &reqwest::Error) -> Error {
    if error.is_builder() {
        return Error::NotSent(NotSent::Request);
    }
    if error.is_connect() {
        return Error::NotSent(if error.is_dns() {
            NotSent::Dns
        } else if error.is_timeout() {
            NotSent::ConnectTimeout
        } else if caused_by::<rustls::Error>(error).is_some() {
            NotSent::Tls
        } else {
            NotSent::Connect
        });
    }
    // hyper gives a request back as "canceled" when the connection ended before it took it up.
    if caused_by::<hyper::Error>(error).is_some_and(hyper::Error::is_canceled) {
        return Error::NotSent(NotSent::Connect);
    }
    Error::Unknown(Unknown::NoResponse)
}

/// Why there is no connection.
pub(super) fn classify_connect(error: &(dyn StdError + 'static)) -> NotSent {
    let is_timeout = caused_by::<std::io::Error>(error)
        .is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut);
    // hyper-util gives failures of name resolution no type of their own.
    if error.to_string().contains("dns error") {
        NotSent::Dns
    } else if caused_by::<rustls::Error>(error).is_some() {
        NotSent::Tls
    } else if is_timeout {
        NotSent::ConnectTimeout
    } else {
        NotSent::Connect
    }
}

/// What it says of the outcome that there is no response to a request with such a body: without a
/// byte of it, nobody can have acted on the request.
pub(super) fn classify_send(error: &hyper::Error, state: &SendState) -> Error {
    if caused_by::<Withheld>(error).is_some() && state.is_withheld() {
        return Error::NotSent(NotSent::Withheld);
    }
    match state.has_begun() {
        true => Error::Unknown(Unknown::NoResponse),
        false => Error::NotSent(NotSent::Connect),
    }
}

/// The same for a request on a stream of HTTP/2, where the server can say that it did not process a
/// request although its body was begun. Then it counts as not begun from here on.
pub(super) fn classify_http2(error: &hyper::Error, state: &SendState) -> Error {
    if state.is_withheld() {
        return Error::NotSent(NotSent::Withheld);
    }
    if !state.has_begun() {
        return Error::NotSent(NotSent::Connect);
    }
    match caused_by::<h2::Error>(error).is_some_and(is_unprocessed) {
        true => {
            state.take_back();
            Error::NotSent(NotSent::Refused)
        }
        false => Error::Unknown(Unknown::NoResponse),
    }
}

/// Whether the server did not and will not process the stream: a GOAWAY leaves it out (RFC 9113,
/// 6.8). h2 ends a stream with the error of a GOAWAY that was received only if the stream's id is
/// above the last one in it.
///
/// REFUSED_STREAM ought to say so too (8.7), but does not: HAProxy also answers so when a connection to
/// Chartbrew that it had used before breaks under a request that it has forwarded, "so that the client
/// retries" (its `http_ana.c` and `mux_h2.c`).
fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote() && error.is_go_away()
}

/// The first cause of a type, also inside `io::Error`, which hides its content from `source`.
fn caused_by<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .map(|inner| inner as &(dyn StdError + 'static))
            .or_else(|| error.source());
    }
    None
}
