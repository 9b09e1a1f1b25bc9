//! Claims kept in this process: exact for one gateway, lost when it ends.

use std::sync::Arc;

use moka::{
    ops::compute::{CompResult, Op},
    sync::Cache,
};
use tokio::{sync::Notify, time::Instant};

use super::{Fingerprint, Holder, Identity, Key, Next, RETENTION, StoreError};

/// Connections remembered as handed out. The oldest are forgotten first; they matter only while
/// the outcome of a create of the same time is still open.
const MAX_HANDED_OUT: u64 = 1_000_000;

/// See the module's docs.
#[derive(Debug)]
pub struct MemoryStore {
    records: Cache<Key, Record>,
    handed_out: Cache<(i32, i32), Option<Key>>,
}

#[derive(Clone, Debug)]
struct Record {
    fingerprint: Fingerprint,
    state: State,
    /// Woken whenever the state changes.
    changed: Arc<Notify>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Claimed { by: Holder },
    Sent { at: Instant, by: Option<Holder> },
    Created { id: i32, complete: bool },
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            records: Cache::builder().time_to_live(RETENTION).build(),
            handed_out: Cache::builder()
                .time_to_live(RETENTION)
                .max_capacity(MAX_HANDED_OUT)
                .build(),
        }
    }
}

impl MemoryStore {
    pub(super) fn claim(&self, identity: &Identity, holder: Holder) -> Next {
        let mut next = Next::Run;
        let entry = self.records.entry(identity.key.clone());
        entry.and_compute_with(|known| {
            let Some(known) = known else {
                return Op::Put(Record {
                    fingerprint: identity.fingerprint,
                    state: State::Claimed { by: holder },
                    changed: Arc::default(),
                });
            };
            let mut record = known.into_value();
            if record.fingerprint != identity.fingerprint {
                next = Next::Mismatch;
                return Op::Nop;
            }
            match record.state {
                State::Claimed { .. } | State::Sent { by: Some(_), .. } => {
                    next = Next::Wait;
                    Op::Nop
                }
                State::Created { id, complete } => {
                    next = Next::Replay { id, complete };
                    Op::Nop
                }
                State::Sent { at, by: None } => {
                    next = Next::Recover { sent: at.elapsed() };
                    record.state = State::Sent {
                        at,
                        by: Some(holder),
                    };
                    Op::Put(record)
                }
            }
        });
        next
    }

    pub(super) fn sending(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        let at = Instant::now();
        self.advance(key, holder, |_| State::Sent {
            at,
            by: Some(holder),
        })
    }

    pub(super) fn created(
        &self,
        key: &Key,
        holder: Holder,
        id: i32,
        complete: bool,
    ) -> Result<(), StoreError> {
        self.advance(key, holder, |_| State::Created { id, complete })
    }

    pub(super) fn abandon(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        self.advance(key, holder, |state| match state {
            State::Sent { at, .. } => State::Sent { at, by: None },
            other @ (State::Claimed { .. } | State::Created { .. }) => other,
        })
    }

    pub(super) fn release(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        let entry = self.records.entry_by_ref(key);
        let result = entry.and_compute_with(|known| match known.map(moka::Entry::into_value) {
            Some(record) if record.is_held_by(holder) => Op::Remove,
            _ => Op::Nop,
        });
        let CompResult::Removed(removed) = result else {
            return Err(lost());
        };
        removed.into_value().changed.notify_waiters();
        Ok(())
    }

    pub(super) fn hand_out(&self, team: i32, id: i32, owner: Option<&Key>) -> bool {
        let entry = self.handed_out.entry((team, id));
        let entry = entry.or_insert_with(|| owner.cloned());
        entry.is_fresh() || (owner.is_some() && entry.value().as_ref() == owner)
    }

    pub(super) fn is_free(&self, team: i32, id: i32, owner: Option<&Key>) -> bool {
        match self.handed_out.get(&(team, id)) {
            None => true,
            Some(taken) => taken.is_some() && taken.as_ref() == owner,
        }
    }

    /// Waits until the record changes. Returns at once if nobody holds it.
    pub(super) async fn changed(&self, key: &Key) {
        let Some(record) = self.records.get(key) else {
            return;
        };
        let changed = record.changed.notified();
        tokio::pin!(changed);
        // Enlist first and look again then, so that no change falls between the two.
        changed.as_mut().enable();
        if self.records.get(key).is_some_and(|record| record.is_held()) {
            changed.await;
        }
    }

    fn advance(
        &self,
        key: &Key,
        holder: Holder,
        next: impl FnOnce(State) -> State,
    ) -> Result<(), StoreError> {
        let entry = self.records.entry_by_ref(key);
        let result = entry.and_compute_with(|known| match known.map(moka::Entry::into_value) {
            Some(mut record) if record.is_held_by(holder) => {
                record.state = next(record.state);
                Op::Put(record)
            }
            _ => Op::Nop,
        });
        let CompResult::ReplacedWith(entry) = result else {
            return Err(lost());
        };
        entry.into_value().changed.notify_waiters();
        Ok(())
    }
}

fn lost() -> StoreError {
    StoreError("the claim is held by another call".to_owned())
}

impl Record {
    fn is_held(&self) -> bool {
        match self.state {
            State::Claimed { .. } | State::Sent { by: Some(_), .. } => true,
            State::Sent { by: None, .. } | State::Created { .. } => false,
        }
    }

    fn is_held_by(&self, holder: Holder) -> bool {
        match self.state {
            State::Claimed { by } | State::Sent { by: Some(by), .. } => by == holder,
            // The holder of a created connection may still report its files.
            State::Created { complete, .. } => !complete,
            State::Sent { by: None, .. } => false,
        }
    }
}
