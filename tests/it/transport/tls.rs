//! TLS to Chartbrew: whom the gateway trusts, and what it costs: how many round trips a create takes,
//! on which connection.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls::HandshakeKind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    gateway::{authorized, failure, minimal, sandbox, sandbox_that_keeps_for},
    http2::Http2,
    process::Process,
    raw::Raw,
    time::soon,
    tls::{TlsUpstream, pass_on, speaks_http2},
};

/// A TCP proxy that counts flights: the times that the gateway sends something and has to wait for
/// what comes back. Each costs a round trip over the network, whatever that takes.
struct Flights {
    proxy: Raw,
    count: Arc<Mutex<usize>>,
}

impl Flights {
    async fn before(upstream: &TlsUpstream) -> Self {
        let addr = upstream.url.trim_start_matches("https://").to_owned();
        let count = Arc::new(Mutex::new(0));
        let counted = count.clone();
        let mut proxy = Raw::start(move |peer, _| {
            let (addr, count) = (addr.clone(), counted.clone());
            async move {
                let server = TcpStream::connect(addr).await.unwrap();
                // The handshake of TCP is one too.
                *count.lock().unwrap() += 1;
                drop(Box::pin(counts(peer.0, server, &count)).await);
            }
        })
        .await;
        proxy.url = proxy.url.replace("http:", "https:");
        Self { proxy, count }
    }

    /// How many it takes to create a connection.
    async fn of_a_create(&self, gateway: &Process) -> usize {
        *self.count.lock().unwrap() = 0;
        soon(gateway.create(authorized(minimal("m"))))
            .await
            .unwrap();
        *self.count.lock().unwrap()
    }

    /// None of the next creates takes more, and in the end one takes no more than the exchange.
    async fn at_most(&self, most: usize, gateway: &Process) {
        for _ in 0..100 {
            match self.of_a_create(gateway).await {
                1 => return,
                taken => assert!(taken <= most, "{taken}"),
            }
        }
        panic!("the exchange always costs a round trip more");
    }
}

async fn counts(
    mut gateway: TcpStream,
    mut server: TcpStream,
    count: &Mutex<usize>,
) -> std::io::Result<()> {
    let (mut from_gateway, mut from_server) = ([0; 16_384], [0; 16_384]);
    let mut is_the_gateways_turn = true;
    loop {
        tokio::select! {
            biased;
            n = server.read(&mut from_server) => {
                let n = n?;
                is_the_gateways_turn = true;
                gateway.write_all(&from_server[..n]).await?;
                if n == 0 {
                    return Ok(());
                }
            }
            n = gateway.read(&mut from_gateway) => {
                let n = n?;
                if n > 0 && std::mem::take(&mut is_the_gateways_turn) {
                    *count.lock().unwrap() += 1;
                }
                server.write_all(&from_gateway[..n]).await?;
                if n == 0 {
                    return Ok(());
                }
            }
        }
    }
}

#[tokio::test]
async fn over_http1_the_second_create_takes_one_round_trip_more_than_the_exchange() {
    let sandbox = sandbox().await;
    let addr = sandbox.addr();
    let upstream = TlsUpstream::start(&["http/1.1"], move |stream, _| pass_on(stream, addr)).await;
    let flights = Flights::before(&upstream).await;
    let url = &flights.proxy.url;
    let gateway = upstream.gateway_by_way_of(url, &[]).await;
    // TCP, TLS, and the request together with the end of the TLS handshake.
    assert!(flights.of_a_create(&gateway).await >= 3);
    // It asks before it sends the body, until the server is trusted.
    flights.at_most(2, &gateway).await;
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn over_http2_the_second_create_takes_no_more_than_the_exchange() {
    let sandbox = sandbox().await;
    let addr = sandbox.addr();
    let upstream = TlsUpstream::start(&["h2"], move |stream, _| async move {
        Http2::accept(stream).await.serve_all(addr).await;
    })
    .await;
    let flights = Flights::before(&upstream).await;
    let url = &flights.proxy.url;
    let gateway = upstream.gateway_by_way_of(url, &[]).await;
    flights.of_a_create(&gateway).await;
    // What the two ends say of themselves at the beginning may still be under way.
    flights.at_most(2, &gateway).await;
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_tls_session_is_resumed_on_the_next_connection() {
    for alpn in ["http/1.1", "h2"] {
        // Too short a time for a connection to be used again.
        let sandbox = sandbox_that_keeps_for(Duration::from_secs(2)).await;
        let addr = sandbox.addr();
        let upstream = TlsUpstream::start(&[alpn], move |stream, _| async move {
            match speaks_http2(&stream) {
                true => {
                    let mut http2 = Http2::accept(stream).await;
                    let (id, body) = http2.request().await.unwrap();
                    http2.go_away(id).await;
                    http2.serve(addr, id, &body).await;
                    http2.serve_all(addr).await;
                }
                false => pass_on(stream, addr).await,
            }
        })
        .await;
        let gateway = upstream.gateway(&[]).await;
        for _ in 0..3 {
            soon(gateway.create(authorized(minimal("m"))))
                .await
                .unwrap();
        }
        let resumed = HandshakeKind::Resumed;
        let expected = [HandshakeKind::Full, resumed, resumed];
        assert_eq!(upstream.handshakes(), expected, "{alpn}");
    }
}

#[tokio::test]
async fn an_upstream_whose_certificate_is_not_trusted_gets_no_request() {
    let upstream = TlsUpstream::start(&["h2", "http/1.1"], |_, _| std::future::pending()).await;
    let by_name = upstream.url.replace("127.0.0.1", "localhost");
    let unknown_authority = Process::start(&upstream.url, &[]).await;
    let another_name = upstream.gateway_by_way_of(&by_name, &[]).await;
    for gateway in [unknown_authority, another_name] {
        let refused = failure(soon(gateway.create(authorized(minimal("m")))).await);
        assert_eq!(refused.reason, "UPSTREAM_UNAVAILABLE");
        assert_eq!(upstream.connections(), 0);
    }
}
