//! The gateway's port with TLS.

use std::sync::Arc;

use chartbrew_gateway::proto::connection_service_client::ConnectionServiceClient;
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    gateway::{Gateway, authorized, gateway, minimal, sandbox},
    pki::{Authority, Files, HOST, Pair, endpoint, text},
    process::Process,
    time::soon,
    wire::{PREFACE, SETTINGS, Wire},
};

/// Whether a caller gets in. The handshake of TLS 1.3 ends for the caller before the gateway has
/// seen its certificate, so only a call shows it.
async fn gets_in(gateway: &Gateway, trusted: &Authority, shown: Option<&Pair>) -> bool {
    let Ok(channel) = soon(endpoint(gateway.addr, trusted.pem(), shown).connect()).await else {
        return false;
    };
    let created = create(channel.clone()).await;
    let mut health = HealthClient::new(channel.clone());
    let health = health.check(HealthCheckRequest::default()).await;
    let reflected = reflect(channel).await;
    assert_eq!(created, health.is_ok(), "health has the same rules");
    assert_eq!(created, reflected, "reflection has the same rules");
    created
}

async fn create(channel: Channel) -> bool {
    let mut client = ConnectionServiceClient::new(channel);
    match soon(client.create(authorized(minimal("m")))).await {
        Ok(_) => true,
        Err(status) => {
            // Of the caller's own library: the gateway says nothing to whom it does not know.
            assert_eq!(
                (status.code(), status.details()),
                (Code::Unknown, &b""[..]),
                "{status}"
            );
            false
        }
    }
}

async fn reflect(channel: Channel) -> bool {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = futures_util::stream::iter([request]);
    let mut client = ServerReflectionClient::new(channel);
    match client.server_reflection_info(requests).await {
        Ok(response) => response.into_inner().message().await.is_ok(),
        Err(_) => false,
    }
}

#[tokio::test]
async fn a_caller_needs_a_certificate_of_the_authority_with_one_of_the_names() {
    let sandbox = sandbox().await;
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    // The same name as ours: what counts is the key.
    let impostor = Authority::new("ours");
    let files = Files::new(&authority, &authority);
    let names = ["billing.example", "spiffe://example/billing"];
    let gateway = gateway(&sandbox.url())
        .with(|settings| files.with_client_ca(settings, &names))
        .start_without_client()
        .await;
    let good = authority.issue(&["billing.example"]);
    assert!(gets_in(&gateway, &authority, Some(&good)).await);
    let by_uri = authority.issue(&["other.example", "spiffe://example/billing"]);
    assert!(gets_in(&gateway, &authority, Some(&by_uri)).await);
    sandbox.clear_requests();
    let refused = [
        ("none", None),
        (
            "another authority's",
            Some(other.issue(&["billing.example"])),
        ),
        ("an impostor's", Some(impostor.issue(&["billing.example"]))),
        (
            "expired",
            Some(authority.issue_expired(&["billing.example"])),
        ),
        ("another name", Some(authority.issue(&["reports.example"]))),
        ("no name", Some(authority.issue(&[]))),
        ("a wildcard", Some(authority.issue(&["*.example"]))),
        (
            "a URI with another case",
            Some(authority.issue(&["spiffe://example/Billing"])),
        ),
        (
            "a longer URI",
            Some(authority.issue(&["spiffe://example/billing/2"])),
        ),
    ];
    for (case, pair) in refused {
        assert!(
            !gets_in(&gateway, &authority, pair.as_ref()).await,
            "{case}"
        );
    }
    assert!(sandbox.requests().is_empty());
    // The callers check the gateway's certificate, too.
    assert!(!gets_in(&gateway, &other, Some(&good)).await);
}

#[tokio::test]
async fn without_a_client_authority_a_caller_needs_no_certificate_but_tls() {
    let sandbox = sandbox().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority, &authority);
    let gateway = gateway(&sandbox.url())
        .with(|settings| files.without_client_ca(settings))
        .start_without_client()
        .await;
    assert!(gets_in(&gateway, &authority, None).await);
    sandbox.clear_requests();
    let plain = [PREFACE, SETTINGS].concat();
    Wire::open(gateway.addr, &plain).await.closed().await;
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn a_handshake_that_is_not_ended_is_closed_and_delays_nobody() {
    let sandbox = sandbox().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority, &authority);
    let gateway = gateway(&sandbox.url())
        .with(|settings| {
            files.without_client_ca(settings);
            settings.grpc.handshake_timeout = std::time::Duration::from_millis(500);
        })
        .start_without_client()
        .await;
    let mut silent = Wire::open(gateway.addr, b"").await;
    // The head of a record with a client's first message, which never comes.
    let mut half = Wire::open(gateway.addr, &[22, 3, 1, 2, 0, 1, 0]).await;
    assert!(gets_in(&gateway, &authority, None).await);
    silent.closed().await;
    half.closed().await;
}

/// The version and protocol that a caller gets that knows only this version.
async fn agreed(
    gateway: &Gateway,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> Option<(ProtocolVersion, Option<Vec<u8>>)> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let stream = TcpStream::connect(gateway.addr).await.unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .ok()?;
    let tls = stream.get_ref().1;
    Some((
        tls.protocol_version()?,
        tls.alpn_protocol().map(<[u8]>::to_vec),
    ))
}

#[tokio::test]
async fn both_versions_of_tls_are_spoken_and_http2_is_chosen() {
    let sandbox = sandbox().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority, &authority);
    let gateway = gateway(&sandbox.url())
        .with(|settings| files.without_client_ca(settings))
        .start_without_client()
        .await;
    for (version, expected) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let agreed = agreed(&gateway, &authority, version).await;
        assert_eq!(agreed, Some((expected, Some(b"h2".to_vec()))));
    }
}

/// The first message of a client that gives an address in place of a name.
fn hello_with_an_address() -> Vec<u8> {
    const NAME: &str = "abc.d.e.f";
    const ADDRESS: &str = "127.0.0.1";
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(NAME).unwrap();
    let mut hello = Vec::new();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    client.write_tls(&mut hello).unwrap();
    let at = hello
        .windows(NAME.len())
        .position(|part| part == NAME.as_bytes());
    hello[at.unwrap()..][..NAME.len()].copy_from_slice(ADDRESS.as_bytes());
    hello
}

#[tokio::test]
async fn a_handshake_is_never_logged_above_info() {
    let sandbox = sandbox().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority, &authority);
    let mut process = Process::start_without_client(
        &sandbox.url(),
        &[
            ("GATEWAY_TLS_CERT", text(&files.cert)),
            ("GATEWAY_TLS_KEY", text(&files.key)),
        ],
    )
    .await;
    let hello = hello_with_an_address();
    let mut stream = TcpStream::connect(process.addr).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    assert!(
        soon(stream.read(&mut [0; 1024])).await.unwrap() > 0,
        "it is answered"
    );
    drop(stream);
    // It is logged, as what it is.
    assert_eq!(
        process.line("a TLS handshake failed").await["level"],
        "INFO"
    );
    assert!(process.lines("WARN").is_empty(), "{}", process.log());
}
