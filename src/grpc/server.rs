//! The gRPC server: its socket and its connections.
//!
//! Served with hyper, not with tonic's `Server`: that one enforces a caller's `grpc-timeout`
//! outside all layers (see [`deadline`](super::deadline)).

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;
use tonic::codec::CompressionEncoding;

use super::{
    Health, Settings,
    handlers::Handlers,
    handshake::Handshake,
    layers::{Layers, Routes},
    message::MessageLimits,
};
use crate::{
    delivery::Delivery,
    proto::{self, connection_service_server::ConnectionServiceServer},
    telemetry::{self, Event},
};

/// How often an idle connection is asked whether its peer is there, and for how long.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// After a failure to accept (no file descriptors left), wait for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What is left for responses to reach the socket once the last call has ended. Streams of the
/// health service never end by themselves and are cut after it.
const LINGER: Duration = Duration::from_millis(500);
/// That connections are refused is logged at most this often.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    settings: Arc<Settings>,
    layers: All,
    delivery: Delivery,
    health: Health,
    calls: TaskTracker,
    reporter: tonic_health::server::HealthReporter,
}

impl Server {
    /// Binds the socket and puts the services behind the layers.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(
        listen: SocketAddr,
        settings: Settings,
        delivery: Delivery,
        health: Health,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let settings = Arc::new(settings);
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let calls = TaskTracker::new();
        let handlers = Handlers {
            settings: settings.clone(),
            delivery: delivery.clone(),
            health: health.clone(),
        };
        let routes = Routes {
            contract: service(handlers, &settings),
            standard: reflection(tonic::service::Routes::new(health_service))?
                .prepare()
                .into_axum_router(),
        };
        Ok(Self {
            listener,
            addr,
            layers: layered(routes, calls.clone(), &settings, &delivery),
            delivery,
            settings,
            health,
            calls,
            reporter,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until the signal and a while longer, then takes no new calls and lets those under way
    /// finish, for as long as the grace period lasts; calls that are open then end with what is
    /// known of them. Returns when the grace period ends, and whether all calls ended before.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> (Instant, bool) {
        let Self {
            listener,
            addr: _,
            settings,
            layers,
            delivery,
            health,
            calls,
            reporter,
        } = self;
        let reporting = tokio::spawn(health.clone().report_to(reporter));
        let graceful = GracefulShutdown::new();
        let stop = async {
            shutdown.await;
            health.set_stopping();
            sleep(settings.shutdown_delay).await;
        };
        accept(&listener, &settings, &layers, &graceful, stop).await;
        drop(listener);
        let until = Instant::now() + settings.shutdown_grace;
        let finished = drain(graceful, &calls, &delivery, until).await;
        reporting.abort();
        (until, finished)
    }
}

/// Takes connections until it is time to stop.
async fn accept(
    listener: &TcpListener,
    settings: &Settings,
    layers: &All,
    graceful: &GracefulShutdown,
    stop: impl Future<Output = ()>,
) {
    let http = http2(settings);
    let connections = Arc::new(Semaphore::new(settings.max_connections));
    let mut last_logged: Option<Instant> = None;
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            () = &mut stop => return,
            stream = listener.accept() => stream,
        };
        match (stream, connections.clone().try_acquire_owned()) {
            (Ok((stream, _)), Ok(permit)) => {
                let stream = Handshake::new(without_delay(stream), settings.handshake_timeout);
                serve(stream, &http, layers.clone(), graceful, permit);
            }
            (Ok(_), Err(_)) => {
                telemetry::record(Event::ConnectionRefused);
                if last_logged.is_none_or(|last| last.elapsed() > LOG_PAUSE) {
                    last_logged = Some(Instant::now());
                    tracing::info!("connections are refused: the limit is reached");
                }
            }
            (Err(error), _) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn service(handlers: Handlers, settings: &Settings) -> ConnectionServiceServer<Handlers> {
    ConnectionServiceServer::new(handlers)
        .max_decoding_message_size(settings.max_message_bytes)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Zstd)
}

/// Reflection in both versions that clients ask for, with the types of the error details, so
/// that tools print them decoded.
fn reflection(routes: tonic::service::Routes) -> io::Result<tonic::service::Routes> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().map_err(io::Error::other)?;
    let v1alpha = builder().build_v1alpha().map_err(io::Error::other)?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}

fn layered<S>(
    routes: S,
    calls: TaskTracker,
    settings: &Settings,
    delivery: &Delivery,
) -> Layers<S> {
    Layers {
        routes,
        calls,
        own_token: settings.own_token.clone(),
        limits: MessageLimits::new(
            settings.message_timeout,
            settings.max_message_bytes,
            delivery.grace_over(),
        ),
    }
}

type All = Layers<Routes<ConnectionServiceServer<Handlers>>>;
type Http = hyper::server::conn::http2::Builder<TokioExecutor>;

fn http2(settings: &Settings) -> Http {
    let mut http = Http::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(settings.max_streams)
        .keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .adaptive_window(true);
    http
}

fn without_delay(stream: TcpStream) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    stream
}

fn serve(
    stream: Handshake<TcpStream>,
    http: &Http,
    layers: All,
    graceful: &GracefulShutdown,
    permit: OwnedSemaphorePermit,
) {
    let connection = http.serve_connection(TokioIo::new(stream), layers);
    let connection = graceful.watch(connection);
    // Owned by `graceful`, which waits for it at shutdown.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
        drop(permit);
    });
}

/// Waits for the calls under way, then for their responses to be on the wire. Returns whether all
/// of them ended in time.
async fn drain(
    graceful: GracefulShutdown,
    calls: &TaskTracker,
    delivery: &Delivery,
    until: Instant,
) -> bool {
    calls.close();
    let mut closing = std::pin::pin!(graceful.shutdown());
    let in_time = tokio::select! {
        () = &mut closing => return true,
        ended = timeout_at(until, calls.wait()) => ended.is_ok(),
    };
    if !in_time {
        delivery.end_grace();
        drop(timeout(LINGER, calls.wait()).await);
    }
    drop(timeout(LINGER, closing).await);
    in_time
}

#[cfg(test)]
mod tests;
