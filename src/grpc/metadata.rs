//! What callers send in metadata, read as types.
//!
//! An allow-list: apart from what is read here, only `x-request-id` ([`CallRecord`]) and the headers of
//! a trace are. Copying a caller's headers upstream has been a vulnerability elsewhere.

use std::time::Duration;

use http::{HeaderMap, header::CONTENT_TYPE};

use super::{call_record::CallRecord, identity::Identified};
use crate::{
    chartbrew::Token,
    delivery::{Caller, Deadline},
};

/// The content type of every gRPC call, perhaps with `+` and a format or `;` and parameters behind it.
const GRPC: &str = "application/grpc";

/// Trailer that tells clients with a retry policy when to retry (gRPC A6).
pub(super) const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// gRPC A6: how many attempts came before this one.
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";
/// Envoy: which attempt this is, from 1.
const ENVOY_ATTEMPT: &str = "x-envoy-attempt-count";

/// What the layers leave with a request for its handler.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    /// Where the handler notes what it learns.
    pub(super) record: CallRecord,
    /// Who calls, and the token to go on with.
    pub(super) identified: Identified,
    /// The caller's, if it set one.
    pub(super) deadline: Option<Deadline>,
}

/// What a handler needs to know of a call, apart from its message.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) received: Received,
    is_retry: bool,
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

/// Whether a request says that it is a gRPC call. A page in a browser cannot say so without being
/// allowed to, which no server here does. Any other request it can make, and the browser adds its
/// user's client certificate.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()) else {
        return false;
    };
    let (begin, rest) = content_type.split_at(content_type.len().min(GRPC.len()));
    begin.eq_ignore_ascii_case(GRPC.as_bytes()) && matches!(rest, [] | [b'+' | b';', ..])
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
