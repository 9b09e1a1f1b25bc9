//! An upstream with TLS, and a gateway that trusts its certificate.

use std::{
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    HandshakeKind, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::process::Process;

/// The upstream's end of a connection.
pub(crate) type Tls = TlsStream<TcpStream>;

/// Hands every connection, with its number from 0, to a script once TLS is agreed on.
pub(crate) struct TlsUpstream {
    pub(crate) url: String,
    /// The file of the authority that signed for it.
    authority: String,
    _files: Folder,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    connections: Arc<AtomicUsize>,
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
}

impl TlsUpstream {
    /// `alpn` is what it speaks, the protocol it likes best first.
    pub(crate) async fn start<F>(
        alpn: &[&str],
        script: impl Fn(Tls, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let authority = Authority::new();
        Self::start_with(&authority, authority.server(alpn, None), script).await
    }

    /// `authority` is the one that the gateway trusts as the system's.
    pub(crate) async fn start_with<F>(
        authority: &Authority,
        config: ServerConfig,
        script: impl Fn(Tls, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let files = Folder::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self {
            url: format!("https://{}", listener.local_addr().unwrap()),
            authority: files.write("system.pem", authority.pem()),
            _files: files,
            config: Arc::new(Mutex::new(Arc::new(config))),
            connections: Arc::default(),
            handshakes: Arc::default(),
        };
        let script = Arc::new(script);
        let (connections, handshakes) = (upstream.connections.clone(), upstream.handshakes.clone());
        let config = upstream.config.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(config.lock().unwrap().clone());
                let script = script.clone();
                let (connections, handshakes) = (connections.clone(), handshakes.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    handshakes
                        .lock()
                        .unwrap()
                        .extend(stream.get_ref().1.handshake_kind());
                    let number = connections.fetch_add(1, Ordering::SeqCst);
                    script(stream, number).await;
                });
            }
        });
        upstream
    }

    /// Starts a gateway before it.
    pub(crate) async fn gateway(&self, settings: &[(&str, &str)]) -> Process {
        self.gateway_by_way_of(&self.url, settings).await
    }

    /// Starts a gateway before a proxy to it.
    pub(crate) async fn gateway_by_way_of(&self, url: &str, settings: &[(&str, &str)]) -> Process {
        let authority = ("SSL_CERT_FILE", self.authority.as_str());
        Process::start(url, &[settings, &[authority]].concat()).await
    }

    /// From now on its handshakes are others.
    pub(crate) fn change(&self, config: ServerConfig) {
        *self.config.lock().unwrap() = Arc::new(config);
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Which of them were resumed.
    pub(crate) fn handshakes(&self) -> Vec<HandshakeKind> {
        self.handshakes.lock().unwrap().clone()
    }
}

/// The certificate that the gateway has shown, as text.
pub(crate) fn client_certificate(stream: &Tls) -> Option<Vec<u8>> {
    let shown = stream.get_ref().1.peer_certificates()?;
    Some(shown.first()?.to_vec())
}

/// What was agreed on by ALPN.
pub(crate) fn speaks_http2(stream: &Tls) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

/// Passes a connection on to an upstream without TLS.
pub(crate) async fn pass_on(mut stream: Tls, to: SocketAddr) {
    let mut server = TcpStream::connect(to).await.unwrap();
    drop(tokio::io::copy_bidirectional(&mut stream, &mut server).await);
}

/// An authority that signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Files that are removed when dropped.
pub(crate) struct Folder(PathBuf);

// === impl Authority ===

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Each has a name of its own.
        let name = uuid::Uuid::new_v4().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Self(issuer.unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this machine.
    pub(crate) fn sign(&self) -> Signed {
        self.sign_with(|_| {})
    }

    pub(crate) fn sign_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Signed {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        change(&mut params);
        Signed {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// Of a server whose certificate it signs. With `clients`: it asks for a certificate that they
    /// have signed.
    pub(crate) fn server(&self, alpn: &[&str], clients: Option<&Self>) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.0.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let signed = self.sign();
        let certificate = CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

// === impl Folder ===

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tls-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
