//! Ends connections whose peers leave something incomplete for too long: the preface, a frame's
//! head or payload, a header block. HTTP libraries wait for these without a limit.
//!
//! A connection that is merely idle owes nothing; keep-alive pings look after those.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::framing::Framing;

/// A connection with a time limit for what its peer has begun.
#[derive(Debug)]
pub(super) struct Handshake<S> {
    inner: S,
    framing: Framing,
    timeout: Duration,
    /// Ends when what is incomplete has been so for too long.
    timer: Pin<Box<Sleep>>,
    was_complete: bool,
}

// === impl Handshake ===

impl<S> Handshake<S> {
    pub(super) fn new(inner: S, timeout: Duration) -> Self {
        Self {
            inner,
            framing: Framing::default(),
            timeout,
            timer: Box::pin(sleep(timeout)),
            was_complete: false,
        }
    }

    /// Starts the timer when something is begun.
    fn note(&mut self, bytes: &[u8]) {
        self.framing.feed(bytes);
        let is_complete = self.framing.is_complete();
        if self.was_complete && !is_complete {
            self.timer.as_mut().reset(Instant::now() + self.timeout);
        }
        self.was_complete = is_complete;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Handshake<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.inner).poll_read(cx, buffer) {
            this.note(&buffer.filled()[before..]);
            return Poll::Ready(result);
        }
        if this.framing.is_complete() {
            return Poll::Pending;
        }
        ready!(this.timer.as_mut().poll(cx));
        let what = "the peer left a handshake, a frame or a header block incomplete";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Handshake<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
