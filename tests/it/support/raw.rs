//! An upstream of raw sockets: what no HTTP server would do.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use super::port::Port;

/// Hands every connection, with its number from 0, to a script.
pub(crate) struct Raw {
    pub(crate) url: String,
    connections: Arc<AtomicUsize>,
}

impl Raw {
    pub(crate) async fn start<F>(script: impl Fn(Peer, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(Peer(stream), number));
            }
        });
        Self { url, connections }
    }

    /// Accepts connections and never answers a TLS handshake. Notifies when a client has begun one.
    pub(crate) async fn without_tls_handshake() -> (Self, Arc<Notify>) {
        let connected = Arc::new(Notify::new());
        let notify = connected.clone();
        let mut raw = Self::start(move |mut peer, _| {
            let notify = notify.clone();
            async move {
                peer.0.read_u8().await.unwrap();
                notify.notify_one();
                std::future::pending().await
            }
        })
        .await;
        raw.url = raw.url.replace("http:", "https:");
        (raw, connected)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An address that refuses connections for as long as this process runs.
pub(crate) async fn nobody() -> String {
    let port = Port::reserve();
    let url = format!("http://{}", port.addr());
    std::mem::forget(port);
    url
}

/// The gateway's end of a connection.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    /// Reads a request whole. `None` at the end of the connection.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let n = self.0.read(&mut buffer).await.ok()?;
            if n == 0 {
                return None;
            }
            bytes.extend_from_slice(&buffer[..n]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let head = head.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"));
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return Some(text);
            }
        }
    }

    /// Reads the head of a request, in lower case. `None` at the end of the connection.
    pub(crate) async fn head(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.ok()?);
        }
        Some(String::from_utf8_lossy(&head).to_ascii_lowercase())
    }

    /// Reads so many bytes of a body. `None` if the connection ends before.
    pub(crate) async fn body(&mut self, length: usize) -> Option<Vec<u8>> {
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.ok()?;
        Some(body)
    }

    pub(crate) async fn write(&mut self, text: &str) {
        // The gateway may have hung up, which is its right.
        drop(self.0.write_all(text.as_bytes()).await);
    }

    /// Writes a whole response. The headers end in a line break each.
    pub(crate) async fn response(&mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n");
        self.write(&(head + body)).await;
    }

    /// Ends the connection with a reset instead of a FIN.
    pub(crate) fn reset(self) {
        #[expect(
            deprecated,
            reason = "zero never blocks, which is what the warning is about"
        )]
        self.0.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

/// Where a [`proxy`] breaks a connection that carries a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// After that many bytes of the request, with a reset.
    Request(usize),
    /// After that many bytes of the response, with a reset.
    Response(usize),
    /// The request is passed on, the response is swallowed and the connection stays open.
    Silence,
    /// The response is passed on a few bytes at a time.
    Drip,
}

/// A TCP proxy before an upstream. Breaks the first connection that carries a POST, as told, and
/// passes all others on.
pub(crate) async fn proxy(upstream: std::net::SocketAddr, cut: Cut) -> Raw {
    proxy_for(upstream, cut, "POST").await
}

/// The same for another method.
pub(crate) async fn proxy_for(
    upstream: std::net::SocketAddr,
    cut: Cut,
    method: &'static str,
) -> Raw {
    let broken = Arc::new(AtomicUsize::new(0));
    Raw::start(move |peer, _| {
        let broken = broken.clone();
        async move {
            let passed = pass(peer, upstream, (cut, method), &broken).await;
            passed.unwrap_or_default();
        }
    })
    .await
}

async fn pass(
    mut peer: Peer,
    upstream: std::net::SocketAddr,
    (cut, method): (Cut, &str),
    broken: &AtomicUsize,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    let mut first = [0; 4];
    peer.0.read_exact(&mut first).await?;
    let carries_it = format!("{method} ").as_bytes().starts_with(&first);
    let is_broken = carries_it && broken.fetch_add(1, Ordering::SeqCst) == 0;
    if !is_broken {
        server.write_all(&first).await?;
        tokio::io::copy_bidirectional(&mut peer.0, &mut server).await?;
        return Ok(());
    }
    if let Cut::Request(bytes) = cut {
        let rest = bytes.saturating_sub(first.len());
        let mut part = vec![0; rest];
        peer.0.read_exact(&mut part).await?;
        server.write_all(&[&first[..], &part].concat()).await?;
        peer.reset();
        return Ok(());
    }
    server.write_all(&first).await?;
    let (mut from_server, mut to_server) = server.into_split();
    let (mut from_peer, mut to_peer) = peer.0.into_split();
    let forward = tokio::io::copy(&mut from_peer, &mut to_server);
    let back = async {
        match cut {
            Cut::Response(bytes) => {
                let mut part = vec![0; bytes];
                from_server.read_exact(&mut part).await?;
                to_peer.write_all(&part).await
            }
            Cut::Drip => loop {
                let mut part = [0; 16];
                let n = from_server.read(&mut part).await?;
                if n == 0 {
                    return Ok(());
                }
                to_peer.write_all(&part[..n]).await?;
                to_peer.flush().await?;
                tokio::task::yield_now().await;
            },
            Cut::Silence | Cut::Request(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = forward => {}
        done = back => {
            done?;
            if matches!(cut, Cut::Response(_)) {
                Peer(to_peer.reunite(from_peer).map_err(std::io::Error::other)?).reset();
            }
        }
    }
    Ok(())
}

/// A TCP proxy before an upstream that closes a connection at a random moment once a response has
/// passed: while it is idle, or just when the next request is written.
pub(crate) async fn closes_when_idle(upstream: std::net::SocketAddr) -> Raw {
    Raw::start(move |mut peer, _| async move {
        let Ok(mut server) = TcpStream::connect(upstream).await else {
            return;
        };
        let (mut from_server, mut to_server) = server.split();
        let (mut from_peer, mut to_peer) = peer.0.split();
        let forward = tokio::io::copy(&mut from_peer, &mut to_server);
        let back = async {
            let mut part = vec![0; 65_536];
            while let Ok(n @ 1..) = from_server.read(&mut part).await {
                if to_peer.write_all(&part[..n]).await.is_err() {
                    return;
                }
                if part.starts_with(b"HTTP/1.1 100 ") {
                    continue;
                }
                // The sandbox responds in one write: from here on the connection is idle.
                let pause = std::time::Duration::from_micros(fastrand::u64(0..600));
                tokio::time::sleep(pause).await;
                if fastrand::bool() {
                    return;
                }
            }
        };
        tokio::select! {
            _ = forward => {}
            () = back => {}
        }
    })
    .await
}
