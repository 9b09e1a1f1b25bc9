//! What callers send in metadata, read as types.
//!
//! An allow-list: apart from what is read here, only `x-request-id` ([`CallRecord`]) and the headers of
//! a trace are. Copying a caller's headers upstream has been a vulnerability elsewhere.

use std::time::Duration;

use http::HeaderMap;

use super::call_record::CallRecord;
use crate::{
    chartbrew::Token,
    delivery::{Caller, Deadline},
};

/// Trailer that tells clients with a retry policy when to retry (gRPC A6).
pub(super) const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

const AUTHORIZATION: &str = "authorization";
/// gRPC A6: how many attempts came before this one.
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";
/// Envoy: which attempt this is, from 1.
const ENVOY_ATTEMPT: &str = "x-envoy-attempt-count";

/// What the layers leave with a request for its handler.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    /// Where the handler notes what it learns.
    pub(super) record: CallRecord,
    /// The token to go on with: see [`identity`](super::identity).
    pub(super) token: Option<Token>,
    /// The caller's, if it set one.
    pub(super) deadline: Option<Deadline>,
}

/// What a handler needs to know of a call, apart from its message.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) received: Received,
    is_retry: bool,
}

/// Why there is no token to go on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenMissing {
    /// No `authorization`.
    #[error("no `authorization` metadata: send `authorization: Bearer <Chartbrew token>`")]
    Absent,
    /// More than one, not ASCII, or not `Bearer <token>`.
    #[error("malformed `authorization` metadata: send it once, as `Bearer <Chartbrew token>`")]
    Malformed,
}

// === impl Incoming ===

impl Incoming {
    /// Reads the metadata and what the layers left.
    pub(super) fn read<T>(request: &mut tonic::Request<T>) -> Self {
        let received = request.extensions_mut().remove::<Received>();
        Self {
            received: received.unwrap_or_default(),
            is_retry: is_retry(request.metadata().as_ref()),
        }
    }

    /// The caller, with a deadline where it set none.
    pub(super) fn caller(&self, token: Token, default_timeout: Duration) -> Caller {
        let Received {
            record, deadline, ..
        } = &self.received;
        Caller {
            token,
            deadline: deadline.unwrap_or_else(|| Deadline::after(default_timeout)),
            is_retry: self.is_retry,
            attempts: record.counter(),
        }
    }
}

/// The caller's token. The scheme may have any case (RFC 9110, 11.1).
pub(super) fn token(headers: &HeaderMap) -> Result<Token, TokenMissing> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenMissing::Absent)?;
    if values.next().is_some() {
        return Err(TokenMissing::Malformed);
    }
    let text = value.to_str().map_err(|_| TokenMissing::Malformed)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(TokenMissing::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenMissing::Malformed);
    }
    Token::parse(token.trim_start()).map_err(|_| TokenMissing::Malformed)
}

/// Whether the caller, or a mesh before it, says that it is trying again.
pub(super) fn is_retry(headers: &HeaderMap) -> bool {
    let number = |name| headers.get(name)?.to_str().ok()?.parse::<u32>().ok();
    number(PREVIOUS_ATTEMPTS).is_some_and(|before| before > 0)
        || number(ENVOY_ATTEMPT).is_some_and(|attempt| attempt > 1)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static [u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_token_comes_once_with_a_scheme_of_any_case() {
        let given = Token::parse("t0k.en").unwrap();
        for good in [
            "Bearer t0k.en",
            "bearer t0k.en",
            "BEARER   t0k.en",
            " Bearer t0k.en ",
        ] {
            let found = token(&headers(&[(AUTHORIZATION, good.as_bytes())]));
            assert!(found.is_ok_and(|found| found.is(&given)), "{good:?}");
        }
        let bad: [&[u8]; 8] = [
            b"",
            b"Bearer",
            b"Bearer ",
            b"t0k.en",
            b"Basic t0k.en",
            b"Bearer a b",
            b"Bearer \xff",
            b"Bearert0k.en",
        ];
        for bad in bad {
            let found = token(&headers(&[(AUTHORIZATION, bad)])).unwrap_err();
            assert_eq!(found, TokenMissing::Malformed, "{bad:?}");
        }
        let twice: &[(_, &[u8])] = &[(AUTHORIZATION, b"Bearer a"), (AUTHORIZATION, b"Bearer b")];
        assert_eq!(token(&headers(twice)).unwrap_err(), TokenMissing::Malformed);
        assert_eq!(token(&headers(&[])).unwrap_err(), TokenMissing::Absent);
    }

    #[test]
    fn callers_that_try_again_are_known() {
        let cases = [
            (None, false),
            (Some((PREVIOUS_ATTEMPTS, "0")), false),
            (Some((PREVIOUS_ATTEMPTS, "1")), true),
            (Some((ENVOY_ATTEMPT, "1")), false),
            (Some((ENVOY_ATTEMPT, "2")), true),
            (Some((ENVOY_ATTEMPT, "many")), false),
        ];
        for (sent, expected) in cases {
            let pairs: Vec<_> = sent
                .iter()
                .map(|(name, text)| (*name, text.as_bytes()))
                .collect();
            assert_eq!(is_retry(&headers(&pairs)), expected, "{sent:?}");
        }
    }
}
