//! A caller that sends HTTP/2 in pieces: a part of a handshake, a call without its message.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::Stream};
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
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

/// A connection to the gateway that sends what it is told.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) async fn open(addr: SocketAddr, bytes: &[u8]) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        // The gateway may close it meanwhile.
        drop(stream.write_all(bytes).await);
        Self(stream)
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
