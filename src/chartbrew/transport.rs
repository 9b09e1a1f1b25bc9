//! One request, one response: reqwest set up so that what is known of the outcome stays known.
//!
//! What remains below this file: nothing retries and nothing is followed. reqwest's retries of
//! protocol refusals and its redirects are off. hyper-util sends a request again by itself only
//! when it took a *reused* connection that proved dead before a byte was written. Creates go out
//! without reqwest, on [`Connections`](connections::Connections) that know when one may be reused.
//!
//! **A request whose path names a connection is never cut off.** Cut off before its response is
//! complete, it ends the whole Chartbrew process (measured: Chartbrew 5.3.0 keeps the row in
//! `req.connection`, which is Node's name for the socket, and Node calls the row's `destroy()`).
//! Such a request runs in a task of its own; dropping the future that waits for it ends only
//! the waiting. [`Transport::finish`] waits for these tasks.

mod call;
mod classify;
mod clients;
mod connections;
mod response;
mod send_state;
mod upload;

use std::{sync::Arc, time::Duration};

use futures_util::future::Either;
use http::{
    HeaderMap, HeaderValue, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use url::Url;

pub(super) use self::{call::Call, response::Success, upload::sending_takes};
use self::{
    call::Payload, classify::classify, clients::Clients, connections::Outgoing, response::About,
};
pub use self::{response::Dated, send_state::SendState};
use super::{
    Error, NotSent, Plaintext, Settings, Token, Unknown, check_plaintext, types::Unreadable,
};
use crate::{
    reload::{FileProblem, Reloaded},
    telemetry::{self, Attempt},
};

/// Requests at once whose path names a connection. Each may last as long as Chartbrew likes, so
/// that there must be an end to their number.
const MAX_OF_CONNECTIONS: usize = 256;
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: &str = concat!("chartbrew-gateway/", env!("CARGO_PKG_VERSION"));
/// How long a connection without traffic is trusted. A host that was lost says nothing; without
/// probes, a request that waits for its response would wait for ever.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Sends requests to Chartbrew. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    clients: Reloaded<Clients>,
    base: Url,
    /// The base's host and port.
    host: HeaderValue,
    max_response_bytes: usize,
    /// The requests that must not be cut off.
    of_connections: TaskTracker,
    permits: Arc<Semaphore>,
}

/// The client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InvalidClient {
    /// The URL cannot be a base for paths.
    #[error("the URL must be http:// or https:// with a host, and without query or fragment")]
    Url,
    /// Tokens and passwords would go out without TLS.
    #[error(transparent)]
    Plaintext(#[from] Plaintext),
    /// A file of TLS cannot be used. The message begins with its setting.
    #[error(transparent)]
    File(#[from] FileProblem),
}

// === impl Transport ===

impl Transport {
    pub(super) fn new(
        settings: &Settings,
        reload_interval: Duration,
    ) -> Result<Self, InvalidClient> {
        let base = base_url(&settings.url)?;
        check_plaintext(settings)?;
        let host = &base[url::Position::BeforeHost..url::Position::AfterPort];
        let server = format!("{}://{host}", base.scheme()).parse::<Uri>();
        let (server, its) = (server.map_err(|_| InvalidClient::Url)?, settings.clone());
        let clients = settings.tls.open(reload_interval, move |tls| {
            Clients::new(&its, server.clone(), tls).map_err(|error| {
                let problem = format!("the HTTP client cannot be set up: {error}");
                FileProblem::new("CHARTBREW_URL", problem)
            })
        })?;
        Ok(Self {
            clients,
            host: host.parse().map_err(|_| InvalidClient::Url)?,
            base,
            max_response_bytes: settings.max_response_bytes,
            of_connections: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(MAX_OF_CONNECTIONS)),
        })
    }

    /// Sends the call once and reads the response whole.
    pub(super) fn send(
        &self,
        token: &Token,
        call: Call,
    ) -> impl Future<Output = Result<Success, Error>> {
        // Not an `async fn`: that would have another place for the call.
        match call.to_the_end {
            true => Either::Left(Box::pin(self.send_to_the_end(token, call))),
            false => Either::Right(self.measured(token, call)),
        }
    }

    /// Sends the call once and gives the body of a success to `take` as it arrives, until that has
    /// enough. Returns when the server answered, by its own clock; `take` is given that too.
    pub(super) async fn send_for_pieces(
        &self,
        token: &Token,
        call: Call,
        take: impl FnMut(Option<Timestamp>, &[u8]) -> Result<bool, Unreadable>,
    ) -> Result<Option<Timestamp>, Error> {
        let mut attempt = self.begin(&call);
        let result = match Box::pin(self.request(token, call, &mut attempt)).await {
            Ok(response) => response::read_in_pieces(response, take).await,
            Err(error) => Err(error),
        };
        attempt.end(result.as_ref().err().map(Error::class));
        result
    }

    async fn send_to_the_end(&self, token: &Token, call: Call) -> Result<Success, Error> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| cannot_be_built())?;
        let (transport, token) = (self.clone(), token.clone());
        let to_the_end = self.of_connections.spawn(telemetry::propagate(async move {
            let _permit = permit;
            transport.measured(&token, call).await
        }));
        let no_answer = Err(Error::Unknown(Unknown::NoResponse));
        to_the_end.await.unwrap_or(no_answer)
    }

    /// Waits for the requests that must not be cut off. Begin none afterwards.
    pub(super) async fn finish(&self) {
        self.of_connections.close();
        if !self.of_connections.is_empty() {
            let requests = self.of_connections.len();
            tracing::info!(requests, "waiting for Chartbrew to complete its responses");
        }
        self.of_connections.wait().await;
    }

    async fn measured(&self, token: &Token, call: Call) -> Result<Success, Error> {
        let mut attempt = self.begin(&call);
        let result = match call.body {
            Payload::Create(json, state) => {
                let path = format!("{}{}", self.base.path(), call.path);
                let outgoing = Outgoing {
                    method: call.method,
                    path: path.try_into().map_err(|_| cannot_be_built())?,
                    host: self.host.clone(),
                    token: token.header(),
                    json,
                    state,
                };
                self.create(&outgoing, &mut attempt).await
            }
            Payload::None | Payload::Json(_) | Payload::File(_) | Payload::Form(..) => {
                Box::pin(self.exchange(token, call, &mut attempt)).await
            }
        };
        attempt.end(result.as_ref().err().map(Error::class));
        result
    }

    fn begin(&self, call: &Call) -> Attempt {
        let url = || self.base.join(&call.path).ok();
        Attempt::begin(call.method_name(), call.template, url)
    }

    async fn create(&self, outgoing: &Outgoing, attempt: &mut Attempt) -> Result<Success, Error> {
        let clients = self.clients.current();
        let (response, lease) = clients.creates.send(outgoing, attempt).await?;
        attempt.answered(response.status().as_u16());
        let result = response::read(response, About::Team, self.max_response_bytes, None).await;
        lease.end(result.as_ref().err());
        result
    }

    /// Sends what is safe to repeat, and reads the response whole.
    async fn exchange(
        &self,
        token: &Token,
        call: Call,
        attempt: &mut Attempt,
    ) -> Result<Success, Error> {
        let drain = call.to_the_end.then_some(&self.of_connections);
        let about = call.about;
        let response = self.request(token, call, attempt).await?;
        response::read(response, about, self.max_response_bytes, drain).await
    }

    /// Sends what is safe to repeat, and waits for the response's head.
    async fn request(
        &self,
        token: &Token,
        call: Call,
        attempt: &mut Attempt,
    ) -> Result<http::Response<reqwest::Body>, Error> {
        let url = self.base.join(&call.path).map_err(|_| cannot_be_built())?;
        let mut headers = HeaderMap::new();
        attempt.write_to(&mut headers);
        headers.insert(AUTHORIZATION, token.header());
        headers.insert(ACCEPT, JSON);
        let clients = self.clients.current();
        let client = match &call.body {
            Payload::File(_) => &clients.fresh,
            _ => &clients.pooled,
        };
        let request = client.request(call.method, url).headers(headers);
        let request = match call.body {
            Payload::None => request,
            Payload::Json(json) | Payload::Create(json, _) => {
                request.header(CONTENT_TYPE, JSON).body(json)
            }
            Payload::File(file) => request.multipart(upload::form(&file)),
            Payload::Form(json, files) => request.multipart(upload::test_form(json, &files)),
        };
        let response = request.send().await.map_err(|error| classify(&error))?;
        attempt.answered(response.status().as_u16());
        Ok(response.into())
    }
}

fn cannot_be_built() -> Error {
    Error::NotSent(NotSent::Request)
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

#[cfg(test)]
mod tests {
    use super::*;

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
