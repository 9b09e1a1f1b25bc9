//! The connections that creates go out on.
//!
//! A create must not be written onto a connection that is just being closed: nobody could tell
//! whether it was read. A fresh connection is safe, and costs a handshake. A connection that was
//! used before is taken only where it is as safe as a fresh one:
//!
//! | the server announced in `Keep-Alive` | idle for | what is done |
//! |---|---|---|
//! | a timeout of at least [`LEAST_KEEP_ALIVE`] | less than [`RECENTLY`](pool::RECENTLY), at a server that is trusted | the request is sent as on a fresh one |
//! | the same | longer, but a second less than the timeout, or the server is not trusted | `Expect: 100-continue`: the body is sent when the server has said that it reads |
//! | a shorter timeout, or none | | it is not used again |
//!
//! A connection that ends before the body was begun proves that nothing was sent, so that the
//! request goes on a fresh one. A server is trusted once [`KEPT_FOR_TRUST`](pool::KEPT_FOR_TRUST) used connections have
//! worked. It is not trusted for [`CAREFUL_FOR`](pool::CAREFUL_FOR) after it has closed a connection earlier than it
//! announced, whether or not a response was lost by that. A server that ignores `Expect` is waited
//! for once, for [`CONTINUE_LIMIT`], and gets fresh connections from then on.

mod pool;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, EXPECT, HOST, USER_AGENT},
};
use hyper::{body::Incoming, client::conn::http1};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::timeout;
use tower::ServiceExt;

use self::pool::{Pool, Sender};
use super::{
    AGENT, InvalidClient, JSON, TCP_KEEPALIVE,
    classify::{classify_connect, classify_send},
    send_state::{GuardedBody, SendState},
};
use crate::{
    chartbrew::{Error, NotSent, Settings, Unknown},
    telemetry::Attempt,
};

/// The shortest announced timeout for which a connection is kept: more than twice
/// [`RECENTLY`](pool::RECENTLY).
const LEAST_KEEP_ALIVE: Duration = Duration::from_secs(3);
/// A connection is not used in the last second before the server closes it.
const MARGIN: Duration = Duration::from_secs(1);
/// How long `100 Continue` is waited for.
const CONTINUE_LIMIT: Duration = Duration::from_secs(1);
/// How many headers a request has at most, with those of a trace and `Content-Length`.
const HEADERS: usize = 10;

/// See the module's docs. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    connector: HttpsConnector<HttpConnector>,
    server: Uri,
    connect_timeout: Duration,
    idle_timeout: Duration,
    pool: Arc<Pool>,
}

/// A request, to be sent on one connection or another.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) host: HeaderValue,
    pub(super) token: HeaderValue,
    pub(super) json: Bytes,
    pub(super) state: SendState,
}

/// The connection that a response is being read from.
#[derive(Debug)]
pub(super) struct Lease {
    pool: Arc<Pool>,
    sender: Sender,
    keep_for: Option<Duration>,
    was_used: bool,
}

// === impl Connections ===

impl Connections {
    pub(super) fn new(settings: &Settings, server: Uri) -> Result<Self, InvalidClient> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        let connector = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(InvalidClient::Tls)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self {
            connector,
            server,
            connect_timeout: settings.connect_timeout,
            idle_timeout: settings.idle_timeout,
            pool: Arc::default(),
        })
    }

    /// Sends a request once: its body goes out on one connection.
    pub(super) async fn send(
        &self,
        outgoing: &Outgoing,
        attempt: &Attempt,
    ) -> Result<(Response<Incoming>, Lease), Error> {
        while let Some((mut sender, is_recent)) = self.pool.take() {
            let request = outgoing.request(attempt);
            let sent = match is_recent {
                true => send(&mut sender, request, &outgoing.state).await,
                false => {
                    let sent = send_expecting(&self.pool, &mut sender, request, &outgoing.state);
                    Box::pin(sent).await
                }
            };
            match sent {
                Ok(response) => {
                    self.pool.note_kept();
                    return Ok(self.lease(response, sender, true));
                }
                // It ended before the body was begun.
                Err(Error::NotSent(NotSent::Connect)) => self.pool.distrust(),
                Err(error) => {
                    if matches!(error, Error::Unknown(_)) {
                        self.pool.distrust();
                    }
                    return Err(error);
                }
            }
        }
        Box::pin(self.send_on_a_fresh_one(outgoing.request(attempt), &outgoing.state)).await
    }

    async fn send_on_a_fresh_one(
        &self,
        mut request: Request<GuardedBody>,
        state: &SendState,
    ) -> Result<(Response<Incoming>, Lease), Error> {
        let mut sender = Box::pin(self.connect()).await?;
        let may_keep = self.pool.may_keep();
        if !may_keep {
            // The server closes the connection then, so that no port of ours is left in TIME_WAIT.
            let close = HeaderValue::from_static("close");
            request.headers_mut().insert(CONNECTION, close);
        }
        let response = send(&mut sender, request, state).await?;
        if may_keep {
            let keeps = announced_keep_alive(response.headers()).is_some();
            self.pool.note_keeps(keeps);
        }
        Ok(self.lease(response, sender, false))
    }

    async fn connect(&self) -> Result<Sender, Error> {
        let connecting = self.connector.clone().oneshot(self.server.clone());
        let connecting = timeout(self.connect_timeout, connecting).await;
        let stream = connecting
            .map_err(|_| Error::NotSent(NotSent::ConnectTimeout))?
            .map_err(|error| Error::NotSent(classify_connect(&*error)))?;
        let handshake = http1::handshake(stream).await;
        let (sender, connection) = handshake.map_err(|_| Error::NotSent(NotSent::Connect))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to Chartbrew ended");
            }
        });
        Ok(sender)
    }

    fn lease(
        &self,
        response: Response<Incoming>,
        sender: Sender,
        was_used: bool,
    ) -> (Response<Incoming>, Lease) {
        let keep_for = announced_keep_alive(response.headers())
            .filter(|announced| *announced >= LEAST_KEEP_ALIVE)
            .map(|announced| (announced - MARGIN).min(self.idle_timeout));
        let pool = self.pool.clone();
        let lease = Lease {
            pool,
            sender,
            keep_for,
            was_used,
        };
        (response, lease)
    }
}

/// Sends the head, and the body when the server has said that it reads.
async fn send_expecting(
    pool: &Pool,
    sender: &mut Sender,
    mut request: Request<GuardedBody>,
    state: &SendState,
) -> Result<Response<Incoming>, Error> {
    let go = request.body_mut().wait_for_go();
    let expect = HeaderValue::from_static("100-continue");
    request.headers_mut().insert(EXPECT, expect);
    let on_continue = go.clone();
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            on_continue.give();
        }
    });
    let mut sending = std::pin::pin!(send(sender, request, state));
    let response = match timeout(CONTINUE_LIMIT, &mut sending).await {
        Ok(response) => response?,
        Err(_) if go.refuse() => {
            pool.note_ignores_expect();
            return Err(Error::NotSent(NotSent::Connect));
        }
        // It was given in time: the response may take as long as it likes.
        Err(_) => sending.await?,
    };
    // From here on the body stays where it is, if it was not asked for.
    let is_unread = go.refuse();
    if response.status() == StatusCode::EXPECTATION_FAILED && is_unread {
        pool.note_ignores_expect();
        return Err(Error::NotSent(NotSent::Connect));
    }
    Ok(response)
}

async fn send(
    sender: &mut Sender,
    request: Request<GuardedBody>,
    state: &SendState,
) -> Result<Response<Incoming>, Error> {
    let response = sender.send_request(request).await;
    response.map_err(|error| classify_send(&error, state))
}

/// The `timeout` that the server announces in `Keep-Alive`. `None`: it closes the connection, or does
/// not say when.
fn announced_keep_alive(headers: &HeaderMap) -> Option<Duration> {
    if (headers.get(CONNECTION))
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
    {
        return None;
    }
    let text = headers.get("keep-alive")?.to_str().ok()?;
    let timeout = text.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim().eq_ignore_ascii_case("timeout")).then_some(value)
    });
    timeout?.trim().parse().ok().map(Duration::from_secs)
}

// === impl Outgoing ===

impl Outgoing {
    fn request(&self, attempt: &Attempt) -> Request<GuardedBody> {
        let body = GuardedBody::new(self.json.clone(), self.state.clone());
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(HOST, self.host.clone());
        headers.insert(AUTHORIZATION, self.token.clone());
        headers.insert(ACCEPT, JSON);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        attempt.write_to(headers);
        request
    }
}

// === impl Lease ===

impl Lease {
    /// The response was read: `error` is what it was, if it was none that was expected. A
    /// connection whose response was not read to its end closes by itself.
    pub(super) fn end(self, error: Option<&Error>) {
        match (error, self.keep_for) {
            (Some(Error::Unknown(Unknown::NoResponse)), _) => {
                if self.was_used {
                    self.pool.distrust();
                }
            }
            (_, Some(keep_for)) => self.pool.put(self.sender, keep_for),
            (_, None) => {}
        }
    }
}
