//! The connections that creates go out on.
//!
//! A create must not be written onto a connection that is just being closed: nobody could tell
//! whether it was read. A fresh connection is safe, and costs a handshake. A connection that was
//! used before is taken only where it is as safe as a fresh one:
//!
//! | protocol | the server announced in `Keep-Alive` | idle for | what is done |
//! |---|---|---|---|
//! | HTTP/1.1 | a timeout of at least [`LEAST_KEEP_ALIVE`](http1::LEAST_KEEP_ALIVE) | less than [`RECENTLY`](pool::RECENTLY), at a server that is trusted | the request is sent as on a fresh one |
//! | HTTP/1.1 | the same | longer, but a second less than the timeout, or the server is not trusted | `Expect: 100-continue`: the body is sent when the server has said that it reads |
//! | HTTP/1.1 | a shorter timeout, or none | | it is not used again |
//! | HTTP/2 | nothing: there is no such header | less than `idle_timeout`, or in use | the request is sent on the one connection that all creates share, up to [`MOST_STREAMS`](http2::MOST_STREAMS) at once |
//!
//! No connection is used after it was idle for `idle_timeout`. It is closed when the next create
//! comes, or by the server.
//!
//! What proves that a request was not processed, so that it goes on a fresh connection:
//!
//! | protocol | proof |
//! |---|---|
//! | both | the connection or the stream ended before the body was begun |
//! | HTTP/1.1 | `100 Continue` did not come: the body was not begun then |
//! | HTTP/2 | its id is above the last one in a GOAWAY (RFC 9113, 6.8) |
//!
//! Everything else that happens once the body was begun leaves the outcome unknown: a reset (HAProxy
//! sends REFUSED_STREAM also for what it has forwarded), a GOAWAY that includes the stream, a connection that ends or does not respond to pings.
//!
//! **HTTP/1.1**: a server is trusted once [`KEPT_FOR_TRUST`](pool::KEPT_FOR_TRUST) used connections have
//! worked. It is not trusted for [`CAREFUL_FOR`](pool::CAREFUL_FOR) after it has closed a connection earlier than it
//! announced, whether or not a response was lost by that. A server that ignores `Expect` is waited
//! for once, for [`CONTINUE_LIMIT`](http1::CONTINUE_LIMIT), and gets fresh connections from then on.
//!
//! **HTTP/2** is spoken with a server that chooses it in the TLS handshake (ALPN). A server that ends a
//! connection has to send a GOAWAY first. One that does not costs an outcome if a request comes just
//! then; for [`CAREFUL_FOR`](pool::CAREFUL_FOR) after that no connection is used that was idle for longer
//! than [`RECENTLY`](pool::RECENTLY). While a response is awaited, pings show whether the server is
//! still there. A request waits for its stream if the server allows no more at once. Its body is not
//! begun before that, so that a caller whose deadline passes meanwhile is told the truth: nothing was
//! sent.
//!
//! All connections are made with one TLS configuration, so that a TLS session is resumed on each but
//! the first.

mod http1;
mod http2;
mod outgoing;
mod pool;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Response, Uri, header::CONNECTION};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};
use tower::ServiceExt;

pub(super) use self::outgoing::Outgoing;
use self::{
    http2::{Shared, Stream},
    pool::{Pool, Sender},
};
use super::{TCP_KEEPALIVE, classify::classify_connect};
use crate::{
    chartbrew::{Error, NotSent, Settings},
    telemetry::Attempt,
};

/// See the module's docs.
#[derive(Debug)]
pub(super) struct Connections {
    connector: HttpsConnector<HttpConnector>,
    server: Uri,
    connect_timeout: Duration,
    /// Those of HTTP/1.1 that are idle.
    pool: Arc<Pool>,
    /// The one of HTTP/2.
    shared: Arc<Shared>,
}

/// The connection that a response is being read from.
#[derive(Debug)]
pub(super) enum Lease {
    Http1(http1::Lease),
    /// The stream ends when it is dropped.
    Http2 {
        _stream: Stream,
    },
}

/// A connection to send one request on.
enum Connected {
    Http1(Sender),
    Http2(Stream),
}

type Responded = (Response<Incoming>, Lease);

// === impl Connections ===

impl Connections {
    /// `server` is the scheme and the authority.
    pub(super) fn new(settings: &Settings, server: Uri, tls: ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let has_tls = server.scheme() == Some(&http::uri::Scheme::HTTPS);
        Self {
            connector,
            server,
            connect_timeout: settings.connect_timeout,
            pool: Arc::new(Pool::new(settings.idle_timeout)),
            shared: Arc::new(Shared::new(settings.idle_timeout, has_tls)),
        }
    }

    /// Sends a request until one server may have processed it: its body goes out once, but for those
    /// that proved to be unprocessed.
    pub(super) async fn send(
        &self,
        outgoing: &Outgoing,
        attempt: &Attempt,
    ) -> Result<Responded, Error> {
        if let Some(stream) = self.shared.take() {
            match Box::pin(self.send_on_a_stream(stream, outgoing, attempt)).await {
                Err(Error::NotSent(NotSent::Connect | NotSent::Refused)) => {}
                result => return result,
            }
        }
        if let Some(result) = self.send_on_a_used_one(outgoing, attempt).await {
            return result;
        }
        Box::pin(self.send_on_a_fresh_one(outgoing, attempt)).await
    }

    /// On a connection of HTTP/1.1 that was used before. `None`: on none of them was it sent.
    async fn send_on_a_used_one(
        &self,
        outgoing: &Outgoing,
        attempt: &Attempt,
    ) -> Option<Result<Responded, Error>> {
        while let Some((mut sender, is_recent)) = self.pool.take() {
            let request = outgoing.over_http1(attempt);
            let state = &outgoing.state;
            let sent = match is_recent {
                true => http1::send(&mut sender, request, state, false).await,
                false => {
                    let sent = http1::send_expecting(&self.pool, &mut sender, request, state);
                    Box::pin(sent).await
                }
            };
            match sent {
                Ok(response) => {
                    self.pool.note_kept();
                    return Some(Ok(self.lease(response, sender, true)));
                }
                // It ended before the body was begun.
                Err(Error::NotSent(NotSent::Connect)) => self.pool.distrust(),
                Err(error) => {
                    if matches!(error, Error::Unknown(_)) {
                        self.pool.distrust();
                    }
                    return Some(Err(error));
                }
            }
        }
        None
    }

    async fn send_on_a_fresh_one(
        &self,
        outgoing: &Outgoing,
        attempt: &Attempt,
    ) -> Result<Responded, Error> {
        let mut sender = match Box::pin(self.connect()).await? {
            Connected::Http1(sender) => sender,
            Connected::Http2(stream) => {
                return Box::pin(self.send_on_a_stream(stream, outgoing, attempt)).await;
            }
        };
        let mut request = outgoing.over_http1(attempt);
        let may_keep = self.pool.may_keep();
        if !may_keep {
            // The server closes the connection then, so that no port of ours is left in TIME_WAIT.
            let close = HeaderValue::from_static("close");
            request.headers_mut().insert(CONNECTION, close);
        }
        let response = http1::send(&mut sender, request, &outgoing.state, true).await?;
        if may_keep {
            let keeps = http1::announced_keep_alive(response.headers()).is_some();
            self.pool.note_keeps(keeps);
        }
        Ok(self.lease(response, sender, false))
    }

    async fn send_on_a_stream(
        &self,
        mut stream: Stream,
        outgoing: &Outgoing,
        attempt: &Attempt,
    ) -> Result<Responded, Error> {
        let request = outgoing.over_http2(&self.server, attempt)?;
        let sent = self.shared.send(&mut stream, request, &outgoing.state);
        Ok((sent.await?, Lease::Http2 { _stream: stream }))
    }

    /// A connection that no request was sent on yet, or the shared one.
    ///
    /// Where HTTP/2 is expected, one is made at a time: it serves all creates that wait for it, and
    /// so does its failure.
    async fn connect(&self) -> Result<Connected, Error> {
        if !self.shared.is_expected() {
            return self.make().await;
        }
        let asked = Instant::now();
        let mut turn = self.shared.turn().await;
        if let Some(stream) = self.shared.take() {
            return Ok(Connected::Http2(stream));
        }
        if let Some(cause) = turn.failed_since(asked) {
            return Err(Error::NotSent(cause));
        }
        if !self.shared.is_expected() {
            drop(turn);
            return self.make().await;
        }
        let made = self.make().await;
        if let Err(Error::NotSent(cause)) = made {
            turn.note_failed(cause);
        }
        made
    }

    async fn make(&self) -> Result<Connected, Error> {
        let connecting = self.connector.clone().oneshot(self.server.clone());
        let connecting = timeout(self.connect_timeout, connecting).await;
        let stream = connecting
            .map_err(|_| Error::NotSent(NotSent::ConnectTimeout))?
            .map_err(|error| Error::NotSent(classify_connect(&*error)))?;
        let speaks_http2 = stream.connected().is_negotiated_h2();
        self.shared.expect(speaks_http2);
        // Boxed: otherwise each would take the memory of the others.
        Ok(match stream {
            stream if speaks_http2 => Connected::Http2(Box::pin(self.shared.open(stream)).await?),
            // Apart: otherwise a connection in the clear would have a place for TLS.
            MaybeHttpsStream::Http(tcp) => Connected::Http1(Box::pin(http1::open(tcp)).await?),
            MaybeHttpsStream::Https(tls) => Connected::Http1(Box::pin(http1::open(tls)).await?),
        })
    }

    fn lease(&self, response: Response<Incoming>, sender: Sender, was_used: bool) -> Responded {
        let lease = http1::Lease::new(self.pool.clone(), sender, &response, was_used);
        (response, Lease::Http1(lease))
    }
}

// === impl Lease ===

impl Lease {
    /// The response was read: `error` is what it was, if it was none that was expected. A
    /// connection of HTTP/1.1 whose response was not read to its end closes by itself.
    pub(super) fn end(self, error: Option<&Error>) {
        match self {
            Self::Http1(lease) => lease.end(error),
            Self::Http2 { .. } => {}
        }
    }
}
