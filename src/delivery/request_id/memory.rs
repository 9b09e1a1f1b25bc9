//! Claims kept in this process: exact for one gateway, lost when it ends.
//!
//! A record takes about 350 bytes. At most [`MAX_RECORDS`] are kept, the oldest are forgotten
//! first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use super::{Fingerprint, Holder, Identity, Key, Next, RETENTION, StoreError};

/// Request ids that are remembered. Who needs more than that in 24 h (11 a second) keeps them in
/// Redis.
const MAX_RECORDS: usize = 1_000_000;

/// See the module's docs.
#[derive(Debug, Default)]
pub struct MemoryStore {
    records: Mutex<Records>,
}

#[derive(Debug)]
struct Records {
    /// How many are kept.
    limit: usize,
    by_key: HashMap<Key, Record>,
    /// When to check whether a record has expired, soonest first.
    turns: BTreeMap<Turn, Key>,
    last_turn: u64,
}

/// A moment, and a number that makes it unique.
type Turn = (Instant, u64);

#[derive(Debug)]
struct Record {
    fingerprint: Fingerprint,
    state: State,
    holder: Option<Holder>,
    /// Forgotten from then on.
    until: Instant,
    turn: Turn,
    /// Woken when the record changes. There only while somebody waits for that.
    changed: Option<Arc<Notify>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Claimed,
    Sent { at: Instant },
    Created { id: i32, complete: bool },
}

// === impl MemoryStore ===

impl MemoryStore {
    pub(super) fn claim(&self, identity: &Identity, holder: Holder) -> Next {
        let mut records = self.records();
        records.forget_expired();
        let Some(record) = records.by_key.get_mut(&identity.key) else {
            records.insert(identity, holder);
            return Next::Run;
        };
        if record.fingerprint != identity.fingerprint {
            return Next::Mismatch;
        }
        let next = match record.state {
            State::Created { id, complete: true } => return Next::Replay { id, complete: true },
            State::Created { id, .. } if record.holder.is_some() => {
                return Next::Wait { created: Some(id) };
            }
            _ if record.holder.is_some() => return Next::Wait { created: None },
            State::Created { id, complete } => Next::Replay { id, complete },
            State::Claimed => Next::Run,
            State::Sent { at } => Next::Recover { sent: at.elapsed() },
        };
        record.holder = Some(holder);
        records.changed(&identity.key);
        next
    }

    pub(super) fn sending(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        self.change(key, |record| {
            let may = record.is_held_by(holder) && !record.is_created();
            record.state = match may {
                true => State::Sent { at: Instant::now() },
                false => record.state,
            };
            may
        })
    }

    pub(super) fn created(
        &self,
        key: &Key,
        holder: Holder,
        id: i32,
        complete: bool,
    ) -> Result<(), StoreError> {
        self.change(key, |record| {
            let complete = match record.state {
                State::Created { id: known, .. } if known != id => return false,
                State::Created {
                    complete: known, ..
                } => known || complete,
                State::Claimed | State::Sent { .. } if record.is_held_by(holder) => complete,
                State::Claimed | State::Sent { .. } => return false,
            };
            record.state = State::Created { id, complete };
            if complete {
                record.holder = None;
            }
            true
        })
    }

    pub(super) fn release(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        let mut records = self.records();
        let ours = |record: &Record| record.is_held_by(holder) && !record.is_created();
        if !records.by_key.get(key).is_some_and(ours) {
            return Err(StoreError::Lost);
        }
        records.forget(key);
        Ok(())
    }

    pub(super) fn abandon(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        let is_unsent = |record: &Record| matches!(record.state, State::Claimed);
        if self.records().by_key.get(key).is_some_and(is_unsent) {
            return self.release(key, holder);
        }
        self.change(key, |record| {
            let ours = record.is_held_by(holder);
            if ours {
                record.holder = None;
            }
            ours || record.is_created()
        })
    }

    /// Waits until the record changes. Returns at once if nobody holds it.
    pub(super) async fn changed(&self, key: &Key) {
        let changed = {
            let mut records = self.records();
            let Some(record) = records.by_key.get_mut(key) else {
                return;
            };
            if record.holder.is_none() || record.until <= Instant::now() {
                return;
            }
            record
                .changed
                .get_or_insert_default()
                .clone()
                .notified_owned()
        };
        changed.await;
    }

    /// Changes a record in one step. `change` says whether it may.
    fn change(
        &self,
        key: &Key,
        change: impl FnOnce(&mut Record) -> bool,
    ) -> Result<(), StoreError> {
        let mut records = self.records();
        let record = records.by_key.get_mut(key);
        let record = record.filter(|record| record.until > Instant::now());
        match record.is_some_and(change) {
            true => {
                records.changed(key);
                Ok(())
            }
            false => Err(StoreError::Lost),
        }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        // No code that can panic runs under this lock.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Records ===

impl Default for Records {
    fn default() -> Self {
        Self {
            limit: MAX_RECORDS,
            by_key: HashMap::new(),
            turns: BTreeMap::new(),
            last_turn: 0,
        }
    }
}

impl Records {
    fn insert(&mut self, identity: &Identity, holder: Holder) {
        let until = Instant::now() + RETENTION;
        let record = Record {
            fingerprint: identity.fingerprint,
            state: State::Claimed,
            holder: Some(holder),
            until,
            turn: self.next_turn(until, &identity.key),
            changed: None,
        };
        self.by_key.insert(identity.key.clone(), record);
    }

    fn next_turn(&mut self, at: Instant, key: &Key) -> Turn {
        self.last_turn += 1;
        let turn = (at, self.last_turn);
        self.turns.insert(turn, key.clone());
        turn
    }

    /// Keeps a record for its whole time from now on, and wakes who waits for it.
    fn changed(&mut self, key: &Key) {
        if let Some(record) = self.by_key.get_mut(key) {
            record.until = Instant::now() + RETENTION;
            if let Some(changed) = record.changed.take() {
                changed.notify_waiters();
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        let Some(record) = self.by_key.remove(key) else {
            return;
        };
        self.turns.remove(&record.turn);
        if let Some(changed) = record.changed {
            changed.notify_waiters();
        }
    }

    fn forget_expired(&mut self) {
        let now = Instant::now();
        while let Some(((at, _), _)) = self.turns.first_key_value()
            && (*at <= now || self.by_key.len() >= self.limit)
        {
            let Some((_, key)) = self.turns.pop_first() else {
                return;
            };
            let until = self.by_key.get(&key).map(|record| record.until);
            match until.filter(|until| *until > now && self.by_key.len() < self.limit) {
                // It was changed since.
                Some(until) => {
                    let turn = self.next_turn(until, &key);
                    if let Some(record) = self.by_key.get_mut(&key) {
                        record.turn = turn;
                    }
                }
                None => self.forget(&key),
            }
        }
    }
}

// === impl Record ===

impl Record {
    fn is_held_by(&self, holder: Holder) -> bool {
        self.holder == Some(holder)
    }

    fn is_created(&self) -> bool {
        matches!(self.state, State::Created { .. })
    }
}

#[cfg(test)]
mod tests;
