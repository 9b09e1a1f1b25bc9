//! The HTTP port for operators: liveness, readiness, metrics and the filter of the log.
//!
//! | request | response |
//! |---|---|
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200, or 503 if no calls should be sent here; one line for each problem |
//! | `GET /metrics` | all metrics in Prometheus' text format |
//! | `GET /version` | name, version and commit, as JSON |
//! | `GET /log` | the log's filter |
//! | `PUT /log` | changes it to the body; from this machine only, unless a setting allows all |
//!
//! Plain HTTP/1.1 without a password: keep it on loopback or in a network of its own.

use std::{fmt, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, HOST},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};

use crate::telemetry::{self, logs};

/// Connections at once. A scraper or a probe needs one.
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest filter of the log, in bytes.
const MAX_FILTER: usize = 4096;
/// After a failure to accept (no file descriptors left), wait for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How the port behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens. `None`: there is no admin port.
    pub listen: Option<SocketAddr>,
    /// Whether the log's filter may be changed from other machines too.
    pub remote_log: bool,
}

/// Says whether the gateway is ready, and what is wrong: that it cannot be reached need not make
/// it not ready.
#[derive(Clone)]
pub struct Readiness(Arc<dyn Fn() -> (bool, Vec<&'static str>) + Send + Sync>);

/// The bound port.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    addr: SocketAddr,
    router: Router,
}

#[derive(Clone, Debug)]
struct Shared {
    remote_log: bool,
    readiness: Readiness,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

// === impl Readiness ===

impl Readiness {
    /// Asks this each time.
    pub fn new(ask: impl Fn() -> (bool, Vec<&'static str>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&(self.0)()).finish()
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
            remote_log: false,
        }
    }
}

// === impl Admin ===

impl Admin {
    /// Binds the port. See [`Settings::remote_log`] for the second argument.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(
        listen: SocketAddr,
        remote_log: bool,
        readiness: Readiness,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let router = Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/version", get(version))
            .route("/log", get(log).put(set_log))
            .with_state(Shared {
                remote_log,
                readiness,
            });
        Ok(Self {
            listener,
            addr,
            router,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until the signal; requests under way then are cut off.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listener,
            addr: _,
            router,
        } = self;
        let connection_limit = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = async {
                // Beyond the limit, connections wait in the kernel's queue.
                let permit = connection_limit
                    .clone()
                    .acquire_owned()
                    .await
                    .map_err(io::Error::other)?;
                Ok::<_, io::Error>((permit, listener.accept().await?))
            };
            let accepted = tokio::select! {
                () = &mut shutdown => return,
                accepted = accepted => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((permit, (stream, peer))) => {
                    connections.spawn(serve(stream, peer, router.clone(), permit));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the admin port");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, _permit: OwnedSemaphorePermit) {
    let service = TowerToHyperService::new(router.layer(Extension(Peer(peer))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection to the admin port ended");
    }
}

async fn ready(State(shared): State<Shared>) -> Response {
    let (is_ready, problems) = (shared.readiness.0)();
    let problems: String = problems.iter().map(|line| format!("{line}\n")).collect();
    match is_ready {
        true => format!("ok\n{problems}").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, problems).into_response(),
    }
}

async fn metrics() -> Response {
    match telemetry::scrape() {
        Ok(text) => ([(CONTENT_TYPE, telemetry::SCRAPE_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "scrape failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn version() -> Response {
    let json = concat!(
        "{\"name\":\"chartbrew-gateway\",\"version\":\"",
        env!("CARGO_PKG_VERSION"),
        "\",\"commit\":\"",
        env!("GATEWAY_COMMIT"),
        "\"}\n"
    );
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}

async fn log() -> Response {
    match logs::filter() {
        Some(filter) => format!("{filter}\n").into_response(),
        None => (StatusCode::CONFLICT, "the log was not set up here\n").into_response(),
    }
}

async fn set_log(
    State(shared): State<Shared>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Response {
    let from_here = peer.ip().to_canonical().is_loopback() && names_this_machine(request.headers());
    if !(from_here || shared.remote_log) {
        let refusal = "only from this machine, unless GATEWAY_ADMIN_REMOTE_LOG is true\n";
        return (StatusCode::FORBIDDEN, refusal).into_response();
    }
    // Not before: a client without the right to change the filter must not hold a connection with a
    // body that never comes.
    let body = axum::body::to_bytes(request.into_body(), MAX_FILTER);
    let body = match timeout(HEAD_TIMEOUT, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let Ok(filter) = str::from_utf8(&body) else {
        return (StatusCode::BAD_REQUEST, "this is no text\n").into_response();
    };
    match logs::set_filter(filter.trim()) {
        Ok(()) => {
            tracing::info!(filter = filter.trim(), "the log's filter was changed");
            log().await
        }
        Err(error @ logs::NotChanged::Invalid(_)) => {
            (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
        }
        Err(error @ logs::NotChanged::NotOurs) => {
            (StatusCode::CONFLICT, format!("{error}\n")).into_response()
        }
    }
}

/// A page in a browser of this machine can reach the port too, under a name of its own that it
/// had resolved to loopback. So the request must name this machine.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let is_address = host.parse::<SocketAddr>().is_ok() || host.parse::<std::net::IpAddr>().is_ok();
    is_address || host.split(':').next() == Some("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(host: &str) -> bool {
        let host = host.parse().unwrap();
        names_this_machine(&HeaderMap::from_iter([(HOST, host)]))
    }

    #[test]
    fn this_machine_is_an_address_or_localhost() {
        for host in [
            "127.0.0.1:9464",
            "[::1]:9464",
            "127.0.0.1",
            "localhost:1",
            "localhost",
        ] {
            assert!(named(host), "{host}");
        }
        for host in ["rebound.example", "localhost.example:9464", ""] {
            assert!(!named(host), "{host}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn the_log_is_changed_from_elsewhere_only_if_that_is_switched_on() {
        let peer = Peer(SocketAddr::from(([192, 0, 2, 7], 4000)));
        let headers = HeaderMap::from_iter([(HOST, "192.0.2.1:9464".parse().unwrap())]);
        let put = async |remote_log| {
            let shared = Shared {
                remote_log,
                readiness: Readiness::new(|| (true, Vec::new())),
            };
            // No filter: what is asked is only whether it would be read.
            let mut request = Request::new("a=b=c".into());
            *request.headers_mut() = headers.clone();
            set_log(State(shared), Extension(peer), request)
                .await
                .status()
        };
        assert_eq!(put(false).await, StatusCode::FORBIDDEN);
        assert_eq!(put(true).await, StatusCode::BAD_REQUEST);
    }
}
