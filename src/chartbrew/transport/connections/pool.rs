//! The used HTTP/1.1 connections to Chartbrew that are idle, and whether the server keeps them for as long as
//! it announces.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use crate::chartbrew::transport::send_state::SentBody;

/// A connection that was idle for less is as good as a fresh one.
pub(super) const RECENTLY: Duration = Duration::from_secs(1);
/// How many used connections must have worked before a server is trusted.
pub(super) const KEPT_FOR_TRUST: u32 = 10;
/// For how long a server is not trusted that has closed a connection too early, and for how long one
/// that keeps none gets `Connection: close`.
pub(super) const CAREFUL_FOR: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Pool {
    idle_timeout: Duration,
    /// The one that was used last comes last.
    idle: Mutex<Vec<Idle>>,
    trust: Mutex<Trust>,
    /// The server does not keep connections. It is asked again then.
    closes_until: Mutex<Option<Instant>>,
    ignores_expect: AtomicBool,
}

/// Whether the server keeps connections for as long as it announces.
#[derive(Debug, Default)]
struct Trust {
    kept: u32,
    careful_until: Option<Instant>,
}

pub(super) type Sender = SendRequest<SentBody>;

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
    /// The server closes it soon after that.
    until: Instant,
}

// === impl Trust ===

impl Trust {
    fn is_trusted(&self, now: Instant) -> bool {
        self.kept >= KEPT_FOR_TRUST && self.careful_until.is_none_or(|until| now >= until)
    }
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(idle_timeout: Duration) -> Self {
        Self {
            idle_timeout,
            idle: Mutex::default(),
            trust: Mutex::default(),
            closes_until: Mutex::default(),
            ignores_expect: AtomicBool::default(),
        }
    }

    /// Whether a fresh connection is worth keeping.
    pub(super) fn may_keep(&self) -> bool {
        let closes_until = *lock(&self.closes_until);
        closes_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Notes whether the server keeps connections.
    pub(super) fn note_keeps(&self, keeps: bool) {
        *lock(&self.closes_until) = (!keeps).then(|| Instant::now() + CAREFUL_FOR);
    }

    /// The server ignores or refuses `Expect`.
    pub(super) fn note_ignores_expect(&self) {
        self.ignores_expect.store(true, Ordering::Relaxed);
    }

    /// A used connection has worked.
    pub(super) fn note_kept(&self) {
        let mut trust = lock(&self.trust);
        trust.kept = trust.kept.saturating_add(1);
    }

    /// A connection that may be used, and whether it was idle for so short a time that nothing
    /// need be asked first.
    pub(super) fn take(&self) -> Option<(Sender, bool)> {
        let now = Instant::now();
        let mut is_trusted = lock(&self.trust).is_trusted(now);
        let mut idle = lock(&self.idle);
        while let Some(Idle {
            sender,
            since,
            until,
        }) = idle.pop()
        {
            if now >= until {
                continue;
            }
            if sender.is_closed() {
                self.distrust();
                is_trusted = false;
                continue;
            }
            if !sender.is_ready() {
                continue;
            }
            let is_recent = is_trusted && now.duration_since(since) < RECENTLY;
            if is_recent || !self.ignores_expect.load(Ordering::Relaxed) {
                return Some((sender, is_recent));
            }
        }
        None
    }

    /// The server has closed a connection earlier than it announced.
    pub(super) fn distrust(&self) {
        *lock(&self.trust) = Trust {
            kept: 0,
            careful_until: Some(Instant::now() + CAREFUL_FOR),
        };
    }

    /// Keeps a connection, for no longer than the idle timeout.
    pub(super) fn put(&self, sender: Sender, keep_for: Duration) {
        let now = Instant::now();
        let mut idle = lock(&self.idle);
        let outdated = idle.iter().take_while(|idle| idle.until <= now).count();
        idle.drain(..outdated);
        idle.push(Idle {
            sender,
            since: now,
            until: now + keep_for.min(self.idle_timeout),
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
