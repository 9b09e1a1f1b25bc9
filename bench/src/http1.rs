//! HTTP/1.1 as Node's server speaks it, with as little work as possible: what serves the load must
//! not be what is measured.

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

/// How long Node keeps an idle connection, which it announces.
pub const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Headers in a request at most.
const MAX_HEADERS: usize = 64;
const READ_BUFFER: usize = 4096;
const LINE_END: usize = "\r\n".len();
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is to be known of a request. Its body is dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    head_bytes: usize,
    body: Body,
    expects_continue: bool,
    /// The connection is to be closed after the response.
    pub closes: bool,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Bytes(usize),
    /// Envoy sends the empty body of a GET so.
    Chunked,
}

/// One connection.
#[derive(Debug)]
pub struct Http1<S> {
    stream: S,
    input: BytesMut,
}

// === impl Http1 ===

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    /// Takes a connection over.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            input: BytesMut::new(),
        }
    }

    /// The next request, body and all. `None`: the connection ended, or was idle for too long.
    ///
    /// # Errors
    /// If the connection breaks, or what comes is no request.
    pub async fn request(&mut self) -> io::Result<Option<Head>> {
        let head = loop {
            if let Some(head) = parse(&self.input)? {
                break head;
            }
            match timeout(KEEP_ALIVE, self.read()).await {
                Ok(Ok(0)) | Err(_) => return Ok(None),
                Ok(read) => drop(read?),
            }
        };
        self.input.advance(head.head_bytes);
        if head.expects_continue {
            self.stream.write_all(CONTINUE).await?;
        }
        let is_whole = match head.body {
            Body::Bytes(count) => self.skip(count).await?,
            Body::Chunked => self.skip_chunks().await?,
        };
        Ok(is_whole.then_some(head))
    }

    /// Whether there was as much.
    async fn skip(&mut self, count: usize) -> io::Result<bool> {
        while self.input.len() < count {
            if self.read().await? == 0 {
                return Ok(false);
            }
        }
        self.input.advance(count);
        Ok(true)
    }

    /// Chunks without trailers. Whether the last one came.
    async fn skip_chunks(&mut self) -> io::Result<bool> {
        loop {
            let size = httparse::parse_chunk_size(&self.input);
            match size.map_err(|_| io::Error::other("a chunk has no size"))? {
                httparse::Status::Complete((line, size)) => {
                    let chunk = line + usize::try_from(size).map_err(io::Error::other)?;
                    if !self.skip(chunk + LINE_END).await? {
                        return Ok(false);
                    }
                    if size == 0 {
                        return Ok(true);
                    }
                }
                httparse::Status::Partial => {
                    if self.read().await? == 0 {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Sends a response.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn respond(&mut self, response: &[u8]) -> io::Result<()> {
        self.stream.write_all(response).await?;
        self.stream.flush().await
    }

    /// Waits until the client ends the connection.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn gone(&mut self) -> io::Result<()> {
        while self.read().await? > 0 {}
        Ok(())
    }

    /// Ends the connection, as TLS wants it.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.input.reserve(READ_BUFFER);
        self.stream.read_buf(&mut self.input).await
    }
}

// === impl Head ===

/// `None` as long as the head is not complete.
fn parse(input: &[u8]) -> io::Result<Option<Head>> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(input).map_err(io::Error::other)?;
    let httparse::Status::Complete(head_bytes) = parsed else {
        return Ok(None);
    };
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        head_bytes,
        body: Body::Bytes(0),
        expects_continue: false,
        closes: false,
    };
    for header in request.headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let length = std::str::from_utf8(header.value).unwrap_or_default();
            head.body = Body::Bytes(length.trim().parse().map_err(io::Error::other)?);
        } else if is("expect") {
            head.expects_continue = true;
        } else if is("connection") {
            head.closes = header.value.eq_ignore_ascii_case(b"close");
        } else if is("transfer-encoding") {
            head.body = Body::Chunked;
        }
    }
    Ok(Some(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_on_one_connection_are_told_apart() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut server = Http1::new(server);
        let two = b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\nxxGET /b HTTP/1.1\r\nConnection: close\r\n\r\n";
        client.write_all(two).await.unwrap();
        let first = server.request().await.unwrap().unwrap();
        assert_eq!((&*first.path, first.closes), ("/a", false));
        let second = server.request().await.unwrap().unwrap();
        assert_eq!((&*second.path, second.closes), ("/b", true));
    }

    #[tokio::test]
    async fn chunks_are_passed_over() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut server = Http1::new(server);
        let head = b"GET /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        client.write_all(head).await.unwrap();
        client.write_all(b"2\r\nxx\r\n0\r\n\r\n").await.unwrap();
        client.write_all(b"GET /b HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(server.request().await.unwrap().unwrap().path, "/a");
        assert_eq!(server.request().await.unwrap().unwrap().path, "/b");
    }

    #[tokio::test]
    async fn a_client_that_asks_is_told_to_go_on() {
        let (mut client, server) = tokio::io::duplex(1024);
        let mut server = Http1::new(server);
        let head = b"POST /a HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
        client.write_all(head).await.unwrap();
        let request = tokio::spawn(async move { server.request().await });
        let mut told = [0; CONTINUE.len()];
        client.read_exact(&mut told).await.unwrap();
        assert_eq!(told, CONTINUE);
        client.write_all(b"xx").await.unwrap();
        assert!(request.await.unwrap().unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends() {
        let (_client, server) = tokio::io::duplex(1024);
        assert_eq!(Http1::new(server).request().await.unwrap(), None);
    }
}
