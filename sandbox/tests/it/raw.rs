//! A client that does nothing by itself: no pool, no retries, and it sees where a response breaks.

use std::{net::SocketAddr, time::Duration};

use chartbrew_sandbox::TOKEN;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// No test waits longer than this for a response.
const TIME_LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub(super) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// The connection was closed before the response was whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Not a byte came.
    NoResponse,
    /// The head came, and this much of the body.
    Cut(Vec<u8>),
}

/// One connection.
pub(super) struct Connection(TcpStream);

pub(super) async fn send(addr: SocketAddr, request: &Request) -> Result<Reply, Broken> {
    let mut connection = Connection::open(addr).await;
    connection.write(request).await;
    connection.read().await
}

// === impl Request ===

impl Request {
    pub(super) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: None,
        }
        .token(&format!("Bearer {TOKEN}"))
    }

    pub(super) fn post(path: &str, body: &Value) -> Self {
        Self::new("POST", path).body("application/json", body.to_string())
    }

    pub(super) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// The value of `Authorization`, in place of the owner's; empty for none.
    pub(super) fn token(mut self, token: &str) -> Self {
        self.headers.retain(|(name, _)| name != "authorization");
        if !token.is_empty() {
            self.headers.push(("authorization".into(), token.into()));
        }
        self
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("content-type", content_type)
    }
}

// === impl Answer ===

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(n, _)| n == name);
        header.map(|(_, value)| value.as_str())
    }

    /// The body as JSON, null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

// === impl Connection ===

impl Connection {
    pub(super) async fn open(addr: SocketAddr) -> Self {
        Self(TcpStream::connect(addr).await.unwrap())
    }

    /// Writes a request. That the other side closes meanwhile is for `read` to find.
    pub(super) async fn write(&mut self, request: &Request) {
        let Request {
            method,
            path,
            headers,
            body,
        } = request;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: sandbox\r\n");
        for (name, value) in headers {
            bytes += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            bytes += &format!("content-length: {}\r\n", body.len());
        }
        let mut bytes = (bytes + "\r\n").into_bytes();
        bytes.extend(body.iter().flatten());
        let _ = self.0.write_all(&bytes).await;
    }

    pub(super) async fn read(&mut self) -> Result<Reply, Broken> {
        let read = timeout(TIME_LIMIT, self.read_whole()).await;
        read.expect("a response or an end in time")
    }

    async fn read_whole(&mut self) -> Result<Reply, Broken> {
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if !self.more(&mut bytes).await {
                assert!(bytes.is_empty(), "a head is never cut");
                return Err(Broken::NoResponse);
            }
        };
        let mut body = bytes.split_off(head + 4);
        let head = String::from_utf8(bytes).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        while body.len() < length {
            if !self.more(&mut body).await {
                return Err(Broken::Cut(body));
            }
        }
        Ok(Reply {
            status,
            headers,
            body,
        })
    }

    /// Whether the other side closes the connection without another byte.
    pub(super) async fn ends(&mut self) -> bool {
        let end = timeout(TIME_LIMIT, self.more(&mut Vec::new())).await;
        !end.expect("an end in time")
    }

    /// Whether nothing at all comes for so long.
    pub(super) async fn is_silent_for(&mut self, time: Duration) -> bool {
        timeout(time, self.more(&mut Vec::new())).await.is_err()
    }

    async fn more(&mut self, bytes: &mut Vec<u8>) -> bool {
        matches!(self.0.read_buf(bytes).await, Ok(n) if n > 0)
    }
}
