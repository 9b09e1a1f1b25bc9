//! A connection of a caller: its TLS handshake, its calls, its age and its end.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, error::Elapsed, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower::Service;

use super::{Settings, handshake::Handshake, layers::Layers, message::LimitedBody};
use crate::{
    reload::Reloaded,
    telemetry::{self, Event, HandshakeFailure},
    tls,
};

/// How often an idle connection is asked whether its peer is there, and for how long.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// How much of a call's message may be unread: enough for 10 MiB a second over 100 ms.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// How much the greatest age of connections differs, as a share of it (gRFC A9): connections that
/// were made together do not end together.
const AGE_JITTER: f64 = 0.1;
/// How long calls that begin on an old connection are accepted: its caller may have begun them before
/// it learned that the connection ends. As long again, the last responses have to be sent.
const AGE_LINGER: Duration = Duration::from_secs(10);
/// Longer than any process runs.
const NEVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// What callers can cause at will is logged at most this often.
const LOG_PAUSE: Duration = Duration::from_secs(10);

type Http = hyper::server::conn::http2::Builder<TokioExecutor>;

/// How connections are served, and all that are open. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Connections<S> {
    http: Http,
    layers: Layers<S>,
    tls: Option<Reloaded<Arc<ServerConfig>>>,
    handshake_timeout: Duration,
    max_age: Option<Duration>,
    open: TaskTracker,
    stopping: CancellationToken,
    log: Arc<Seldom>,
}

/// Lets something happen only now and then.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<Last>);

/// When it last happened, and how often it was not allowed to since then.
#[derive(Debug, Default)]
struct Last {
    at: Option<Instant>,
    left_out: u64,
}

// === impl Connections ===

impl<S> Connections<S>
where
    S: Service<
            Request<Box<LimitedBody<hyper::body::Incoming>>>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static,
{
    pub(super) fn new(
        settings: &Settings,
        tls: Option<Reloaded<Arc<ServerConfig>>>,
        layers: Layers<S>,
    ) -> Self {
        let max_age = settings.max_connection_age;
        Self {
            http: http2(settings),
            layers,
            tls,
            handshake_timeout: settings.handshake_timeout,
            max_age: (!max_age.is_zero()).then_some(max_age),
            open: TaskTracker::new(),
            stopping: CancellationToken::new(),
            log: Arc::default(),
        }
    }

    /// Serves a connection in a task of its own. `permit` is held until it ends.
    pub(super) fn serve(&self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = &self.tls else {
            return self.serve_calls(stream, None, permit);
        };
        let peer = stream.peer_addr().ok();
        let acceptor = TlsAcceptor::from((*tls.current()).clone());
        let this = self.clone();
        let handshake = timeout(self.handshake_timeout, acceptor.accept(stream));
        // Its task has no place for what a connection needs after its handshake.
        self.open.spawn(async move {
            match agreed(handshake.await) {
                Ok(stream) => {
                    let names = names(&stream);
                    this.serve_calls(Box::new(stream), names, permit);
                }
                Err((cause, error)) => this.handshake_failed(peer, cause, &error),
            }
        });
    }

    /// Lets all connections end with the calls that are under way. Returns when they have ended.
    pub(super) async fn shutdown(&self) {
        self.stopping.cancel();
        self.open.close();
        self.open.wait().await;
    }

    fn handshake_failed(
        &self,
        peer: Option<SocketAddr>,
        cause: HandshakeFailure,
        error: &io::Error,
    ) {
        telemetry::record(Event::HandshakeFailed(cause));
        if let Some(left_out) = self.log.may_now() {
            let peer = peer.map(tracing::field::display);
            let error = tls::server::reason(error);
            tracing::info!(peer, %error, left_out, "a TLS handshake failed");
        }
    }

    fn serve_calls<IO>(
        &self,
        stream: IO,
        certificate_names: Option<Arc<[String]>>,
        permit: OwnedSemaphorePermit,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut layers = self.layers.clone();
        layers.certificate_names = certificate_names;
        let calls = TaskTracker::new();
        layers.calls[1] = calls.clone();
        let stream = TokioIo::new(Handshake::new(stream, self.handshake_timeout));
        let connection = self.http.serve_connection(stream, layers);
        let age = self.max_age.map_or(NEVER, jittered);
        let stopping = self.stopping.clone();
        self.open.spawn(async move {
            let mut connection = pin!(connection);
            let is_old = tokio::select! {
                ended = &mut connection => return note(ended),
                () = stopping.cancelled() => false,
                () = sleep(age) => true,
            };
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut connection => note(ended),
                // Streams of the health service never end by themselves.
                () = over(&calls), if is_old => tracing::debug!("an old connection is closed"),
            }
            drop(permit);
        });
    }
}

fn http2(settings: &Settings) -> Http {
    let mut http = Http::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(settings.max_streams)
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        // Not adaptive: those windows begin at 64 KiB, where 150 small calls that come at once end their
        // connection, and grow to 16 MiB for each connection.
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(settings.max_streams));
    http
}

/// How much of a connection's data may be unread.
///
/// h2 counts DATA frames that are unread, smaller than 256 bytes and not the last of their stream, as if
/// they had 256 bytes. It ends a connection (ENHANCE_YOUR_CALM) on which these take up half of this window.
/// The message of a small call is one where the client ends the stream in a frame of its own, as tonic's
/// does; so each call that a connection can have has room for four.
fn connection_window(max_streams: u32) -> u32 {
    const LARGEST: u32 = (1 << 31) - 1;
    max_streams
        .saturating_mul(4 * 2 * 256)
        .clamp(STREAM_WINDOW, LARGEST)
}

/// The result of a handshake, or why it failed.
fn agreed<T>(result: Result<io::Result<T>, Elapsed>) -> Result<T, (HandshakeFailure, io::Error)> {
    match result {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err((cause(&error), error)),
        Err(elapsed) => Err((HandshakeFailure::Timeout, elapsed.into())),
    }
}

fn names(stream: &TlsStream<TcpStream>) -> Option<Arc<[String]>> {
    let certificate = stream.get_ref().1.peer_certificates()?.first()?;
    Some(tls::names(certificate).into())
}

fn cause(error: &io::Error) -> HandshakeFailure {
    let error = error.get_ref().and_then(|inner| inner.downcast_ref());
    match error {
        Some(rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertificate(_)) => {
            HandshakeFailure::Certificate
        }
        Some(_) | None => HandshakeFailure::Other,
    }
}

fn jittered(age: Duration) -> Duration {
    age.mul_f64(1.0 + AGE_JITTER * (2.0 * fastrand::f64() - 1.0))
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Returns when the calls of an old connection have ended and their responses were sent. Some time after
/// the GOAWAY it takes no more: a peer that has not answered it could begin calls without an end.
async fn over(calls: &TaskTracker) {
    sleep(AGE_LINGER).await;
    calls.close();
    calls.wait().await;
    sleep(AGE_LINGER).await;
}

// === impl Seldom ===

impl Seldom {
    /// If it has not happened for a while: how often it was not allowed to since then. It counts as
    /// happening now.
    pub(super) fn may_now(&self) -> Option<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.at.is_some_and(|at| at.elapsed() <= LOG_PAUSE) {
            last.left_out += 1;
            return None;
        }
        last.at = Some(Instant::now());
        Some(std::mem::take(&mut last.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let age = Duration::from_secs(100);
        let ages: Vec<_> = (0..1_000).map(|_| jittered(age).as_secs_f64()).collect();
        assert!(ages.iter().all(|age| (90.0..=110.0).contains(age)));
        assert!(ages.iter().any(|age| *age < 95.0) && ages.iter().any(|age| *age > 105.0));
    }
}
