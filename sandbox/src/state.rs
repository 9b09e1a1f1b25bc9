//! The state of a sandbox, and waiting for changes of it.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Fault, Kind, Settings,
    model::{Row, Values},
};

/// A request that was received.
#[derive(Clone)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its path, with the query if it had one.
    pub path: String,
    /// Its headers, the token among them.
    pub headers: HeaderMap,
    /// Its body; empty if the connection was closed before it was read.
    pub body: Bytes,
    /// The status of its response, whether or not the caller was still there to read it;
    /// `None` while it is held, or if it was never answered.
    pub status: Option<u16>,
}

/// How far things have come, for those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// How many requests have been received.
    pub seen: usize,
    /// How many of them have been answered.
    pub answered: usize,
    /// How many rows there are, in all teams.
    pub stored: usize,
    /// How many faults still wait.
    pub faults: usize,
    /// How many connections are open and how many requests are being worked on, also those that
    /// were answered before. With 0 nothing is stored until somebody connects.
    pub busy: usize,
}

/// One sandbox: its settings and all that it remembers.
pub(super) struct App {
    /// How it was set up.
    pub(super) settings: Settings,
    /// Where it listens.
    pub(super) addr: SocketAddr,
    /// What it remembers. Never held across an await.
    memory: Mutex<Memory>,
    /// Marked whenever `memory` changes.
    changed: watch::Sender<()>,
}

/// What a sandbox remembers.
#[derive(Default)]
pub(super) struct Memory {
    /// The rows of all teams, by ascending id.
    pub(super) rows: Vec<Row>,
    /// The highest id ever given.
    last_id: i32,
    /// The requests received, in order.
    pub(super) seen: Vec<Seen>,
    /// How often `seen` was cleared: a response to a request of before is not written down.
    clearings: usize,
    /// The faults that wait, in order.
    pub(super) faults: VecDeque<Fault>,
    /// Requests that name a connection whose clients closed before the response was complete.
    pub(super) cut_off: usize,
    /// Connections that are open and requests that are being worked on.
    busy: usize,
}

/// A connection that is open, or a request that is being worked on, until it is dropped.
pub(super) struct Busy(Arc<App>);

/// Where a request was recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeenAt {
    index: usize,
    clearings: usize,
}

// === impl App ===

impl App {
    pub(super) fn new(settings: Settings, addr: SocketAddr) -> Self {
        Self {
            settings,
            addr,
            memory: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    /// Reads what is remembered.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Memory) -> T) -> T {
        read(&self.lock())
    }

    /// Changes what is remembered, and notifies those who wait.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.send_replace(());
        changed
    }

    /// Resolves as soon as the condition holds.
    pub(super) async fn wait_for(&self, holds: impl Fn(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        while !holds(&self.read(Memory::state)) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

// === impl Busy ===

impl Busy {
    pub(super) fn begin(app: &Arc<App>) -> Self {
        app.change(|m| m.busy += 1);
        Self(Arc::clone(app))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|m| m.busy -= 1);
    }
}

// === impl Memory ===

impl Memory {
    /// How far things have come.
    pub(super) fn state(&self) -> State {
        State {
            seen: self.seen.len(),
            answered: self.seen.iter().filter(|s| s.status.is_some()).count(),
            stored: self.rows.len(),
            faults: self.faults.len(),
            busy: self.busy,
        }
    }

    /// Takes the first fault for a request of this kind, once.
    pub(super) fn take_fault(&mut self, kind: Kind) -> Option<Fault> {
        let at = self.faults.iter().position(|f| f.on.meets(kind))?;
        let fault = self.faults.get(at)?.clone();
        match fault.times.used() {
            Some(left) => self.faults.get_mut(at)?.times = left,
            None => drop(self.faults.remove(at)),
        }
        Some(fault)
    }

    /// Writes a request down.
    pub(super) fn see(&mut self, seen: Seen) -> SeenAt {
        self.seen.push(seen);
        SeenAt {
            index: self.seen.len() - 1,
            clearings: self.clearings,
        }
    }

    /// Writes down how a request was answered.
    pub(super) fn answered(&mut self, seen_at: SeenAt, status: u16) {
        if seen_at.clearings == self.clearings
            && let Some(seen) = self.seen.get_mut(seen_at.index)
        {
            seen.status = Some(status);
        }
    }

    /// Forgets the requests.
    pub(super) fn clear_seen(&mut self) {
        self.seen.clear();
        self.clearings += 1;
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.clear_seen();
        self.rows.clear();
        self.faults.clear();
        self.last_id = 0;
    }

    /// Stores a new row under this id, or the next one.
    ///
    /// # Errors
    /// The id, if there is such a row already.
    pub(super) fn insert(
        &mut self,
        id: Option<i32>,
        team: i32,
        values: &Values,
        now: Timestamp,
    ) -> Result<i32, i32> {
        let id = id.unwrap_or(self.last_id.saturating_add(1));
        let Err(at) = self.rows.binary_search_by_key(&id, |row| row.id) else {
            return Err(id);
        };
        let mut row = Row::new(id, team, now);
        row.store(values);
        self.rows.insert(at, row);
        self.last_id = self.last_id.max(id);
        Ok(id)
    }

    /// A team's row.
    pub(super) fn row(&self, team: i32, id: i32) -> Option<&Row> {
        self.rows.iter().find(|r| r.team == team && r.id == id)
    }

    /// A team's row, to change.
    pub(super) fn row_mut(&mut self, team: i32, id: i32) -> Option<&mut Row> {
        self.rows.iter_mut().find(|r| r.team == team && r.id == id)
    }

    /// A team's rows as stored, by ascending id.
    pub(super) fn whole_rows(&self, team: i32) -> Vec<Value> {
        self.rows
            .iter()
            .filter(|r| r.team == team)
            .map(|r| Value::Object(r.whole()))
            .collect()
    }
}

// === impl Seen ===

impl Seen {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            path,
            headers: _,
            body,
            status,
        } = self;
        f.debug_struct("Seen")
            .field("method", method)
            .field("path", path)
            .field("body_bytes", &body.len())
            .field("status", status)
            .finish_non_exhaustive()
    }
}
