//! The state of a sandbox, and waiting for changes of it.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
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
    /// How many requests whose path names a connection were cut off by their clients.
    pub cut_off: usize,
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
    /// The rows of all teams, by ascending id. Shared, so that a list is made without the lock.
    pub(super) rows: Vec<Arc<Row>>,
    /// The id that the next new row gets.
    next_id: i32,
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
            addr,
            memory: Mutex::new(Memory {
                next_id: settings.first_id,
                ..Memory::default()
            }),
            settings,
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

    /// Forgets rows, ids, faults and requests.
    pub(super) fn reset(&self) {
        self.change(|m| {
            m.clear_seen();
            m.rows.clear();
            m.faults.clear();
            m.next_id = self.settings.first_id;
        });
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
            cut_off: self.cut_off,
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

    /// Stores a new row under this id, or the next one.
    ///
    /// # Errors
    /// The id, if there is such a row already.
    pub(super) fn insert(&mut self, id: Option<i32>, row: Row) -> Result<i32, i32> {
        let id = id.unwrap_or(self.next_id);
        self.put(id, row)?;
        self.next_id = self.next_id.max(id.saturating_add(1));
        Ok(id)
    }

    fn put(&mut self, id: i32, mut row: Row) -> Result<(), i32> {
        let at = self.rows.binary_search_by_key(&id, |row| row.id);
        let Err(at) = at else { return Err(id) };
        row.id = id;
        row.listed = OnceLock::new();
        self.rows.insert(at, Arc::new(row));
        Ok(())
    }

    fn position(&self, team: i32, id: i32) -> Option<usize> {
        let at = self.rows.binary_search_by_key(&id, |row| row.id).ok()?;
        (self.rows.get(at)?.team == team).then_some(at)
    }

    /// A team's row.
    pub(super) fn row(&self, team: i32, id: i32) -> Option<Arc<Row>> {
        self.rows.get(self.position(team, id)?).cloned()
    }

    /// Stores values in a team's row and returns it as it is now.
    pub(super) fn update(&mut self, team: i32, id: i32, values: &Values) -> Option<Arc<Row>> {
        let at = self.position(team, id)?;
        let shared = self.rows.get_mut(at)?;
        let row = Arc::make_mut(shared);
        row.store(values);
        row.updated = Timestamp::now();
        Some(Arc::clone(shared))
    }

    /// Deletes a team's row; whether there was one.
    pub(super) fn delete(&mut self, team: i32, id: i32) -> bool {
        let at = self.position(team, id);
        at.map(|at| self.rows.remove(at)).is_some()
    }

    /// Gives a team's row another id. As in the database, the next new id stays what it was.
    ///
    /// # Errors
    /// The id, if it is another row's.
    pub(super) fn relocate(&mut self, team: i32, from: i32, to: i32) -> Result<(), i32> {
        if let Some(row) = self.row(team, from) {
            self.put(to, Row::clone(&row))?;
            self.delete(team, from);
        }
        Ok(())
    }

    /// A team's rows, by ascending id.
    pub(super) fn rows_of(&self, team: i32) -> Vec<Arc<Row>> {
        let of_team = self.rows.iter().filter(|r| r.team == team);
        of_team.cloned().collect()
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
