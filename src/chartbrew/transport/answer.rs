//! Reads an answer, up to a limit: what it says of the outcome, and what of it is read at all.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, DATE, RETRY_AFTER},
};
use jiff::Timestamp;
use reqwest::Response;

use super::classify::classify;
use crate::chartbrew::{Error, Rejection, Unknown, rejection, types::Unreadable};

/// Largest body of a refusal that is read: an ORM error repeats the request several times over.
const MAX_REFUSAL_BYTES: usize = 1024 * 1024;

/// How long the body of a refusal is waited for. The status alone already says that nothing was
/// done, so a body that drips must not turn a clear answer into an unclear one.
const REFUSAL_BODY_TIMEOUT: Duration = Duration::from_millis(500);

/// A whole answer of success, not read yet.
#[derive(Debug)]
pub(in crate::chartbrew) struct Success {
    date: Option<Timestamp>,
    /// It says that it is JSON.
    is_json: bool,
    body: Bytes,
}

/// What Chartbrew answered.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    /// The answer's content.
    pub body: T,
    /// When the server answered, by its own clock (`Date`, whole seconds).
    pub date: Option<Timestamp>,
}

/// Reads an answer: its status says what is known, its body what of it.
pub(super) async fn read(
    response: Response,
    max_bytes: usize,
    of_a_connection: bool,
) -> Result<Success, Error> {
    let status = response.status();
    let date = http_date(response.headers(), &DATE);
    let is_json = says_json(response.headers());
    match status.as_u16() {
        200..=299 => {
            let body = read_body(response, max_bytes).await?;
            Ok(Success {
                date,
                is_json,
                body,
            })
        }
        code @ (502 | 504 | 520 | 524 | 599) => Err(Error::Unknown(Unknown::GatewayError(code))),
        code @ 500.. if status != StatusCode::SERVICE_UNAVAILABLE => {
            Err(Error::Unknown(Unknown::ServerError(code)))
        }
        // Alone among the refusals a 400 says nothing before its body is read.
        400 => {
            let body = read_body(response, MAX_REFUSAL_BYTES).await?;
            if rejection::leaves_open(&body) {
                return Err(Error::Unknown(Unknown::StoreLost));
            }
            let rejection = Rejection::read(400, None, &body, of_a_connection);
            Err(Error::Rejected(rejection))
        }
        code => {
            let retry_after = retry_after(response.headers(), date);
            let read = read_body(response, MAX_REFUSAL_BYTES);
            let body = tokio::time::timeout(REFUSAL_BODY_TIMEOUT, read).await;
            let body = body.ok().and_then(Result::ok).unwrap_or_default();
            Err(Error::Rejected(Rejection::read(
                code,
                retry_after,
                &body,
                of_a_connection,
            )))
        }
    }
}

/// Reads a body up to a limit; what is beyond it is never taken from the socket.
async fn read_body(mut response: Response, limit: usize) -> Result<Bytes, Error> {
    let announced = response.content_length();
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Error::Unknown(Unknown::TooLarge));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(Error::Unknown(Unknown::TooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| {
        kind.trim_start()
            .to_ascii_lowercase()
            .starts_with("application/json")
    })
}

fn http_date(headers: &HeaderMap, name: &http::HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}

/// Both forms of `Retry-After` (RFC 9110, 10.2.3). A date is held against the server's own
/// clock where it gave one.
fn retry_after(headers: &HeaderMap, now: Option<Timestamp>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = http_date(headers, &RETRY_AFTER)?;
    let wait = until.duration_since(now.unwrap_or_else(Timestamp::now));
    Some(Duration::try_from(wait).unwrap_or_default())
}

// === impl Success ===

impl Success {
    /// Reads the answer's JSON.
    pub(in crate::chartbrew) fn read<T>(
        self,
        from_json: impl FnOnce(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<Answer<T>, Error> {
        let unread = match self.is_json {
            true => Unknown::Unreadable,
            false => Unknown::NotJson,
        };
        let body = from_json(&self.body).map_err(|_| Error::Unknown(unread))?;
        let date = self.date;
        Ok(Answer { body, date })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        pairs.iter().map(|(n, v)| (n.clone(), value(v))).collect()
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = "2026-11-24T00:00:00Z".parse().ok();
        let cases = [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Tue, 24 Nov 2026 00:00:30 GMT", Some(30)),
            ("Mon, 23 Nov 2026 00:00:30 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ];
        for (text, seconds) in cases {
            let found = retry_after(&headers(&[(RETRY_AFTER, text)]), now);
            assert_eq!(found, seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
