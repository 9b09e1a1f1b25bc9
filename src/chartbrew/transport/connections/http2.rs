//! The HTTP/2 connection that all creates share.
//!
//! One is made at a time, and the creates that come meanwhile wait for it. One that ended, that
//! refused a request, that was idle for too long or that is full is replaced; requests that are under
//! way on it end there.

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

use super::pool::{CAREFUL_FOR, RECENTLY};
use crate::chartbrew::{
    Error, NotSent,
    transport::{
        classify::classify_http2,
        send_state::{SendState, SentBody},
    },
};

/// After so long without a byte from the server, while a response is awaited, it is asked whether
/// it is still there.
const PING_AFTER: Duration = Duration::from_secs(30);
/// How long it has for that. Then the connection is lost, and with it all responses.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How many streams a connection has at most: a server allows at least as many (RFC 9113, 6.5.2), or
/// lets them wait. The creates after that share the next one, so that those that a silent database
/// holds for hours block no others.
pub(super) const MOST_STREAMS: usize = 100;

/// The shared connection, if there is one.
#[derive(Debug)]
pub(super) struct Shared {
    idle_timeout: Duration,
    state: Mutex<State>,
    /// The server spoke HTTP/2 when it was last connected to. Taken for granted until then, if it
    /// can be agreed on at all.
    is_expected: AtomicBool,
    turn: tokio::sync::Mutex<Turn>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Current>,
    /// A response was lost on a connection that was used before. Until then it is not used after it
    /// was idle for longer than [`RECENTLY`].
    careful_until: Option<Instant>,
}

#[derive(Debug)]
struct Current {
    sender: SendRequest<SentBody>,
    usage: Arc<Mutex<Usage>>,
}

#[derive(Debug)]
struct Usage {
    streams: usize,
    /// A response was received on it.
    has_responded: bool,
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
    sender: SendRequest<SentBody>,
    usage: Arc<Mutex<Usage>>,
    /// It is not the first one of its connection.
    is_later: bool,
}

// === impl Shared ===

impl Shared {
    /// `is_possible`: HTTP/2 can be agreed on, which takes TLS.
    pub(super) fn new(idle_timeout: Duration, is_possible: bool) -> Self {
        Self {
            idle_timeout,
            state: Mutex::default(),
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
        let mut state = lock(&self.state);
        let is_careful = (state.careful_until).is_some_and(|until| Instant::now() < until);
        let idle_timeout = match is_careful {
            true => self.idle_timeout.min(RECENTLY),
            false => self.idle_timeout,
        };
        let is_usable = |current: &Current| {
            let usage = lock(&current.usage);
            (usage.streams > 0 || usage.since.elapsed() < idle_timeout)
                && usage.streams < MOST_STREAMS
                && !current.sender.is_closed()
        };
        if !state.current.as_ref().is_some_and(is_usable) {
            state.current = None;
        }
        state.current.as_ref().map(|current| current.stream(true))
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
            has_responded: false,
            since: Instant::now(),
        };
        let usage = Arc::new(Mutex::new(usage));
        let opened = Current { sender, usage };
        let stream = opened.stream(false);
        lock(&self.state).current = Some(opened);
        Ok(stream)
    }

    /// Sends a request. If it was not sent, no other request goes out on this connection.
    pub(super) async fn send(
        &self,
        stream: &mut Stream,
        request: Request<SentBody>,
        state: &SendState,
    ) -> Result<Response<Incoming>, Error> {
        let response = tokio::select! {
            biased;
            response = stream.sender.send_request(request) => response,
            // It may wait for a stream for as long as the server has none.
            () = state.withheld() => return Err(Error::NotSent(NotSent::Withheld)),
        };
        let is_new = !lock(&stream.usage).has_responded;
        let response = response.map_err(|error| classify_http2(&error, state, is_new));
        match response {
            Err(Error::NotSent(NotSent::Connect | NotSent::Refused)) => self.replace(stream),
            Err(Error::Unknown(_)) => self.note_lost(stream),
            Ok(_) => lock(&stream.usage).has_responded = true,
            Err(_) => {}
        }
        response
    }

    fn replace(&self, stream: &Stream) {
        let mut state = lock(&self.state);
        let is_its = |current: &mut Current| Arc::ptr_eq(&current.usage, &stream.usage);
        state.current.take_if(is_its);
    }

    fn note_lost(&self, stream: &Stream) {
        if stream.is_later {
            lock(&self.state).careful_until = Some(Instant::now() + CAREFUL_FOR);
        }
    }
}

// === impl Current ===

impl Current {
    fn stream(&self, is_later: bool) -> Stream {
        lock(&self.usage).streams += 1;
        Stream {
            sender: self.sender.clone(),
            usage: self.usage.clone(),
            is_later,
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

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::{io::duplex, time::advance};

    use super::*;

    const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
    const SECOND: Duration = Duration::from_secs(1);

    /// Also the server's end of the connection.
    async fn open(shared: &Shared) -> (Stream, tokio::io::DuplexStream) {
        let (ours, theirs) = duplex(65_536);
        (shared.open(TokioIo::new(ours)).await.unwrap(), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_idle_for_too_long_is_not_used() {
        let shared = Shared::new(IDLE_TIMEOUT, true);
        assert!(shared.take().is_none());
        let (stream, _server) = open(&shared).await;
        // In use for as long as it takes.
        advance(2 * IDLE_TIMEOUT).await;
        assert!(shared.take().is_some());
        drop(stream);
        advance(IDLE_TIMEOUT - SECOND).await;
        assert!(shared.take().is_some());
        advance(IDLE_TIMEOUT).await;
        assert!(shared.take().is_none());
    }

    #[tokio::test]
    async fn a_connection_that_is_full_is_followed_by_another() {
        let shared = Shared::new(IDLE_TIMEOUT, true);
        let (first, _server) = open(&shared).await;
        let mut streams = vec![first];
        streams.extend(std::iter::from_fn(|| shared.take()));
        assert_eq!(streams.len(), MOST_STREAMS);
        let (_stream, _server) = open(&shared).await;
        assert!(shared.take().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_loss_idle_connections_are_not_used_for_a_minute() {
        let shared = Shared::new(IDLE_TIMEOUT, true);
        let (first, _server) = open(&shared).await;
        // It was fresh: nothing was taken for granted.
        shared.note_lost(&first);
        drop(first);
        advance(SECOND).await;
        shared.note_lost(&shared.take().unwrap());
        assert!(shared.take().is_some());
        advance(SECOND).await;
        assert!(shared.take().is_none());

        advance(CAREFUL_FOR).await;
        let (stream, _server) = open(&shared).await;
        drop(stream);
        advance(SECOND).await;
        assert!(shared.take().is_some());
    }
}
