//! The gRPC server: its socket, its services, and how it stops.
//!
//! Served with hyper, not with tonic's `Server`: that one enforces a caller's `grpc-timeout`
//! outside all layers (see [`deadline`](super::deadline)).

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::task::TaskTracker;
use tonic::codec::CompressionEncoding;

use super::{
    Health, Settings,
    connection::{Connections, Seldom},
    handlers::Handlers,
    identity::Identity,
    layers::{Layers, MOST_REFLECTIONS, Routes},
    message::MessageLimits,
    unread::Unread,
};
use crate::{
    chartbrew::Token,
    delivery::Delivery,
    proto::{self, connection_service_server::ConnectionServiceServer},
    reload::FileProblem,
    telemetry::{self, Event},
};

/// Connections that wait to be accepted, at most; the system has a limit too (`net.core.somaxconn`).
/// One that finds no room is tried again by its caller a second later.
const BACKLOG: u32 = 4096;
/// After a failure to accept (no file descriptors left), wait for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What is left for responses to reach the socket once the last call has ended. Streams of the
/// health service never end by themselves and are cut after it.
const LINGER: Duration = Duration::from_millis(500);

/// Why the server cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A file of the settings cannot be used.
    #[error(transparent)]
    File(#[from] FileProblem),
    /// The address cannot be bound.
    #[error(transparent)]
    Listen(#[from] io::Error),
}

/// A bound server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    settings: Arc<Settings>,
    connections: Connections<All>,
    delivery: Delivery,
    health: Health,
    calls: TaskTracker,
    reporter: tonic_health::server::HealthReporter,
    /// The gateway's own token, if it has one.
    own_token: Option<watch::Receiver<Arc<Token>>>,
}

impl Server {
    /// Reads the files of the settings, and again once in `reload_every`; binds the socket and puts
    /// the services behind the layers.
    ///
    /// # Errors
    /// If a file cannot be used or the address cannot be bound.
    pub async fn bind(
        listen: SocketAddr,
        settings: Settings,
        reload_every: Duration,
        delivery: Delivery,
        health: Health,
    ) -> Result<Self, BindError> {
        let identity = Identity::open(&settings, reload_every)?;
        let tls = settings.tls.open(reload_every)?;
        let listener = bind(listen)?;
        let addr = listener.local_addr()?;
        let settings = Arc::new(settings);
        let own_token = identity.own_token();
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
        let layers = layered(routes, calls.clone(), identity, &settings, &delivery);
        Ok(Self {
            listener,
            addr,
            connections: Connections::new(&settings, tls, layers),
            delivery,
            settings,
            health,
            calls,
            reporter,
            own_token,
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
            connections,
            delivery,
            health,
            calls,
            reporter,
            own_token,
        } = self;
        let reporting = tokio::spawn(health.clone().report_to(reporter));
        let noting = tokio::spawn(note_tokens(own_token, health.clone()));
        let stop = async {
            shutdown.await;
            health.set_stopping();
            sleep(settings.shutdown_delay).await;
        };
        accept(&listener, settings.max_connections, &connections, stop).await;
        drop(listener);
        let until = Instant::now() + settings.shutdown_grace;
        let finished = drain(&connections, &calls, &delivery, until).await;
        reporting.abort();
        noting.abort();
        (until, finished)
    }
}

/// A socket that listens, with room for many connections that begin at once.
fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = match listen {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A gateway that takes the place of another one has the same address.
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

/// A token that replaces a rejected one may be valid.
async fn note_tokens(own: Option<watch::Receiver<Arc<Token>>>, health: Health) {
    let Some(mut own) = own else { return };
    while own.changed().await.is_ok() {
        health.token_replaced();
    }
}

/// Takes connections until it is time to stop.
async fn accept(
    listener: &TcpListener,
    max_connections: usize,
    connections: &Connections<All>,
    stop: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(max_connections));
    let log = Seldom::default();
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            () = &mut stop => return,
            stream = listener.accept() => stream,
        };
        match (stream, permits.clone().try_acquire_owned()) {
            (Ok((stream, _)), Ok(permit)) => connections.serve(stream, permit),
            (Ok(_), Err(_)) => {
                telemetry::record(Event::ConnectionRefused);
                if let Some(left_out) = log.may_now() {
                    tracing::info!(left_out, "connections are refused: the limit is reached");
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
    identity: Identity,
    settings: &Settings,
    delivery: &Delivery,
) -> Layers<S> {
    Layers {
        routes,
        calls: [calls, TaskTracker::new()],
        identity,
        certificate_names: None,
        limits: MessageLimits::new(
            settings.message_timeout,
            settings.max_message_bytes,
            delivery.grace_over(),
        ),
        reflections: Arc::new(Semaphore::new(MOST_REFLECTIONS)),
        unread: Unread::default(),
    }
}

type All = Routes<ConnectionServiceServer<Handlers>>;

/// Waits for the calls under way, then for their responses to be on the wire. Returns whether all
/// of them ended in time.
async fn drain(
    connections: &Connections<All>,
    calls: &TaskTracker,
    delivery: &Delivery,
    until: Instant,
) -> bool {
    calls.close();
    let mut closing = std::pin::pin!(connections.shutdown());
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
