//! A caller that sends HTTP/2 in pieces: a part of a handshake, a call without its message.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::Stream};
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::{Status, body::Body, transport::Channel};
use tower::ServiceExt;

use super::time::soon;

/// What a client sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What it sends then: an empty frame of settings.
pub(crate) const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// The head of a frame of headers that others are to follow, and the first of its bytes.
pub(crate) const PART_OF_HEADERS: &[u8] = &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
const PONG: &[u8] = &[0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

/// The path of the contract's method.
pub(crate) const CREATE: &str = "/chartbrew.connection.v1.ConnectionService/Create";

/// Types of frames (RFC 9113, 6), and the flags of those.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS_FRAME: u8 = 4;
pub(crate) const PING_FRAME: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
/// Codes of errors (RFC 9113, 7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A connection to the gateway that sends what it is told.
pub(crate) struct Wire(TcpStream);

/// A frame that the gateway sent.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Lets the gateway send this much more.
pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(8, 0, stream, &bytes.to_be_bytes())
}

/// A header in a block, as it is (RFC 7541, 6.2.2).
pub(crate) fn header(name: &str, value: &str) -> Vec<u8> {
    [vec![0], text(name), text(value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match text.len().checked_sub(127) {
        None => bytes.push(u8::try_from(text.len()).unwrap()),
        Some(more) => {
            bytes.push(127);
            prost::encoding::encode_varint(more.try_into().unwrap(), &mut bytes);
        }
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The header block of a call with the sandbox's token.
pub(crate) fn headers(path: &str) -> Vec<u8> {
    const POST_HTTP: [u8; 2] = [0x83, 0x86];
    let token = format!("Bearer {}", chartbrew_sandbox::TOKEN);
    let headers = [
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", &token),
    ];
    let headers = headers.map(|(name, value)| header(name, value)).concat();
    [&POST_HTTP[..], &headers].concat()
}

impl Received {
    /// The code of a frame that ends a stream or the connection.
    pub(crate) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// The next frame. `None` at the end of the connection.
pub(crate) async fn next_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Received> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, id @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Received {
        kind,
        flags,
        stream: u32::from_be_bytes(id),
        payload,
    })
}

impl Wire {
    pub(crate) async fn open(addr: SocketAddr, bytes: &[u8]) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // The gateway may close it meanwhile.
        drop(stream.write_all(bytes).await);
        Self(stream)
    }

    /// Sends more. The gateway may have closed it.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        drop(self.0.write_all(bytes).await);
    }

    /// The next frame of one of these types. `None` if the gateway closes the connection instead.
    pub(crate) async fn receive(&mut self, kinds: &[u8]) -> Option<Received> {
        soon(async {
            loop {
                let frame = next_frame(&mut self.0).await?;
                if kinds.contains(&frame.kind) {
                    return Some(frame);
                }
            }
        })
        .await
    }

    /// Sends the same again and again, and reads nothing, until the gateway reads nothing either or this
    /// much was sent. Returns how much that was.
    pub(crate) async fn send_until_unread(&mut self, bytes: &[u8], most: usize) -> usize {
        const UNREAD: Duration = Duration::from_millis(500);
        let mut sent = 0;
        while sent < most {
            match timeout(UNREAD, self.0.write(&bytes[sent % bytes.len()..])).await {
                Ok(Ok(n @ 1..)) => sent += n,
                Ok(_) | Err(_) => break,
            }
        }
        sent
    }

    /// Waits until the gateway closes it.
    pub(crate) async fn closed(&mut self) {
        let mut buffer = [0; 4096];
        soon(async { while self.0.read(&mut buffer).await.is_ok_and(|n| n > 0) {} }).await;
    }

    /// Whether the gateway still answers on it.
    pub(crate) async fn is_alive(&mut self) -> bool {
        if self.0.write_all(PING).await.is_err() {
            return false;
        }
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        soon(async {
            while !seen.windows(PONG.len()).any(|part| part == PONG) {
                match self.0.read(&mut buffer).await {
                    Ok(n @ 1..) => seen.extend_from_slice(&buffer[..n]),
                    Ok(_) | Err(_) => return false,
                }
            }
            true
        })
        .await
    }
}

/// A message that begins with these bytes and then stops, for ever.
pub(crate) fn stalled(begin: &'static [u8]) -> Body {
    let begin = stream::iter((!begin.is_empty()).then_some(Bytes::from_static(begin)));
    streamed(begin.chain(stream::pending()))
}

/// A message in pieces.
pub(crate) fn streamed(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    let frames = pieces.map(|piece| Ok::<_, Status>(Frame::data(piece)));
    Body::new(StreamBody::new(frames))
}

/// Makes a call with this body, and returns its status if that comes without a message.
pub(crate) async fn call(channel: Channel, headers: &[(&str, &str)], body: Body) -> Status {
    let mut request = Request::post(CREATE)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = channel.oneshot(request.body(body).unwrap()).await.unwrap();
    let status = Status::from_header_map(response.headers());
    status.expect("a status without a message")
}
