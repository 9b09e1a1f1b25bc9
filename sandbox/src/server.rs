//! The socket: accepts connections, reads requests, sends responses or breaks off.
//!
//! A request's work runs in a task of its own, so that it goes on when its caller hangs up, as the
//! real server's does. What a cut-off request ends, it ends for all: see [`CutOff`].

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

use super::{
    Fault, Handle, Kind, Seen, Settings, What,
    api::Request,
    control,
    cut_off::CutOff,
    pace::{Body, Dropped, paced},
    reply::Reply,
    route::Route,
    state::{App, Busy, SeenAt},
    work::{Ending, Pace, work, work_late},
};

/// How long to wait when no connection can be accepted, as when files have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound sandbox that does not serve yet: see [`run`](Self::run).
#[derive(Debug)]
pub struct Sandbox {
    listener: TcpListener,
    app: Arc<App>,
}

/// What every connection needs of the sandbox, from one start to the next.
#[derive(Clone)]
struct ServerContext {
    app: Arc<App>,
    /// The requests that are being worked on.
    works: TaskTracker,
    /// Ends them all, and all connections.
    stop: CancellationToken,
}

impl Sandbox {
    /// Binds the address of the settings. Connections are accepted from now on, and served as soon
    /// as [`run`](Self::run) is polled.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn bind(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let addr = listener.local_addr()?;
        let app = Arc::new(App::new(settings, addr));
        Ok(Self { listener, app })
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> std::net::SocketAddr {
        self.app.addr
    }

    /// Its base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        self.handle().url()
    }

    /// A handle to look into it and to script it, before and while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.app))
    }

    /// Serves until `shutdown` resolves, then breaks off whatever is under way. Where a request that
    /// was cut off ends the real server's process, everything under way is broken off too, and it
    /// serves on, as a process does that is started again.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, app } = self;
        info!(sandbox.addr = %app.addr, "the sandbox serves");
        tokio::pin!(shutdown);
        loop {
            let context = ServerContext {
                app: Arc::clone(&app),
                works: TaskTracker::new(),
                stop: CancellationToken::new(),
            };
            let mut connections = JoinSet::new();
            let is_over = tokio::select! {
                () = &mut shutdown => true,
                () = context.stop.cancelled() => false,
                never = context.accept(&listener, &mut connections) => match never {},
            };
            context.stop.cancel();
            connections.shutdown().await;
            context.works.close();
            context.works.wait().await;
            if is_over {
                break;
            }
        }
        info!("the sandbox has stopped");
    }
}

/// What helmet adds to every response of Chartbrew's, as far as it tells Chartbrew from a proxy.
const HELMET: [(&str, &str); 3] = [
    ("x-content-type-options", "nosniff"),
    ("x-dns-prefetch-control", "off"),
    ("x-permitted-cross-domain-policies", "none"),
];

impl ServerContext {
    /// Accepts connections and serves each in a task of its own.
    async fn accept(&self, listener: &TcpListener, connections: &mut JoinSet<()>) -> Infallible {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let (context, busy) = (self.clone(), Busy::begin(&self.app));
                        connections.spawn(context.connection(stream, busy));
                    }
                    Err(error) => {
                        warn!(%error, "no connection could be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Serves one connection until either side closes it.
    async fn connection(self, stream: TcpStream, _busy: Busy) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "a connection is without nodelay");
        }
        let keep_alive = self.app.settings.keep_alive;
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            // Runs while a connection is idle too: this is what closes one after `keep_alive`.
            .header_read_timeout(keep_alive)
            .serve_connection(TokioIo::new(stream), service_fn(|r| self.request(r)))
            .await;
        if let Err(error) = served {
            debug!(%error, "a connection was broken off");
        }
    }

    /// Reads a request, has it worked on in a task of its own, and sends what comes of it.
    async fn request(&self, request: http::Request<Incoming>) -> Result<Response<Body>, Dropped> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let closes = asks_to_close(&head.headers);
        let mut request = Request {
            method: head.method,
            path,
            headers: head.headers,
            body: Bytes::new(),
        };
        if request.path.starts_with(control::PREFIX) {
            request.body = read(body).await?;
            let reply = control::call(&self.app, &request);
            return Ok(self.send(reply, Pace::Whole, closes, CutOff::unwatched()));
        }

        let kind: Kind = Route::read(&request.method, &request.path).kind;
        let fault = self.app.change(|m| m.take_fault(kind)).unwrap_or_default();
        let unread = fault.what == What::DropBeforeReading;
        let mut cut_off = CutOff::watch(&self.app, &self.stop, kind);
        if !unread {
            request.body = read(body).await?;
        }
        let path = head
            .uri
            .path_and_query()
            .map_or_else(|| request.path.clone(), |p| p.as_str().to_owned());
        let seen = Seen {
            method: request.method.clone(),
            path,
            headers: request.headers.clone(),
            body: request.body.clone(),
            status: None,
        };
        let seen_at = self.app.change(|m| m.see(seen));
        if unread {
            cut_off.disarm();
            return Err(Dropped);
        }

        let method = request.method.clone();
        match self.hand_over(request, fault, seen_at).await {
            Ok(Ending::Reply(reply, pace)) => {
                Ok(self.send(reply, pace, closes, cut_off.without_body(&method)))
            }
            Ok(Ending::Silence) => std::future::pending().await,
            Ok(Ending::Drop) | Err(_) => {
                cut_off.disarm();
                Err(Dropped)
            }
        }
    }

    /// Starts a request's work in a task of its own.
    fn hand_over(
        &self,
        request: Request,
        fault: Fault,
        seen_at: SeenAt,
    ) -> oneshot::Receiver<Ending> {
        let (tell, told) = oneshot::channel();
        let (app, busy) = (Arc::clone(&self.app), Busy::begin(&self.app));
        let work = async move {
            let _busy = busy;
            let late = matches!(fault.what, What::RespondThenStore(_)).then(|| fault.clone());
            let ending = work(&app, &request, fault).await;
            if let Ending::Reply(reply, _) = &ending {
                let status = reply.status.as_u16();
                debug!(method = %request.method, status, "the sandbox answers");
                app.change(|m| m.answered(seen_at, status));
            }
            // Nobody listens if the caller has hung up.
            let _ = tell.send(ending);
            if let Some(fault) = late {
                work_late(&app, &request, &fault).await;
            }
        };
        let stop = self.stop.clone();
        self.works
            .spawn(async move { stop.run_until_cancelled(work).await });
        told
    }

    fn send(&self, reply: Reply, pace: Pace, closes: bool, cut_off: CutOff) -> Response<Body> {
        let length = reply.body.len();
        let mut response = Response::new(paced(reply.body, pace, cut_off));
        *response.status_mut() = reply.status;
        let headers = response.headers_mut();
        headers.extend(reply.headers);
        if is_its_own(reply.status, headers) {
            headers.extend(HELMET.map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            }));
        }
        if reply.status != http::StatusCode::NO_CONTENT {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        if closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive"));
        let seconds = self.app.settings.keep_alive.as_secs();
        if let Ok(value) = HeaderValue::try_from(format!("timeout={seconds}")) {
            headers.insert("keep-alive", value);
        }
        response
    }
}

/// Whether Chartbrew itself answers so. A fault can stand for a proxy: with a status that is only
/// a proxy's, or by naming the proxy in `server` or `via`.
fn is_its_own(status: http::StatusCode, headers: &http::HeaderMap) -> bool {
    let of_a_proxy = matches!(status.as_u16(), 408 | 502..=504 | 506..);
    !of_a_proxy && !headers.contains_key(header::SERVER) && !headers.contains_key(header::VIA)
}

/// Reads a body to its end.
async fn read(body: Incoming) -> Result<Bytes, Dropped> {
    let body = body.collect().await.map_err(|_| Dropped)?;
    Ok(body.to_bytes())
}

fn asks_to_close(headers: &http::HeaderMap) -> bool {
    headers
        .get(header::CONNECTION)
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"close"))
}
