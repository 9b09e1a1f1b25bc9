//! The HTTP/2 connection that all creates share.
//!
//! One is made at a time, and the creates that come meanwhile wait for it. One that ended, that
//! refused a request or that was idle for too long is replaced; requests that are under way on it
//! end there.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
    rt::{Read, Write},
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::chartbrew::{
    Error, NotSent,
    transport::{
        classify::classify_http2,
        send_state::{GuardedBody, SendState},
    },
};

/// After so long without a byte from the server, while a response is awaited, it is asked whether
/// it is still there.
const PING_AFTER: Duration = Duration::from_secs(30);
/// How long it has for that. Then the connection is lost, and with it all responses.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The shared connection, if there is one.
#[derive(Debug)]
pub(super) struct Shared {
    idle_timeout: Duration,
    current: Mutex<Option<Current>>,
    /// The server spoke HTTP/2 when it was last connected to. Taken for granted until then, if it
    /// can be agreed on at all.
    is_expected: AtomicBool,
    turn: tokio::sync::Mutex<Turn>,
}

#[derive(Debug)]
struct Current {
    sender: SendRequest<GuardedBody>,
    usage: Arc<Mutex<Usage>>,
}

#[derive(Debug)]
struct Usage {
    streams: usize,
    /// When the last stream ended.
    since: Instant,
}

/// The right to make the connection.
#[derive(Debug, Default)]
pub(super) struct Turn {
    failed: Option<(Instant, NotSent)>,
}

/// A stream of the shared connection, for one request. Dropped when its response was read.
#[derive(Debug)]
pub(in crate::chartbrew::transport) struct Stream {
    sender: SendRequest<GuardedBody>,
    usage: Arc<Mutex<Usage>>,
}

// === impl Shared ===

impl Shared {
    /// `is_possible`: HTTP/2 can be agreed on, which takes TLS.
    pub(super) fn new(idle_timeout: Duration, is_possible: bool) -> Self {
        Self {
            idle_timeout,
            current: Mutex::default(),
            is_expected: AtomicBool::new(is_possible),
            turn: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn is_expected(&self) -> bool {
        self.is_expected.load(Ordering::Relaxed)
    }

    /// Notes whether the server speaks HTTP/2.
    pub(super) fn expect(&self, speaks_http2: bool) {
        self.is_expected.store(speaks_http2, Ordering::Relaxed);
    }

    /// Waits for the right to make the connection.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, Turn> {
        self.turn.lock().await
    }

    /// A stream of the connection, if there is one that may be used.
    pub(super) fn take(&self) -> Option<Stream> {
        let mut current = lock(&self.current);
        let is_usable = |current: &Current| {
            let usage = lock(&current.usage);
            let is_fresh_enough = usage.streams > 0 || usage.since.elapsed() < self.idle_timeout;
            is_fresh_enough && !current.sender.is_closed()
        };
        if !current.as_ref().is_some_and(is_usable) {
            *current = None;
        }
        current.as_ref().map(Current::stream)
    }

    /// Makes this connection the shared one.
    pub(super) async fn open<T>(&self, io: T) -> Result<Stream, Error>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        let handshake = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT)
            // An idle one that is dead costs nothing: nothing was sent on it.
            .keep_alive_while_idle(false)
            .handshake(io)
            .await;
        let (sender, connection) = handshake.map_err(|_| Error::NotSent(NotSent::Connect))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to Chartbrew ended");
            }
        });
        let usage = Usage {
            streams: 0,
            since: Instant::now(),
        };
        let usage = Arc::new(Mutex::new(usage));
        let opened = Current { sender, usage };
        let stream = opened.stream();
        *lock(&self.current) = Some(opened);
        Ok(stream)
    }

    /// Sends a request. If it was not sent, no other request goes out on this connection.
    pub(super) async fn send(
        &self,
        stream: &mut Stream,
        request: Request<GuardedBody>,
        state: &SendState,
    ) -> Result<Response<Incoming>, Error> {
        let response = stream.sender.send_request(request).await;
        let response = response.map_err(|error| classify_http2(&error, state));
        if let Err(Error::NotSent(NotSent::Connect | NotSent::Refused)) = response {
            let mut current = lock(&self.current);
            current.take_if(|current| Arc::ptr_eq(&current.usage, &stream.usage));
        }
        response
    }
}

// === impl Current ===

impl Current {
    fn stream(&self) -> Stream {
        lock(&self.usage).streams += 1;
        Stream {
            sender: self.sender.clone(),
            usage: self.usage.clone(),
        }
    }
}

// === impl Turn ===

impl Turn {
    /// What became of a connection that was being made at this time, if it failed.
    pub(super) fn failed_since(&self, then: Instant) -> Option<NotSent> {
        self.failed
            .and_then(|(when, cause)| (when >= then).then_some(cause))
    }

    pub(super) fn note_failed(&mut self, cause: NotSent) {
        self.failed = Some((Instant::now(), cause));
    }
}

// === impl Stream ===

impl Drop for Stream {
    fn drop(&mut self) {
        let mut usage = lock(&self.usage);
        usage.streams -= 1;
        usage.since = Instant::now();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
