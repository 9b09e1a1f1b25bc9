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

use crate::chartbrew::{
    Error, Rejection, Unknown, rejection,
    types::{Tested, Unreadable},
};

/// Largest body of a refusal that is read: an ORM error repeats the request several times over.
const MAX_REFUSAL_BYTES: usize = 1024 * 1024;

/// How long the body of a refusal is waited for. The status alone already says that nothing was
/// done, so a body that drips must not turn a clear response into an unclear one.
const REFUSAL_BODY_TIMEOUT: Duration = Duration::from_millis(500);

/// A whole response that is an answer to the request, not read yet: of success, or of a test that
/// failed.
#[derive(Debug)]
pub(in crate::chartbrew) struct Success {
    status: u16,
    /// Chartbrew itself responded, and no proxy.
    is_chartbrews_own: bool,
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

/// What a request is about. It decides what its refusals mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A team's connections: a 404 is about the route.
    Team,
    /// One connection, which the path names: a 404 is about that.
    Connection,
    /// A test of the source of one connection: a 400 tells how it failed.
    Test,
    /// The same of settings that are not stored: a 404 is about the route.
    TestNew,
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
    about: About,
    max_bytes: usize,
    drain: Option<&TaskTracker>,
) -> Result<Success, Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let head = Head::of(&response);
    let is_answer = match head.status {
        200..=299 => true,
        400 => matches!(about, About::Test | About::TestNew),
        _ => false,
    };
    let result = match is_answer {
        true => read_body(response.body_mut(), max_bytes)
            .await
            .map(|body| Success {
                status: head.status,
                is_chartbrews_own: head.is_chartbrews_own,
                date: head.date,
                is_json: head.is_json,
                body,
            }),
        false => Err(refusal(&head, response.body_mut(), about).await),
    };
    if let Some(tasks) = drain
        && result.is_err()
    {
        tasks.spawn(async move { while let Some(Ok(_)) = response.body_mut().frame().await {} });
    }
    result
}

/// Reads a response of success as it arrives, until `take` has enough of it. What `take` does not
/// want is not waited for. `take` is also given when the server answered, by its own clock.
pub(super) async fn read_in_pieces<B>(
    mut response: Response<B>,
    mut take: impl FnMut(Option<Timestamp>, &[u8]) -> Result<bool, Unreadable>,
) -> Result<Option<Timestamp>, Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let head = Head::of(&response);
    let body = response.body_mut();
    if !(200..=299).contains(&head.status) {
        return Err(refusal(&head, body, About::Team).await);
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Error::Unknown(Unknown::NoResponse))?;
        let Ok(chunk) = frame.into_data() else {
            continue;
        };
        match take(head.date, &chunk) {
            Ok(true) => {}
            Ok(false) => break,
            Err(unreadable) => return Err(head.unread(unreadable)),
        }
    }
    Ok(head.date)
}

/// What a response that is no success says of the outcome.
async fn refusal<B>(head: &Head, body: &mut B, about: About) -> Error
where
    B: Body<Data = Bytes> + Unpin,
{
    let of_a_connection = matches!(about, About::Connection | About::Test);
    match head.status {
        500 | 501 | 505 if head.is_chartbrews_own => {
            Error::Unknown(Unknown::ServerError(head.status))
        }
        // Alone among the refusals these say nothing before their bodies are read.
        400 => match read_body(body, MAX_REFUSAL_BYTES).await {
            Err(error) => error,
            Ok(body) if rejection::leaves_open(&body) => Error::Unknown(Unknown::StoreLost),
            Ok(body) => Error::Rejected(Rejection::read(400, None, &body, of_a_connection)),
        },
        503 => match rejection::says_not_forwarded(&body_if_soon(body).await) {
            true => Error::Rejected(Rejection::NotForwarded(head.retry_after)),
            false => Error::Unknown(Unknown::GatewayError(503)),
        },
        408 | 500.. => Error::Unknown(Unknown::GatewayError(head.status)),
        status => {
            let body = body_if_soon(body).await;
            let rejection = Rejection::read(status, head.retry_after, &body, of_a_connection);
            Error::Rejected(rejection)
        }
    }
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

    /// A response of success that cannot be read.
    fn unread(&self, unreadable: Unreadable) -> Error {
        unread(self.is_json, unreadable)
    }
}

fn unread(is_json: bool, unreadable: Unreadable) -> Error {
    Error::Unknown(match (unreadable, is_json) {
        (Unreadable::TooLarge, _) => Unknown::TooLarge,
        (_, true) => Unknown::Unreadable,
        (_, false) => Unknown::NotJson,
    })
}

// === impl Success ===

impl Success {
    /// Reads the response's JSON.
    pub(in crate::chartbrew) fn read<T>(
        self,
        from_json: impl FnOnce(&[u8]) -> Result<T, Unreadable>,
    ) -> Result<Dated<T>, Error> {
        let body = from_json(&self.body).map_err(|error| unread(self.is_json, error))?;
        let date = self.date;
        Ok(Dated { body, date })
    }

    /// Reads the response to a test: its result, or that Chartbrew did not make the test. With
    /// `relays`, a success is the tested API's own.
    pub(in crate::chartbrew) fn read_test(self, relays: bool) -> Result<Tested, Error> {
        if self.status != 400 && relays && self.is_chartbrews_own {
            return Ok(Tested::relayed(&self.body));
        }
        if self.status != 400 {
            return Ok(self.read(Tested::passed)?.body);
        }
        match Rejection::read(400, None, &self.body, true) {
            rejection @ (Rejection::TokenRejected
            | Rejection::SourceDisabled
            | Rejection::HostNotAllowed) => Err(Error::Rejected(rejection)),
            // Of an error of the ORM nobody can tell from this whether it is about the source or
            // about Chartbrew's own database.
            _ => Ok(Tested::failed(&self.body)),
        }
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
