//! Creates on connections that the upstream closes, whenever it does: none is made twice, and none
//! fails that need not.
//!
//! Few creates here; `KEEP_ALIVE_CREATES=10000` makes it the full number, for each test.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{Handle, Outcome, WINDOW, outcome};
use crate::support::{
    gateway::{Gateway, gateway, minimal, sandbox, sandbox_that_keeps_for},
    port::Port,
    raw::{Raw, closes_when_idle},
};

/// How many creates each test makes, about.
fn creates() -> usize {
    std::env::var("KEEP_ALIVE_CREATES").map_or(300, |text| text.parse().unwrap())
}

async fn create(gateway: &Gateway, name: &str) {
    let response = gateway.create(minimal(name)).await;
    let is_created = matches!(outcome(&response), Outcome::Created(_));
    assert!(is_created, "{name}: {response:?}");
}

/// How many rows there are. No two have the same name.
fn rows(sandbox: &Handle) -> usize {
    let rows = sandbox.rows(1);
    let names: BTreeSet<_> = rows.iter().map(|row| row["name"].to_string()).collect();
    assert_eq!(names.len(), rows.len());
    names.len()
}

/// A TCP proxy before an upstream. What the upstream sends takes this long on its way, also the end of
/// the connection: a request that is sent meanwhile meets a closed connection.
async fn far_away(upstream: SocketAddr) -> Raw {
    const DELAY: Duration = Duration::from_millis(20);
    Raw::start(move |mut peer, _| async move {
        let mut server = TcpStream::connect(upstream).await.unwrap();
        let (mut from_server, mut to_server) = server.split();
        let (mut from_peer, mut to_peer) = peer.0.split();
        let forward = async {
            drop(tokio::io::copy(&mut from_peer, &mut to_server).await);
            std::future::pending::<()>().await;
        };
        let back = async {
            let mut part = vec![0; 65_536];
            loop {
                let read = from_server.read(&mut part).await;
                sleep(DELAY).await;
                match read {
                    Ok(n @ 1..) => to_peer.write_all(&part[..n]).await.unwrap_or_default(),
                    Ok(_) | Err(_) => return,
                }
            }
        };
        tokio::select! {
            () = forward => {}
            () = back => {}
        }
    })
    .await
}

/// The upstream closes each connection in the millisecond that it announced, and creates come
/// around that time, and around the time when the gateway stops to use them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_closes_when_it_announced_costs_nothing() {
    const KEPT_FOR: Duration = Duration::from_secs(3);
    /// How long the connections are idle before they are used again, each before a gateway of its
    /// own.
    const IDLE: [u64; 6] = [1_980, 2_000, 2_500, 2_980, 2_990, 3_000];
    /// As many creates as it takes until the upstream is trusted, and some more.
    const BEFORE: usize = 12;
    let at_once = (creates() / (2 * IDLE.len())).clamp(1, 100);
    let rounds = creates().div_ceil(at_once * IDLE.len());
    let sandbox = sandbox_that_keeps_for(KEPT_FOR).await;
    let upstream = far_away(sandbox.addr()).await;
    let of_one = async |idle: u64| {
        let gateway = gateway(&upstream.url).start().await;
        for n in 0..BEFORE {
            create(&gateway, &format!("{idle} before {n}")).await;
        }
        for round in 0..rounds {
            let names = (0..at_once).map(|n| format!("{idle} {round} {n}"));
            let gateway = &gateway;
            join_all(names.map(async |name| create(gateway, &name).await)).await;
            sleep(Duration::from_millis(idle)).await;
        }
    };
    join_all(IDLE.map(of_one)).await;
    assert_eq!(rows(&sandbox), (BEFORE + at_once * rounds) * IDLE.len());
}

/// A TCP proxy before an upstream that keeps `100 Continue` to itself.
async fn ignores_expect(upstream: SocketAddr) -> (Raw, Arc<AtomicUsize>) {
    let ignored = Arc::new(AtomicUsize::new(0));
    let count = ignored.clone();
    let raw = Raw::start(move |mut peer, _| {
        let count = count.clone();
        async move {
            let mut server = TcpStream::connect(upstream).await.unwrap();
            let (mut from_server, mut to_server) = server.split();
            let (mut from_peer, mut to_peer) = peer.0.split();
            let back = async {
                let mut part = vec![0; 65_536];
                while let Ok(n @ 1..) = from_server.read(&mut part).await {
                    match part.starts_with(b"HTTP/1.1 100 ") {
                        true => drop(count.fetch_add(1, Ordering::SeqCst)),
                        false => to_peer.write_all(&part[..n]).await.unwrap_or_default(),
                    }
                }
            };
            tokio::select! {
                _ = tokio::io::copy(&mut from_peer, &mut to_server) => {}
                () = back => {}
            }
        }
    })
    .await;
    (raw, ignored)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_ignores_expect_costs_one_wait() {
    let sandbox = sandbox().await;
    let (upstream, ignored) = ignores_expect(sandbox.addr()).await;
    let gateway = gateway(&upstream.url).start().await;
    for n in 0..creates() {
        create(&gateway, &n.to_string()).await;
    }
    assert_eq!(rows(&sandbox), creates());
    assert_eq!(ignored.load(Ordering::SeqCst), 1);
}

/// A TCP proxy before an upstream that can be started again, on the same port.
struct Restarting {
    port: Port,
    upstream: SocketAddr,
    running: JoinHandle<()>,
    stop: CancellationToken,
}

impl Restarting {
    async fn start(upstream: SocketAddr) -> Self {
        let (port, stop) = (Port::reserve(), CancellationToken::new());
        let listener = TcpListener::bind(port.addr()).await.unwrap();
        let running = tokio::spawn(pass_on(listener, upstream, stop.clone()));
        Self {
            port,
            upstream,
            running,
            stop,
        }
    }

    /// Closes the port and all connections, and opens the port again when the gateway has seen that:
    /// no process restarts in less time.
    async fn restart(&mut self) {
        self.stop.cancel();
        (&mut self.running).await.unwrap();
        let listener = TcpListener::bind(self.port.addr()).await.unwrap();
        self.stop = CancellationToken::new();
        self.running = tokio::spawn(pass_on(listener, self.upstream, self.stop.clone()));
    }
}

async fn pass_on(listener: TcpListener, upstream: SocketAddr, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    while let Some(Ok((mut peer, _))) = stop.run_until_cancelled(listener.accept()).await {
        let stop = stop.clone();
        connections.spawn(async move {
            let mut server = TcpStream::connect(upstream).await.unwrap();
            let copy = tokio::io::copy_bidirectional(&mut peer, &mut server);
            if stop.run_until_cancelled(copy).await.is_none() {
                peer.shutdown().await.unwrap();
                assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
            }
        });
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_restarts_between_two_requests_costs_nothing() {
    /// As many as it takes until the upstream is trusted, and some more.
    const BEFORE: usize = 14;
    const AFTER: usize = 1;
    let sandbox = sandbox().await;
    let mut upstream = Restarting::start(sandbox.addr()).await;
    let url = format!("http://{}", upstream.port.addr());
    let restarts = creates().div_ceil(BEFORE + AFTER);
    for restart in 0..restarts {
        let gateway = gateway(&url).start().await;
        for n in 0..BEFORE {
            create(&gateway, &format!("{restart} before {n}")).await;
        }
        upstream.restart().await;
        for n in 0..AFTER {
            create(&gateway, &format!("{restart} after {n}")).await;
        }
    }
    assert_eq!(rows(&sandbox), restarts * (BEFORE + AFTER));
}

/// hyper issue 2136: a request written onto a connection that the server is just closing, although
/// it announced to keep it. The first response that is lost by that makes the gateway careful for a
/// minute; none is ever duplicated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_closes_what_it_announced_to_keep_costs_one_outcome_at_most() {
    let sandbox = sandbox().await;
    let fickle = closes_when_idle(sandbox.addr()).await;
    let gateway = gateway(&fickle.url)
        .with(|settings| settings.delivery.recovery_window = WINDOW)
        .start()
        .await;
    let mut unknown = 0;
    for n in 0..creates() {
        match outcome(&gateway.create(minimal(&n.to_string())).await) {
            Outcome::Created(_) => {}
            Outcome::Unknown => unknown += 1,
            other @ Outcome::NotCreated(_) => panic!("{n}: {other:?}"),
        }
    }
    assert!(unknown <= 1, "{unknown}");
    let names: BTreeSet<_> = sandbox
        .rows(1)
        .iter()
        .map(|row| row["name"].to_string())
        .collect();
    assert_eq!(names.len(), sandbox.rows(1).len());
    assert!(names.len() >= creates() - unknown);
}
