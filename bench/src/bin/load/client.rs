//! Connections, in the clear or with TLS 1.3, and the calls on them.

use std::{cell::Cell, fs, future::poll_fn, net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::TLS13,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::{JoinHandle, spawn_local},
};
use tokio_rustls::TlsConnector;

use crate::{Args, Failure};

const WINDOW: u32 = 1 << 20;
const TOKEN: &str = "Bearer bench-token";

/// Files in PEM.
#[derive(clap::Args)]
pub(crate) struct Tls {
    /// The authority of the server's certificate. With it, the load uses TLS 1.3.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// The certificate that the load shows.
    #[arg(long, requires_all = ["ca", "key"])]
    cert: Option<PathBuf>,
    /// The key of this certificate.
    #[arg(long, requires = "cert")]
    key: Option<PathBuf>,
}

/// Makes calls, in turn on each connection.
pub(crate) struct Client {
    target: SocketAddr,
    tls: Option<TlsConnector>,
    /// None: each call makes its own.
    connections: Vec<SendRequest<Bytes>>,
    next: Cell<usize>,
    request: Request<()>,
    message: Bytes,
}

// === impl Tls ===

impl Tls {
    fn connector(&self) -> Result<Option<TlsConnector>, Failure> {
        let Some(ca) = &self.ca else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca)?)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots);
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => builder.with_client_auth_cert(
                vec![CertificateDer::from_pem_file(cert)?],
                PrivateKeyDer::from_pem_file(key)?,
            )?,
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Each handshake is a full one.
        config.resumption = Resumption::disabled();
        Ok(Some(Arc::new(config).into()))
    }
}

// === impl Client ===

impl Client {
    pub(crate) async fn connect(args: &Args) -> Result<Self, Failure> {
        let tls = args.tls.connector()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://{}{}", args.target, args.path);
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", TOKEN)
            .body(())?;
        let mut client = Self {
            target: args.target,
            tls,
            connections: Vec::new(),
            next: Cell::new(0),
            request,
            message: fs::read(&args.message)?.into(),
        };
        for _ in 0..args.connections {
            let (connection, _) = client.connection().await?;
            client.connections.push(connection);
        }
        Ok(client)
    }

    /// A new connection, and the task that ends with it.
    async fn connection(&self) -> Result<(SendRequest<Bytes>, JoinHandle<()>), Failure> {
        let stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => {
                let name = ServerName::from(self.target.ip());
                http2(tls.connect(name, stream).await?).await
            }
            None => http2(stream).await,
        }
    }

    /// One call. An error if its status is not OK.
    pub(crate) async fn call(&self) -> Result<(), Failure> {
        if self.connections.is_empty() {
            let (connection, task) = self.connection().await?;
            self.send(connection).await?;
            return Ok(task.await?);
        }
        let next = self.next.replace(self.next.get() + 1);
        let connection = &self.connections[next % self.connections.len()];
        self.send(connection.clone()).await
    }

    async fn send(&self, connection: SendRequest<Bytes>) -> Result<(), Failure> {
        let mut connection = connection.ready().await?;
        let (response, mut body) = connection.send_request(self.request.clone(), false)?;
        body.send_data(self.message.clone(), true)?;
        let (head, mut body) = response.await?.into_parts();
        if !head.status.is_success() {
            return Err(head.status.to_string().into());
        }
        while let Some(data) = poll_fn(|context| body.poll_data(context)).await {
            body.flow_control().release_capacity(data?.len())?;
        }
        let trailers = poll_fn(|context| body.poll_trailers(context)).await?;
        status(trailers.as_ref().unwrap_or(&head.headers))
    }
}

async fn http2<S>(stream: S) -> Result<(SendRequest<Bytes>, JoinHandle<()>), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(16 * WINDOW)
        .handshake(stream)
        .await?;
    let task = spawn_local(async move {
        if let Err(error) = connection.await {
            eprintln!("a connection broke: {error}");
        }
    });
    Ok((sender, task))
}

fn status(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get("grpc-status") {
        Some(status) if status == "0" => Ok(()),
        status => {
            let message = headers.get("grpc-message");
            Err(format!("grpc-status {status:?}, {message:?}").into())
        }
    }
}
