//! One request, one answer: reqwest set up so that what is known of the outcome stays known.
//!
//! What remains below this file: nothing retries and nothing is followed. reqwest's retries of
//! protocol refusals and its redirects are off. hyper-util sends a request again by itself only
//! when it took a *reused* connection that proved dead before a byte was written, and creates
//! never take one (see [`Transport`]).

use std::{error::Error as StdError, fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, DATE, RETRY_AFTER},
};
use jiff::Timestamp;
use reqwest::{
    Body, Response,
    multipart::{Form, Part},
};
use url::Url;

use super::{
    Error, NotSent, Rejection, Settings, Token, Unknown,
    types::{Files, Unreadable},
};
use crate::telemetry::Attempt;

/// Largest body of a refusal that is read: an ORM error repeats the request several times over.
const MAX_REFUSAL_BYTES: usize = 1024 * 1024;

/// How long the body of a refusal is waited for. The status alone already says that nothing was
/// done, so a body that drips must not turn a clear answer into an unclear one.
const REFUSAL_BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Two pools behind one door.
///
/// A create goes out on a connection of its own. A reused one may just be being closed by the
/// server when the request is written onto it, and then nobody can tell whether it was read
/// (hyper issue 2136). On a fresh one, failing to connect means not sent, and the price, one
/// round trip, is small against a call that dials a database. All other calls are safe to repeat
/// and share pooled connections.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    fresh: reqwest::Client,
    pooled: reqwest::Client,
    base: Url,
    max_answer_bytes: usize,
}

/// A request to be sent.
#[derive(Debug)]
pub(super) struct Call<'a> {
    method: Method,
    path: String,
    template: &'static str,
    body: Payload<'a>,
    of_a_connection: bool,
}

#[derive(Debug)]
enum Payload<'a> {
    None,
    Json(Bytes),
    Files(&'a Files),
}

/// A whole answer of success, not read yet.
#[derive(Debug)]
pub(super) struct Success {
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

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InvalidClient {
    /// The URL cannot be a base for paths.
    #[error("the URL must be http:// or https:// with a host, and without query or fragment")]
    Url,
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(#[source] reqwest::Error),
}

// === impl Transport ===

impl Transport {
    pub(super) fn new(settings: &Settings) -> Result<Self, InvalidClient> {
        let base = base_url(&settings.url)?;
        // Another part of the process may have chosen a provider already: that one serves too.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("chartbrew-gateway/", env!("CARGO_PKG_VERSION")))
                .http1_only()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .retry(reqwest::retry::never())
                .tcp_nodelay(true)
                .connect_timeout(settings.connect_timeout)
        };
        let close = HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static("close"))]);
        Ok(Self {
            fresh: builder()
                .pool_max_idle_per_host(0)
                // The server closes first, so that no port of ours is left in TIME_WAIT.
                .default_headers(close)
                .build()
                .map_err(InvalidClient::Http)?,
            pooled: builder()
                .pool_idle_timeout(settings.idle_timeout)
                .build()
                .map_err(InvalidClient::Http)?,
            base,
            max_answer_bytes: settings.max_answer_bytes,
        })
    }

    /// Sends the call once and reads the answer whole.
    pub(super) async fn send(&self, token: &Token, call: Call<'_>) -> Result<Success, Error> {
        let url = self
            .base
            .join(&call.path)
            .map_err(|_| Error::NotSent(NotSent::Request))?;
        let mut attempt = Attempt::begin(call.method_name(), call.template, &url);
        let result = self.exchange(token, call, url, &mut attempt).await;
        attempt.end(result.as_ref().err().map(Error::class));
        result
    }

    async fn exchange(
        &self,
        token: &Token,
        call: Call<'_>,
        url: Url,
        attempt: &mut Attempt,
    ) -> Result<Success, Error> {
        let mut trace = HeaderMap::new();
        attempt.write_to(&mut trace);
        let client = match call.body {
            Payload::Json(_) => &self.fresh,
            Payload::None | Payload::Files(_) => &self.pooled,
        };
        let request = client
            .request(call.method, url)
            .headers(trace)
            .header(AUTHORIZATION, token.header())
            .header(ACCEPT, "application/json");
        let request = match call.body {
            Payload::None => request,
            Payload::Json(json) => request.header(CONTENT_TYPE, "application/json").body(json),
            Payload::Files(files) => request.multipart(form(files)),
        };
        let response = request.send().await.map_err(|error| classify(&error))?;
        attempt.answered(response.status().as_u16());
        self.read(response, call.of_a_connection).await
    }

    async fn read(&self, response: Response, of_a_connection: bool) -> Result<Success, Error> {
        let status = response.status();
        let date = http_date(response.headers(), &DATE);
        let is_json = says_json(response.headers());
        match status.as_u16() {
            200..=299 => {
                let body = read_body(response, self.max_answer_bytes).await?;
                Ok(Success {
                    date,
                    is_json,
                    body,
                })
            }
            code @ (502 | 504 | 520 | 524 | 599) => {
                Err(Error::Unknown(Unknown::GatewayError(code)))
            }
            code @ 500.. if status != StatusCode::SERVICE_UNAVAILABLE => {
                Err(Error::Unknown(Unknown::ServerError(code)))
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
}

/// Whether the URL can be Chartbrew's.
///
/// # Errors
/// If paths cannot be joined to it.
pub fn check_url(url: &Url) -> Result<(), InvalidClient> {
    base_url(url).map(drop)
}

/// The URL with a path that ends in a slash, so that paths can be joined to it.
fn base_url(url: &Url) -> Result<Url, InvalidClient> {
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain {
        return Err(InvalidClient::Url);
    }
    let mut base = url.clone();
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", url.path()));
    }
    Ok(base)
}

fn form(files: &Files) -> Form {
    files.iter().fold(Form::new(), |form, file| {
        let length = file.bytes.len() as u64;
        let part = Part::stream_with_length(Body::from(file.bytes), length)
            // Without a file name, Chartbrew takes the part for a text field and ignores it.
            .file_name(file.field);
        form.part(file.field, part)
    })
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

/// `NotSent` only where it is proven; everything else may have been read by somebody.
fn classify(error: &reqwest::Error) -> Error {
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
    Error::Unknown(Unknown::NoAnswer)
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

// === impl Call ===

impl<'a> Call<'a> {
    pub(super) fn get(path: String, template: &'static str) -> Self {
        Self::new(Method::GET, path, template, Payload::None)
    }

    pub(super) fn json(method: Method, path: String, template: &'static str, json: Bytes) -> Self {
        Self::new(method, path, template, Payload::Json(json))
    }

    pub(super) fn files(path: String, template: &'static str, files: &'a Files) -> Self {
        Self::new(Method::POST, path, template, Payload::Files(files))
    }

    fn method_name(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            _ => "_OTHER",
        }
    }

    /// The path names a connection: a 404 is about that, not about the route.
    pub(super) fn of_a_connection(mut self) -> Self {
        self.of_a_connection = true;
        self
    }

    fn new(method: Method, path: String, template: &'static str, body: Payload<'a>) -> Self {
        Self {
            method,
            path,
            template,
            body,
            of_a_connection: false,
        }
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /{}", self.method, self.path)
    }
}

// === impl Success ===

impl Success {
    /// Reads the answer's JSON.
    pub(super) fn read<T>(
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

    #[test]
    fn a_base_keeps_its_path() {
        let cases = [
            ("http://h", Some("http://h/team/1")),
            ("https://h:8/api", Some("https://h:8/api/team/1")),
            ("https://h/api/", Some("https://h/api/team/1")),
            ("ftp://h/", None),
            ("http://h/?q=1", None),
            ("data:text/plain,x", None),
        ];
        for (url, joined) in cases {
            let base = base_url(&Url::parse(url).unwrap()).ok();
            let found = base.map(|base| base.join("team/1").unwrap().to_string());
            assert_eq!(found.as_deref(), joined, "{url}");
        }
    }
}
