//! What a failure of the HTTP client says of the outcome.

use std::error::Error as StdError;

use rustls::AlertDescription;

use super::send_state::{SendState, Withheld};
use crate::chartbrew::{Error, NotSent, Unknown};

/// How a server refuses the gateway's certificate, or that there is none (RFC 8446, 6.2).
const CERTIFICATE_REFUSED: [AlertDescription; 8] = [
    AlertDescription::CertificateRequired,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
];

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
    // A server can ask for a certificate in the handshake only: rustls takes no such request later.
    if is_certificate_refused(error) {
        return Error::NotSent(NotSent::Tls);
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
/// byte of it, nobody can have acted on the request. `is_new`: there was no response on the connection
/// yet.
pub(super) fn classify_send(error: &hyper::Error, state: &SendState, is_new: bool) -> Error {
    if is_new && is_certificate_refused(error) {
        return unread(state);
    }
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
pub(super) fn classify_http2(error: &hyper::Error, state: &SendState, is_new: bool) -> Error {
    if is_new && is_certificate_refused(error) {
        return unread(state);
    }
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

/// What was sent is not read, since the server has ended the TLS handshake.
fn unread(state: &SendState) -> Error {
    state.take_back();
    Error::NotSent(match state.is_withheld() {
        true => NotSent::Withheld,
        false => NotSent::Tls,
    })
}

/// Whether the server has ended the TLS handshake because of the gateway's certificate. In TLS 1.3 the
/// handshake is over for a client before it is for the server, and a request may be sent by then. The
/// server reads none of it.
fn is_certificate_refused(error: &(dyn StdError + 'static)) -> bool {
    // h2 keeps nothing but the text of the error.
    let is_alert = |text: &str| {
        let mut alerts = CERTIFICATE_REFUSED
            .into_iter()
            .map(rustls::Error::AlertReceived);
        alerts.any(|alert| alert.to_string() == text)
    };
    causes(error).any(|cause| is_alert(&cause.to_string()))
}

/// The first cause of a type.
fn caused_by<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// An error and its causes, also those inside `io::Error`, which hides its content from `source`.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .map(|inner| inner as &(dyn StdError + 'static))
        .or_else(|| error.source())
}
