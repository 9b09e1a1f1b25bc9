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

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    HandshakeKind, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::process::Process;

/// The upstream's end of a connection.
pub(crate) type Tls = TlsStream<TcpStream>;

/// Hands every connection, with its number from 0, to a script once TLS is agreed on.
pub(crate) struct TlsUpstream {
    pub(crate) url: String,
    /// The certificate of the authority that signed for it. Removed when dropped.
    authority: PathBuf,
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
        let (config, authority) = server_config(alpn);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self {
            url: format!("https://{}", listener.local_addr().unwrap()),
            authority,
            connections: Arc::default(),
            handshakes: Arc::default(),
        };
        let script = Arc::new(script);
        let (connections, handshakes) = (upstream.connections.clone(), upstream.handshakes.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, script) = (acceptor.clone(), script.clone());
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
        let authority = ("SSL_CERT_FILE", self.authority.to_str().unwrap());
        Process::start(url, &[settings, &[authority]].concat()).await
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

impl Drop for TlsUpstream {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.authority));
    }
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

fn server_config(alpn: &[&str]) -> (ServerConfig, PathBuf) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let authority = std::env::temp_dir().join(format!("authority-{}.pem", uuid::Uuid::new_v4()));
    std::fs::write(&authority, issuer.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    (config, authority)
}
