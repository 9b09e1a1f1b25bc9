//! The upstream: a Chartbrew that does nothing but respond, on one thread.
//!
//! It behaves as Node and Express do: keeps connections for 5 s and says so, answers
//! `Expect: 100-continue`, and sends helmet's headers. Each create gets the next id.
//!
//! A second port, in the clear, is for the harness: `GET /stats`, and it takes traces as a collector.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    error::Error,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use chartbrew_gateway_bench::{
    Responses,
    certificates::Authority,
    http1::{Head, Http1},
};
use clap::Parser;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{LocalSet, spawn_local},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

/// Connections that wait to be accepted: as many as Linux allows, for calls that come all at once.
const BACKLOG: u32 = 4096;

/// What Express and helmet send with each response, by their defaults.
const HEADERS: &str = "\
Content-Security-Policy: default-src 'self';base-uri 'self';font-src 'self' https: data:;\
form-action 'self';frame-ancestors 'self';img-src 'self' data:;object-src 'none';\
script-src 'self';script-src-attr 'none';style-src 'self' https: 'unsafe-inline';\
upgrade-insecure-requests\r\n\
Cross-Origin-Opener-Policy: same-origin\r\n\
Cross-Origin-Resource-Policy: same-origin\r\n\
Origin-Agent-Cluster: ?1\r\n\
Referrer-Policy: no-referrer\r\n\
Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n\
X-Content-Type-Options: nosniff\r\n\
X-DNS-Prefetch-Control: off\r\n\
X-Download-Options: noopen\r\n\
X-Frame-Options: SAMEORIGIN\r\n\
X-Permitted-Cross-Domain-Policies: none\r\n\
X-XSS-Protection: 0\r\n\
Access-Control-Allow-Origin: *\r\n\
Content-Type: application/json; charset=utf-8\r\n\
ETag: W/\"1d9-0bUcVhcLCX9mMiKnQmEZ4Rf0K5k\"\r\n";

/// What Node says of a connection that it keeps.
const KEPT: &str = "keep-alive\r\nKeep-Alive: timeout=5";

/// A Chartbrew that does nothing but respond.
#[derive(Parser)]
struct Args {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Where the harness asks it.
    #[arg(long)]
    control: SocketAddr,
    /// Time from a request to its response, in milliseconds.
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Creates are never responded to.
    #[arg(long)]
    silent: bool,
    /// Serve TLS, and write the certificate of the authority that signed for it here.
    #[arg(long)]
    tls: Option<PathBuf>,
    /// Offer HTTP/2 too (by ALPN, so with `--tls`).
    #[arg(long)]
    http2: bool,
}

/// What all connections share.
struct Upstream {
    responses: Responses,
    delay: Duration,
    silent: bool,
    /// Requests that were received.
    requests: Cell<u64>,
    /// The last id that was given out.
    last_id: Cell<u64>,
    /// Requests that wait for a response.
    waiting: Cell<u64>,
    /// Connections that were accepted.
    connections: Cell<u64>,
    date: RefCell<String>,
    /// [`HEADERS`] for HTTP/2.
    headers: HeaderMap,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, serve(args))
}

async fn serve(args: Args) -> Result<(), Box<dyn Error>> {
    let upstream = Rc::new(Upstream {
        responses: Responses::new()?,
        delay: Duration::from_millis(args.delay),
        silent: args.silent,
        requests: Cell::new(0),
        last_id: Cell::new(0),
        waiting: Cell::new(0),
        connections: Cell::new(0),
        date: RefCell::default(),
        headers: header_map()?,
    });
    spawn_local(upstream.clone().tell_the_time());
    let control = listen(args.control)?;
    spawn_local(upstream.clone().control(control));
    let tls = match &args.tls {
        Some(authority) => Some(acceptor(authority, args.http2)?),
        None => None,
    };
    let listener = listen(args.listen)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        upstream.connections.set(upstream.connections.get() + 1);
        // What ends a connection badly shows on the other side of it.
        drop(spawn_local(
            upstream.clone().connection(stream, tls.clone()),
        ));
    }
}

fn header_map() -> Result<HeaderMap, Box<dyn Error>> {
    let lines = HEADERS.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| Ok((name.parse::<HeaderName>()?, HeaderValue::from_static(value))))
        .collect()
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// TLS with a certificate made for the occasion. Sessions can be resumed, as with Node.
fn acceptor(authority: &Path, http2: bool) -> Result<TlsAcceptor, Box<dyn Error>> {
    let issuer = Authority::new()?;
    let (certificate, key) = issuer.sign(&["127.0.0.1", "localhost"])?;
    fs::write(authority, issuer.pem())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    if http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    } else {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}

// === impl Upstream ===

impl Upstream {
    async fn connection(self: Rc<Self>, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let Some(tls) = tls else {
            return drop(self.http1(stream).await);
        };
        let Ok(stream) = tls.accept(stream).await else {
            return;
        };
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            let service = service_fn(move |request| self.clone().http2(request));
            let http = http2::Builder::new(Local);
            drop(http.serve_connection(TokioIo::new(stream), service).await);
        } else {
            drop(self.http1(stream).await);
        }
    }

    async fn http1<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<()> {
        let mut connection = Http1::new(stream);
        while let Some(Head {
            method,
            path,
            closes,
            ..
        }) = connection.request().await?
        {
            let body = self.body(&method, &path);
            if body.is_some() && self.waits(&method) {
                let _waiting = Waiting::new(&self.waiting);
                if self.silent {
                    return connection.gone().await;
                }
                sleep(self.delay).await;
            }
            let response = self.response(body, closes);
            connection.respond(response.as_bytes()).await?;
            if closes {
                break;
            }
        }
        connection.close().await
    }

    /// As HTTP/1.1 has it. Without a body: there is no such route.
    fn response(&self, body: Option<String>, closes: bool) -> String {
        let status = if body.is_some() {
            "200 OK"
        } else {
            "404 Not Found"
        };
        let body = body.unwrap_or_default();
        let (length, date) = (body.len(), self.date.borrow());
        let connection = if closes { "close" } else { KEPT };
        format!(
            "HTTP/1.1 {status}\r\n{HEADERS}Content-Length: {length}\r\nDate: {date}\r\n\
             Connection: {connection}\r\n\r\n{body}"
        )
    }

    async fn http2(
        self: Rc<Self>,
        request: http::Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        body.collect().await?;
        let body = self.body(head.method.as_str(), head.uri.path());
        if body.is_some() && self.waits(head.method.as_str()) {
            let _waiting = Waiting::new(&self.waiting);
            if self.silent {
                std::future::pending::<Infallible>().await;
            }
            sleep(self.delay).await;
        }
        let status = if body.is_some() { 200 } else { 404 };
        let mut response = Response::new(Full::from(body.unwrap_or_default()));
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
        *response.headers_mut() = self.headers.clone();
        Ok(response)
    }

    /// The body of the response: `/team/1/connections` and `/team/1/connections/7`.
    fn body(&self, method: &str, path: &str) -> Option<String> {
        self.requests.set(self.requests.get() + 1);
        let rest = path.strip_prefix("/team/")?.split_once("/connections")?.1;
        let id = rest.split('?').next()?.strip_prefix('/');
        match (method, id) {
            ("POST", None) => {
                let id = self.last_id.get() + 1;
                self.last_id.set(id);
                Some(self.responses.created(id))
            }
            ("GET", Some(id)) => Some(self.responses.read(id.parse().ok()?)),
            ("GET", None) => Some(self.responses.list().to_owned()),
            _ => None,
        }
    }

    fn waits(&self, method: &str) -> bool {
        !self.delay.is_zero() || (self.silent && method == "POST")
    }

    /// The header `Date` is made once a second, as Node does.
    async fn tell_the_time(self: Rc<Self>) {
        loop {
            *self.date.borrow_mut() = httpdate::fmt_http_date(SystemTime::now());
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Answers the harness, and takes traces.
    async fn control(self: Rc<Self>, listener: TcpListener) -> io::Result<Infallible> {
        loop {
            let (stream, _) = listener.accept().await?;
            let upstream = self.clone();
            spawn_local(async move {
                let mut connection = Http1::new(stream);
                while let Ok(Some(head)) = connection.request().await {
                    let body = match &*head.path {
                        "/stats" => format!(
                            r#"{{"requests":{},"waiting":{},"connections":{}}}"#,
                            upstream.requests.get(),
                            upstream.waiting.get(),
                            upstream.connections.get()
                        ),
                        _ => String::new(),
                    };
                    let response = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if connection.respond(response.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    }
}

/// Counts a request that waits, for as long as it does.
struct Waiting<'a>(&'a Cell<u64>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<u64>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Runs hyper's tasks on this thread.
#[derive(Clone)]
struct Local;

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        drop(spawn_local(future));
    }
}
