//! Reads a response, up to a limit: what it says of the outcome, and what of it is read at all.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http::{
    HeaderMap,
    header::{CONTENT_TYPE, DATE, RETRY_AFTER},
};
use http_body::Body;
use http_body_util::BodyExt;
use jiff::Timestamp;
use tokio_util::task::TaskTracker;

use crate::chartbrew::{Error, Rejection, Unknown, rejection, types::Unreadable};

/// Largest body of a refusal that is read: an ORM error repeats the request several times over.
const MAX_REFUSAL_BYTES: usize = 1024 * 1024;

/// How long the body of a refusal is waited for. The status alone already says that nothing was
/// done, so a body that drips must not turn a clear response into an unclear one.
const REFUSAL_BODY_TIMEOUT: Duration = Duration::from_millis(500);

/// A whole response of success, not read yet.
#[derive(Debug)]
pub(in crate::chartbrew) struct Success {
    date: Option<Timestamp>,
    /// It says that it is JSON.
    is_json: bool,
    body: Bytes,
}

/// What the head of a response says.
struct Head {
    status: u16,
    date: Option<Timestamp>,
    retry_after: Option<Duration>,
    is_json: bool,
    is_chartbrews_own: bool,
}

/// What Chartbrew answered.
#[derive(Clone, Debug)]
pub struct Dated<T> {
    /// The response's content.
    pub body: T,
    /// When the server answered, by its own clock (`Date`, whole seconds).
    pub date: Option<Timestamp>,
}

/// Reads a response: its status says what is known, its body what of it.
///
/// With `drain`, a response of which not all is wanted is read to its end all the same, by a task
/// of its own: its connection must not be closed before (see the module's docs).
pub(super) async fn read<B>(
    mut response: Response<B>,
    max_bytes: usize,
    drain: Option<&TaskTracker>,
) -> Result<Success, Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let head = Head::of(&response);
    let of_a_connection = drain.is_some();
    let result = match head.status {
        200..=299 => read_body(response.body_mut(), max_bytes)
            .await
            .map(|body| Success {
                date: head.date,
                is_json: head.is_json,
                body,
            }),
        500 | 501 | 505 if head.is_chartbrews_own => {
            Err(Error::Unknown(Unknown::ServerError(head.status)))
        }
        // Alone among the refusals these say nothing before their bodies are read.
        400 => read_400(response.body_mut(), of_a_connection).await,
        503 => read_503(response.body_mut(), head.retry_after).await,
        408 | 500.. => Err(Error::Unknown(Unknown::GatewayError(head.status))),
        status => {
            let body = body_if_soon(response.body_mut()).await;
            let rejection = Rejection::read(status, head.retry_after, &body, of_a_connection);
            Err(Error::Rejected(rejection))
        }
    };
    if let Some(tasks) = drain
        && result.is_err()
    {
        tasks.spawn(async move { while let Some(Ok(_)) = response.body_mut().frame().await {} });
    }
    result
}

async fn read_400<B>(body: &mut B, of_a_connection: bool) -> Result<Success, Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = read_body(body, MAX_REFUSAL_BYTES).await?;
    if rejection::leaves_open(&body) {
        return Err(Error::Unknown(Unknown::StoreLost));
    }
    let rejection = Rejection::read(400, None, &body, of_a_connection);
    Err(Error::Rejected(rejection))
}

async fn read_503<B>(body: &mut B, retry_after: Option<Duration>) -> Result<Success, Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let body = body_if_soon(body).await;
    Err(match rejection::says_not_forwarded(&body) {
        true => Error::Rejected(Rejection::NotForwarded(retry_after)),
        false => Error::Unknown(Unknown::GatewayError(503)),
    })
}

/// A refusal's body, if it comes soon; else nothing.
async fn body_if_soon<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Bytes {
    let read = read_body(body, MAX_REFUSAL_BYTES);
    let body = tokio::time::timeout(REFUSAL_BODY_TIMEOUT, read).await;
    body.ok().and_then(Result::ok).unwrap_or_default()
}

/// Reads a body up to a limit; what is beyond it is not kept.
async fn read_body<B>(body: &mut B, limit: usize) -> Result<Bytes, Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().exact();
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Error::Unknown(Unknown::TooLarge));
    }
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Of a failure nothing is told: what was read of the response is not all of it.
        let frame = frame.map_err(|_| Error::Unknown(Unknown::NoResponse))?;
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        if read.len() + chunk.len() > limit {
            return Err(Error::Unknown(Unknown::TooLarge));
        }
        if read.is_empty() && body.is_end_stream() {
            return Ok(chunk);
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

/// Whether Chartbrew itself wrote the response, and not a proxy: it carries what helmet adds to
/// all of Chartbrew's, or what Express adds to its own page for an error.
fn is_chartbrews_own(headers: &HeaderMap) -> bool {
    let is = |name: &str, text: &str| headers.get(name).is_some_and(|value| value == text);
    let helmet =
        is("x-dns-prefetch-control", "off") && is("x-permitted-cross-domain-policies", "none");
    let express = is("content-security-policy", "default-src 'none'")
        && is("x-content-type-options", "nosniff");
    helmet || express
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

// === impl Head ===

impl Head {
    fn of<B>(response: &Response<B>) -> Self {
        let headers = response.headers();
        let date = http_date(headers, &DATE);
        Self {
            status: response.status().as_u16(),
            date,
            retry_after: retry_after(headers, date),
            is_json: says_json(headers),
            is_chartbrews_own: is_chartbrews_own(headers),
        }
    }
}

// === impl Success ===

impl Success {
    /// Reads the response's JSON.
    pub(in crate::chartbrew) fn read<T>(
        self,
        from_json: impl FnOnce(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<Dated<T>, Error> {
        let unread = match self.is_json {
            true => Unknown::Unreadable,
            false => Unknown::NotJson,
        };
        let body = from_json(&self.body).map_err(|_| Error::Unknown(unread))?;
        let date = self.date;
        Ok(Dated { body, date })
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
    fn chartbrews_own_responses_are_known_by_what_they_carry() {
        let name = http::HeaderName::from_static;
        let helmet = [
            (name("x-dns-prefetch-control"), "off"),
            (name("x-permitted-cross-domain-policies"), "none"),
        ];
        let express = [
            (name("content-security-policy"), "default-src 'none'"),
            (name("x-content-type-options"), "nosniff"),
        ];
        assert!(is_chartbrews_own(&headers(&helmet)));
        assert!(is_chartbrews_own(&headers(&express)));
        let of_a_proxy = [
            (name("server"), "nginx"),
            (name("x-content-type-options"), "nosniff"),
        ];
        assert!(!is_chartbrews_own(&headers(&of_a_proxy)));
        assert!(!is_chartbrews_own(&headers(&[])));
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
