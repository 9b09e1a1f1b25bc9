//! Whom the gateway trusts, and the certificate that it shows, on each way out: a create over HTTP/2
//! and HTTP/1.1, a get on a pooled connection, an upload on a fresh one.

use std::sync::{Arc, Mutex};

use chartbrew_gateway::proto::{
    ConnectionFiles, ConnectionView, GetRequest, UploadFilesRequest,
    connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox::Handle;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{
    io::{AsyncWriteExt, copy, sink},
    net::TcpStream,
};
use tonic::{Code, Status, transport::Channel};

use crate::support::{
    gateway::{authorized, failure, gateway, minimal, sandbox},
    http2::Http2,
    raw::Raw,
    time::soon,
    tls::{Authority, Folder, Signed, TlsUpstream, client_certificate, pass_on, speaks_http2},
};

/// What an upstream speaks.
const PROTOCOLS: [&[&str]; 2] = [&["http/1.1"], &["h2", "http/1.1"]];

/// An upstream before the sandbox, and the certificates that it was shown, one for each connection.
struct Upstream {
    sandbox: Handle,
    tls: TlsUpstream,
    shown: Arc<Mutex<Vec<Option<Vec<u8>>>>>,
}

impl Upstream {
    async fn start(authority: &Authority, config: ServerConfig) -> Self {
        let sandbox = sandbox().await;
        let addr = sandbox.addr();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let noted = shown.clone();
        let tls = TlsUpstream::start_with(authority, config, move |stream, _| {
            noted.lock().unwrap().push(client_certificate(&stream));
            async move {
                match speaks_http2(&stream) {
                    true => Http2::accept(stream).await.serve_all(addr).await,
                    false => pass_on(stream, addr).await,
                }
            }
        });
        Self {
            sandbox,
            tls: tls.await,
            shown,
        }
    }

    /// The one of the last connection.
    fn shown(&self) -> Option<Vec<u8>> {
        self.shown.lock().unwrap().last().cloned().flatten()
    }
}

type Client = ConnectionServiceClient<Channel>;

async fn create(client: &Client) -> Result<i32, Status> {
    let mut client = client.clone();
    let created = soon(client.create(authorized(minimal("m")))).await?;
    Ok(created.into_inner().connection.unwrap().id)
}

async fn get(client: &Client, connection_id: i32) -> Result<(), Status> {
    let request = GetRequest {
        team_id: 1,
        connection_id,
        view: ConnectionView::Basic.into(),
    };
    soon(client.clone().get(authorized(request)))
        .await
        .map(drop)
}

async fn upload(client: &Client, connection_id: i32) -> Result<(), Status> {
    let request = UploadFilesRequest {
        team_id: 1,
        connection_id,
        files: Some(ConnectionFiles {
            ssl_ca: Some("a certificate".into()),
            ..ConnectionFiles::default()
        }),
    };
    let mut client = client.clone();
    let uploaded = soon(client.upload_files(authorized(request)));
    uploaded.await.map(drop)
}

/// On all ways out.
async fn works(client: &Client) -> i32 {
    let id = create(client).await.unwrap();
    get(client, id).await.unwrap();
    upload(client, id).await.unwrap();
    id
}

/// On all ways out, and nothing arrives.
async fn is_not_sent(upstream: &Upstream, client: &Client) {
    for failed in [
        failure(create(client).await),
        failure(get(client, 1).await),
        failure(upload(client, 1).await),
    ] {
        let (code, reason) = (failed.code, failed.reason);
        let expected = (Code::Unavailable, "UPSTREAM_UNAVAILABLE");
        assert_eq!((code, &*reason), expected, "{}", failed.status.message());
    }
    assert!(upstream.sandbox.requests().is_empty());
}

/// A network between: what the server has sent before it closes the connection arrives, also if there
/// are bytes that it has not read. (Without it, a reset may overtake them.)
async fn relay(upstream: &Upstream) -> Raw {
    let addr = upstream.tls.url.trim_start_matches("https://").to_owned();
    let mut relay = Raw::start(move |peer, _| {
        let addr = addr.clone();
        async move {
            let (mut gateway, mut to_gateway) = peer.0.into_split();
            let (mut server, mut to_server) = TcpStream::connect(addr).await.unwrap().into_split();
            let there = async {
                drop(copy(&mut gateway, &mut to_server).await);
                drop(to_server.shutdown().await);
                drop(copy(&mut gateway, &mut sink()).await);
            };
            let back = async {
                drop(copy(&mut server, &mut to_gateway).await);
                drop(to_gateway.shutdown().await);
            };
            tokio::join!(there, back);
        }
    })
    .await;
    relay.url = relay.url.replace("http:", "https:");
    relay
}

fn der(signed: &Signed) -> Option<Vec<u8>> {
    let certificate = CertificateDer::from_pem_slice(signed.certificate.as_bytes());
    Some(certificate.unwrap().to_vec())
}

#[tokio::test]
async fn only_the_authorities_of_the_file_are_trusted() {
    for alpn in PROTOCOLS {
        let (ours, other, files) = (Authority::new(), Authority::new(), Folder::new());
        let upstream = Upstream::start(&ours, ours.server(alpn, None)).await;
        for trusted in [ours.pem(), format!("{}\n{}", other.pem(), ours.pem())] {
            let ca = files.write("ca.pem", trusted);
            let trusting = upstream.tls.gateway(&[("CHARTBREW_CA_FILE", &ca)]).await;
            works(&trusting.client).await;
            assert_eq!(upstream.shown(), None);
        }
        upstream.sandbox.clear_requests();
        let connections = upstream.tls.connections();
        // `ours` is an authority of the system for these gateways.
        let ca = files.write("ca.pem", other.pem());
        let not_trusting = upstream.tls.gateway(&[("CHARTBREW_CA_FILE", &ca)]).await;
        is_not_sent(&upstream, &not_trusting.client).await;
        assert_eq!(upstream.tls.connections(), connections);
    }
}

#[tokio::test]
async fn the_certificate_is_shown_to_a_server_that_asks_for_one() {
    for alpn in PROTOCOLS {
        let (ours, clients, files) = (Authority::new(), Authority::new(), Folder::new());
        let upstream = Upstream::start(&ours, ours.server(alpn, Some(&clients))).await;
        let signed = clients.sign();
        let cert = files.write("cert.pem", &signed.certificate);
        let key = files.write("key.pem", &signed.key);
        let settings = [
            ("CHARTBREW_CLIENT_CERT", &*cert),
            ("CHARTBREW_CLIENT_KEY", &*key),
        ];
        let gateway = upstream.tls.gateway(&settings).await;
        works(&gateway.client).await;
        let shown = upstream.shown.lock().unwrap().clone();
        assert!(shown.len() >= 3);
        assert!(shown.iter().all(|shown| *shown == der(&signed)));
    }
}

#[tokio::test]
async fn without_a_certificate_that_the_server_accepts_nothing_is_sent() {
    for alpn in PROTOCOLS {
        let (ours, clients, files) = (Authority::new(), Authority::new(), Folder::new());
        let upstream = Upstream::start(&ours, ours.server(alpn, Some(&clients))).await;
        let relay = relay(&upstream).await;
        let signed = ours.sign();
        let cert = files.write("cert.pem", &signed.certificate);
        let key = files.write("key.pem", &signed.key);
        let not_accepted = [
            ("CHARTBREW_CLIENT_CERT", &*cert),
            ("CHARTBREW_CLIENT_KEY", &*key),
        ];
        for settings in [&[][..], &not_accepted] {
            let gateway = upstream.tls.gateway_by_way_of(&relay.url, settings).await;
            is_not_sent(&upstream, &gateway.client).await;
        }
    }
}

#[tokio::test]
async fn new_files_are_used_from_the_next_request_on() {
    for alpn in PROTOCOLS {
        let files = Folder::new();
        let write = |authority: &Authority| {
            let signed = authority.sign();
            let ca = files.write("ca.pem", authority.pem());
            let cert = files.write("cert.pem", &signed.certificate);
            let key = files.write("key.pem", &signed.key);
            (signed, [ca, cert, key])
        };
        let first = Authority::new();
        let (signed, paths) = write(&first);
        let upstream = Upstream::start(&first, first.server(alpn, Some(&first))).await;
        let [ca, cert, key] = paths.map(|path| Some(path.into()));
        let gateway = gateway(&upstream.tls.url).with(|settings| {
            settings.chartbrew.tls.ca_file = ca;
            settings.chartbrew.tls.client_cert = cert;
            settings.chartbrew.tls.client_key = key;
        });
        let gateway = gateway.start().await;
        let id = works(&gateway.client).await;
        assert_eq!(upstream.shown(), der(&signed));

        // One file after the other: the key is not that of the certificate for a moment.
        let second = Authority::new();
        upstream.tls.change(second.server(alpn, Some(&second)));
        let (signed, _) = write(&second);
        let changed = async {
            while get(&gateway.client, id).await.is_err() || upstream.shown() != der(&signed) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        soon(changed).await;
        let connections = upstream.tls.connections();
        works(&gateway.client).await;
        // The create and the upload have made connections of their own, and no connection of before
        // was used for them.
        assert_eq!(upstream.tls.connections(), connections + 2);
        assert_eq!(upstream.shown(), der(&signed));
    }
}
