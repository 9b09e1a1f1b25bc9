//! The socket, and THE layer stack.
//!
//! Served with hyper, not with tonic's `Server`: that one enforces a caller's `grpc-timeout`
//! outside all layers (see [`deadline`]).

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, middleware::from_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::task::TaskTracker;
use tonic::{codec::CompressionEncoding, service::Routes};
use tower::ServiceBuilder;

use super::{Handlers, Health, Settings, call, deadline, foreign};
use crate::{
    delivery::Delivery,
    proto::{self, connection_service_server::ConnectionServiceServer},
};

/// How often an idle connection is asked whether its peer is there, and for how long.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// After a failure to accept (no file descriptors left), wait for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What is left for answers to reach the socket once the last call has ended. Streams of the
/// health service never end by themselves and are cut after it.
const LINGER: Duration = Duration::from_millis(500);

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    settings: Arc<Settings>,
    router: Router,
    health: Health,
    calls: TaskTracker,
    reporter: tonic_health::server::HealthReporter,
}

impl Server {
    /// Binds the socket and stacks the layers.
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
            delivery,
            health: health.clone(),
        };
        let routes = reflection(Routes::new(service(handlers, &settings)))?
            .add_service(health_service)
            .prepare()
            .into_axum_router();
        Ok(Self {
            listener,
            addr,
            router: layered(routes, calls.clone()),
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

    /// Serves until the signal, then takes no new calls and lets those under way finish, for as
    /// long as the grace period lasts. Returns whether all of them did.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> bool {
        let Self {
            listener,
            addr: _,
            settings,
            router,
            health,
            calls,
            reporter,
        } = self;
        let reporting = tokio::spawn(health.clone().report_to(reporter));
        let graceful = GracefulShutdown::new();
        let http = http2(&settings);
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let stream = tokio::select! {
                () = &mut shutdown => break,
                stream = listener.accept() => stream,
            };
            match stream {
                Ok((stream, _)) => serve(stream, &http, router.clone(), &graceful),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        health.set_stopping();
        drop(listener);
        let finished = drain(graceful, &calls, settings.shutdown_grace).await;
        reporting.abort();
        finished
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
fn reflection(routes: Routes) -> io::Result<Routes> {
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

/// THE stack. A request meets the layers from top to bottom, an answer from bottom to top.
fn layered(routes: Router, calls: TaskTracker) -> Router {
    let layers = ServiceBuilder::new()
        // The call's id, its trailers and its line in the log. Outermost, so that no answer
        // escapes it: not a panic's, not a refusal by tonic.
        .layer(axum::middleware::from_fn_with_state(calls, call::track))
        // A panic ends one call, not its connection with all the other calls on it.
        .layer(foreign::catch_panic())
        // The deadline's clock starts before the message is read.
        .layer(from_fn(deadline::read))
        // What tonic refuses by itself gets the details that every failure has. Innermost, since
        // only tonic's answers are its business.
        .layer(from_fn(foreign::explain));
    routes.layer(layers)
}

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

fn serve(stream: TcpStream, http: &Http, router: Router, graceful: &GracefulShutdown) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let service = TowerToHyperService::new(router);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    // Owned by `graceful`, which waits for it at shutdown.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended");
        }
    });
}

/// Waits for the calls under way, then for their answers to be on the wire.
async fn drain(graceful: GracefulShutdown, calls: &TaskTracker, grace: Duration) -> bool {
    calls.close();
    let mut closing = std::pin::pin!(graceful.shutdown());
    let finished = tokio::select! {
        () = &mut closing => return true,
        finished = timeout(grace, calls.wait()) => finished.is_ok(),
    };
    drop(timeout(LINGER, closing).await);
    finished
}
