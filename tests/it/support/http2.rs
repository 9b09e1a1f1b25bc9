//! An upstream's end of an HTTP/2 connection, frame by frame: what no HTTP server would do.

use std::{collections::HashMap, net::SocketAddr};

use chartbrew_sandbox::TOKEN;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    process::ask,
    tls::Tls,
    wire::{
        self, ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, PING_FRAME, PREFACE,
        RST_STREAM, SETTINGS, SETTINGS_FRAME, next_frame,
    },
};

/// `:status` 200 and `content-type: application/json`, as HPACK writes them.
const OK_JSON: &[u8] = b"\x88\x0f\x10\x10application/json";

/// The upstream's end of a connection.
pub(crate) struct Http2 {
    stream: Tls,
    /// The bodies that have not come whole.
    bodies: HashMap<u32, Vec<u8>>,
}

/// What the gateway sent.
#[derive(Debug, PartialEq)]
pub(crate) enum Sent {
    /// A request, whole.
    Request { id: u32, body: Vec<u8> },
    /// The end of a stream whose request never came whole.
    Reset { id: u32 },
}

impl Http2 {
    /// Reads what a client sends first.
    pub(crate) async fn accept(stream: Tls) -> Self {
        let mut http2 = Self {
            stream,
            bodies: HashMap::new(),
        };
        let mut preface = [0; PREFACE.len()];
        http2.stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        http2.write(SETTINGS).await;
        http2
    }

    /// Lets the gateway have only so many streams at once.
    pub(crate) async fn limit_streams(&mut self, most: u8) {
        self.frame(SETTINGS_FRAME, 0, 0, &[0, 3, 0, 0, 0, most])
            .await;
    }

    /// Waits for what the gateway sends. `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Sent> {
        loop {
            let wire::Received {
                kind,
                flags,
                stream: id,
                payload,
            } = next_frame(&mut self.stream).await?;
            match kind {
                SETTINGS_FRAME if flags & ACK == 0 => {
                    self.frame(SETTINGS_FRAME, ACK, 0, &[]).await;
                }
                PING_FRAME if flags & ACK == 0 => self.frame(PING_FRAME, ACK, 0, &payload).await,
                RST_STREAM if self.bodies.remove(&id).is_some() => {
                    return Some(Sent::Reset { id });
                }
                HEADERS | DATA => {
                    let body = self.bodies.entry(id).or_default();
                    if kind == DATA {
                        body.extend_from_slice(&payload);
                    }
                    if flags & END_STREAM != 0 {
                        let body = self.bodies.remove(&id).unwrap_or_default();
                        return Some(Sent::Request { id, body });
                    }
                }
                _ => {}
            }
        }
    }

    /// Waits for a request. `None` at the end of the connection.
    pub(crate) async fn request(&mut self) -> Option<(u32, Vec<u8>)> {
        loop {
            if let Sent::Request { id, body } = self.next().await? {
                return Some((id, body));
            }
        }
    }

    /// Responds to a request with what the sandbox responds to it.
    pub(crate) async fn serve(&mut self, sandbox: SocketAddr, id: u32, body: &[u8]) {
        let row = store(sandbox, body).await;
        self.frame(HEADERS, END_HEADERS, id, OK_JSON).await;
        self.frame(DATA, END_STREAM, id, row.as_bytes()).await;
    }

    /// Serves all requests to the end of the connection.
    pub(crate) async fn serve_all(&mut self, sandbox: SocketAddr) {
        while let Some((id, body)) = self.request().await {
            self.serve(sandbox, id, &body).await;
        }
    }

    pub(crate) async fn reset(&mut self, id: u32, code: u32) {
        self.frame(RST_STREAM, 0, id, &code.to_be_bytes()).await;
    }

    /// Says that no stream above this one was or will be processed.
    pub(crate) async fn go_away(&mut self, last: u32) {
        let payload = [last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat();
        self.frame(GOAWAY, 0, 0, &payload).await;
    }

    /// Closes the connection, and waits until the gateway has done so too.
    pub(crate) async fn close(mut self) {
        drop(self.stream.shutdown().await);
        while self.next().await.is_some() {}
    }

    async fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        self.write(&wire::frame(kind, flags, id, payload)).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        // The gateway may have hung up, which is its right.
        drop(self.stream.write_all(bytes).await);
        drop(self.stream.flush().await);
    }
}

/// Stores a connection in the sandbox, and returns its row.
pub(crate) async fn store(sandbox: SocketAddr, body: &[u8]) -> String {
    let headers = format!("authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n");
    let body = std::str::from_utf8(body).unwrap();
    let response = ask(sandbox, "POST", "/team/1/connections", &headers, body).await;
    assert_eq!(response.status, 200);
    response.body
}
