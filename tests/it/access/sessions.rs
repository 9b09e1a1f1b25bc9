//! TLS sessions that a caller keeps: none of them is a way around its certificate.

use std::sync::Arc;

use rustls::{
    ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::support::{
    gateway::{Gateway, gateway, sandbox},
    pki::{Authority, Files, HOST, Pair},
    time::soon,
    wire::{PREFACE, SETTINGS},
};

/// A caller that keeps its sessions, as most do, and shows a certificate if it is asked.
fn caller(
    authority: &Authority,
    shown: &Pair,
    version: &'static SupportedProtocolVersion,
) -> TlsConnector {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(authority.pem())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from_pem_slice(shown.key.as_bytes()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate(&shown.cert)], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.enable_early_data = true;
    TlsConnector::from(Arc::new(config))
}

/// How the gateway agrees on TLS with a caller. `None`: it refuses.
async fn agreed(gateway: &Gateway, caller: &TlsConnector) -> Option<HandshakeKind> {
    let stream = TcpStream::connect(gateway.addr).await.unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    let mut stream = caller.connect(name, stream).await.ok()?;
    // The gateway's first frame comes when it has accepted the certificate, behind its tickets.
    let first = async {
        stream.write_all(&[PREFACE, SETTINGS].concat()).await?;
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await
    };
    soon(first).await.ok()?;
    stream.get_ref().1.handshake_kind()
}

#[tokio::test]
async fn a_session_is_not_resumed_where_callers_need_certificates() {
    let sandbox = sandbox().await;
    let (authority, next) = (Authority::new("ours"), Authority::new("next"));
    for version in [&TLS12, &TLS13] {
        let files = Files::new(&authority, &authority);
        let open = gateway(&sandbox.url())
            .with(|settings| files.without_client_ca(settings))
            .start_without_client()
            .await;
        let shown = authority.issue(&["billing.example"]);
        // Without, it is: what follows would not show anything otherwise.
        let anybody = caller(&authority, &shown, version);
        assert_eq!(agreed(&open, &anybody).await, Some(HandshakeKind::Full));
        assert_eq!(agreed(&open, &anybody).await, Some(HandshakeKind::Resumed));

        let closed = gateway(&sandbox.url())
            .with(|settings| files.with_client_ca(settings, &[]))
            .start_without_client()
            .await;
        let known = caller(&authority, &shown, version);
        for _ in 0..3 {
            assert_eq!(agreed(&closed, &known).await, Some(HandshakeKind::Full));
        }
        // Sessions of another port are of no use here.
        assert_eq!(agreed(&closed, &anybody).await, Some(HandshakeKind::Full));
        // Nor is a session from before its authority was removed.
        files.write("client-ca.pem", next.pem());
        soon(async { while agreed(&closed, &known).await.is_some() {} }).await;
        assert_eq!(agreed(&closed, &known).await, None);
    }
}
