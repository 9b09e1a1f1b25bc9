//! Decides which row belongs to which create, if several creates ask for the same connection.
//!
//! Two creates of one team are *identical* if their bodies are, byte for byte. When the response
//! to one is lost, the row of the other could be taken for its own. So this table knows
//!
//! - the creates whose outcome is open, by team and body: those whose response may still come, and
//!   those whose response was lost (one with a request id for as long as the id is kept, since it
//!   may be asked for again);
//! - the rows that were assigned to a create: those of the last seconds, which a recovery may find
//!   since it looks a little further back than its request, and those that an identical create with
//!   an open outcome could take for its own.
//!
//! Nothing else is kept of a create that has ended. Creates with different bodies do not affect
//! each other.
//!
//! The table is of this process only. Gateways that share a store see of each other only the rows
//! that are noted there ([`Store::assign`](super::request_id::Store::assign)).

mod recent;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::time::Instant;

use self::recent::RecentRows;
use super::{
    clock::{Began, ServerClock},
    request_id::{Key, RETENTION},
};

/// Creates with an open outcome that are remembered after their work has ended.
const MAX_KEPT: usize = 100_000;

/// A team and a hash of a body: bodies hold secrets.
type Body = (i32, u64);

/// The table.
#[derive(Debug, Default)]
pub(super) struct IdenticalCreates {
    state: Mutex<State>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct State {
    bodies: HashMap<Body, Creates>,
    recent: RecentRows,
    /// When what is kept of a create without a worker is forgotten.
    kept: BinaryHeap<Reverse<(Instant, Body)>>,
}

/// The creates with one body whose outcome is open.
#[derive(Debug, Default)]
struct Creates {
    open: HashMap<Key, OpenCreate>,
    /// The rows that were assigned while there was such a create.
    assigned: HashMap<i32, Key>,
}

#[derive(Clone, Copy, Debug)]
struct OpenCreate {
    began: Began,
    /// Its response may still come.
    awaited: bool,
    /// Its operation has ended; it is forgotten at this time.
    until: Option<Instant>,
}

/// One create in the table, from its first attempt to its outcome.
#[derive(Debug)]
pub(super) struct Entry {
    table: Arc<IdenticalCreates>,
    body: Body,
    owner: Key,
    /// It is kept if its outcome is still open at the end: it has a request id.
    is_kept: bool,
}

/// Which row is a create's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one.
    Take(i32),
    /// None yet.
    Wait,
    /// There are more rows than creates: other clients have made some of them.
    Ambiguous {
        /// How many more.
        surplus: usize,
    },
}

// === impl IdenticalCreates ===

impl IdenticalCreates {
    /// Enters a create of this team with this body.
    pub(super) fn enter(
        self: &Arc<Self>,
        team: i32,
        body: &[u8],
        owner: &Key,
        is_kept: bool,
    ) -> Entry {
        Entry {
            body: (team, self.hasher.hash_one(body)),
            table: self.clone(),
            owner: owner.clone(),
            is_kept,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    /// Forgets what is too old to matter.
    fn prune(&mut self, now: Instant) {
        self.recent.prune(now);
        let is_due = |kept: &BinaryHeap<_>| match kept.peek() {
            Some(Reverse((until, _))) => *until <= now || kept.len() > MAX_KEPT,
            None => false,
        };
        while is_due(&self.kept) {
            let Some(Reverse((until, body))) = self.kept.pop() else {
                return;
            };
            if let Some(creates) = self.bodies.get_mut(&body) {
                creates
                    .open
                    .retain(|_, create| create.until.is_none_or(|known| known > until));
                self.forget_if_empty(body);
            }
        }
    }

    fn forget_if_empty(&mut self, body: Body) {
        if (self.bodies.get(&body)).is_some_and(|creates| creates.open.is_empty()) {
            self.bodies.remove(&body);
        }
    }
}

// === impl Entry ===

impl Entry {
    /// The request is about to be sent: its response is awaited.
    pub(super) fn await_response(&self, began: Began) {
        self.open(began, true);
    }

    /// The response was lost, of a request that began then or later.
    pub(super) fn response_lost(&self, began: Began) {
        self.open(began, false);
    }

    /// The request had no effect.
    pub(super) fn close(&self) {
        let mut state = self.table.state();
        if let Some(creates) = state.bodies.get_mut(&self.body) {
            creates.open.remove(&self.owner);
            state.forget_if_empty(self.body);
        }
    }

    fn open(&self, began: Began, awaited: bool) {
        let mut state = self.table.state();
        state.prune(Instant::now());
        let creates = state.bodies.entry(self.body).or_default();
        let create = OpenCreate {
            began,
            awaited,
            until: None,
        };
        let known = creates.open.entry(self.owner.clone()).or_insert(create);
        known.awaited = awaited;
        known.until = None;
    }

    /// Notes that a row is this create's. `false` if it is another's already.
    pub(super) fn assign(&self, row: i32) -> bool {
        let mut state = self.table.state();
        if !self.is_free_in(&state, row) {
            return false;
        }
        let now = Instant::now();
        state.prune(now);
        let (team, owner) = (self.body.0, self.table.hasher.hash_one(&self.owner));
        state.recent.insert((team, row), owner);
        if let Some(creates) = state.bodies.get_mut(&self.body) {
            creates.open.remove(&self.owner);
            creates.assigned.insert(row, self.owner.clone());
            state.forget_if_empty(self.body);
        }
        true
    }

    /// Whether a row is not another create's.
    pub(super) fn is_free(&self, row: i32) -> bool {
        self.is_free_in(&self.table.state(), row)
    }

    fn is_free_in(&self, state: &State, row: i32) -> bool {
        let lately = state.recent.owner((self.body.0, row));
        let before = state.bodies.get(&self.body);
        let before = before.and_then(|creates| creates.assigned.get(&row));
        lately.is_none_or(|owner| owner == self.table.hasher.hash_one(&self.owner))
            && before.is_none_or(|owner| *owner == self.owner)
    }

    /// Chooses among rows that have all that was sent and are assigned to no create, oldest first.
    ///
    /// Identical creates may get each other's rows: nothing distinguishes their rows. So the oldest
    /// row is this create's if none of the others can still be named by a response, or if there
    /// are as many rows as creates that can have made them.
    pub(super) fn choose(&self, rows: &[(i32, Option<Timestamp>)], clock: ServerClock) -> Choice {
        let state = self.table.state();
        let open = state.bodies.get(&self.body).map(|creates| &creates.open);
        let others = open.into_iter().flatten();
        let others = others.filter(|(owner, _)| **owner != self.owner);
        let (mut makers, mut awaited) = (1, false);
        for (_, other) in others {
            let since = clock.earliest(other.began);
            if rows
                .iter()
                .any(|(_, made)| made.is_none_or(|made| made >= since))
            {
                makers += 1;
                awaited |= other.awaited;
            }
        }
        match rows.first() {
            None => Choice::Wait,
            Some(_) if rows.len() > makers => Choice::Ambiguous {
                surplus: rows.len() - makers,
            },
            Some(_) if awaited && rows.len() < makers => Choice::Wait,
            Some((oldest, _)) => Choice::Take(*oldest),
        }
    }
}

impl Drop for Entry {
    /// The operation has ended. A create whose outcome is open stays in the table if it may be
    /// repeated.
    fn drop(&mut self) {
        let mut state = self.table.state();
        let Some(creates) = state.bodies.get_mut(&self.body) else {
            return;
        };
        match creates.open.get_mut(&self.owner) {
            Some(create) if self.is_kept => {
                let until = Instant::now() + RETENTION;
                create.awaited = false;
                create.until = Some(until);
                state.kept.push(Reverse((until, self.body)));
            }
            _ => {
                creates.open.remove(&self.owner);
                state.forget_if_empty(self.body);
            }
        }
    }
}

#[cfg(test)]
mod tests;
