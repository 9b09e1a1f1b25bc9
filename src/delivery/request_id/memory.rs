//! Claims kept in this process: exact for one gateway, lost when it ends.

use std::sync::Arc;

use moka::{ops::compute::Op, sync::Cache};
use tokio::{sync::Notify, time::Instant};

use super::{Fingerprint, Holder, Identity, Key, Next, RETENTION, StoreError};

/// Connections remembered as handed out. The oldest are forgotten first; they matter only while
/// the outcome of a create of the same time is still open.
const MAX_HANDED_OUT: u64 = 1_000_000;

/// See the module's docs.
///
/// Whether something is kept still is decided by tokio's clock, as all else is; the caches' own
/// clock only frees what nobody asks for again.
#[derive(Debug)]
pub struct MemoryStore {
    records: Cache<Key, Record>,
    handed_out: Cache<(i32, i32), HandedOut>,
}

#[derive(Clone, Debug)]
struct Record {
    fingerprint: Fingerprint,
    state: State,
    /// Forgotten from then on.
    until: Instant,
    /// Woken whenever the state changes.
    changed: Arc<Notify>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Claimed { by: Holder },
    Sent { at: Instant, by: Option<Holder> },
    Created { id: i32, complete: bool },
}

/// What becomes of a record.
enum After {
    Is(State),
    Gone,
}

#[derive(Clone, Debug)]
struct HandedOut {
    owner: Key,
    /// Forgotten from then on.
    until: Instant,
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
            let known = known.map(moka::Entry::into_value);
            let Some(mut record) = known.filter(Record::is_kept) else {
                return Op::Put(Record {
                    fingerprint: identity.fingerprint,
                    state: State::Claimed { by: holder },
                    until: Instant::now() + RETENTION,
                    changed: Arc::default(),
                });
            };
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
                    let by = Some(holder);
                    record.state = State::Sent { at, by };
                    record.until = Instant::now() + RETENTION;
                    Op::Put(record)
                }
            }
        });
        next
    }

    pub(super) fn sending(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        let (at, by) = (Instant::now(), Some(holder));
        self.change(key, |state| {
            (state.holder() == by).then_some(After::Is(State::Sent { at, by }))
        })
    }

    pub(super) fn created(
        &self,
        key: &Key,
        holder: Holder,
        id: i32,
        complete: bool,
    ) -> Result<(), StoreError> {
        self.change(key, |state| match state {
            State::Created {
                id: known,
                complete: before,
            } => (known == id).then_some(After::Is(State::Created {
                id,
                complete: before || complete,
            })),
            State::Claimed { .. } | State::Sent { .. } => (state.holder() == Some(holder))
                .then_some(After::Is(State::Created { id, complete })),
        })
    }

    pub(super) fn release(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        self.change(key, |state| {
            (state.holder() == Some(holder)).then_some(After::Gone)
        })
    }

    pub(super) fn abandon(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        self.change(key, |state| match state {
            State::Created { .. } => Some(After::Is(state)),
            _ if state.holder() != Some(holder) => None,
            State::Claimed { .. } => Some(After::Gone),
            State::Sent { at, .. } => Some(After::Is(State::Sent { at, by: None })),
        })
    }

    pub(super) fn hand_out(&self, team: i32, id: i32, owner: &Key) -> bool {
        let new = || HandedOut {
            owner: owner.clone(),
            until: Instant::now() + RETENTION,
        };
        let entry = self.handed_out.entry((team, id));
        let entry = entry.or_insert_with_if(new, |known| !known.is_kept());
        entry.is_fresh() || entry.value().owner == *owner
    }

    pub(super) fn is_free(&self, team: i32, id: i32, owner: &Key) -> bool {
        let taken = self.handed_out.get(&(team, id));
        taken
            .filter(HandedOut::is_kept)
            .is_none_or(|taken| taken.owner == *owner)
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
        let record = self.records.get(key).filter(Record::is_kept);
        if record.is_some_and(|record| record.state.holder().is_some()) {
            changed.await;
        }
    }

    /// Changes what is kept in one step. `None`: it is not the caller's to change.
    fn change(
        &self,
        key: &Key,
        next: impl FnOnce(State) -> Option<After>,
    ) -> Result<(), StoreError> {
        let mut changed = None;
        let entry = self.records.entry_by_ref(key);
        entry.and_compute_with(|known| {
            let known = known.map(moka::Entry::into_value);
            let Some(mut record) = known.filter(Record::is_kept) else {
                return Op::Nop;
            };
            let Some(after) = next(record.state) else {
                return Op::Nop;
            };
            changed = Some(record.changed.clone());
            match after {
                After::Gone => Op::Remove,
                After::Is(state) => {
                    record.state = state;
                    record.until = Instant::now() + RETENTION;
                    Op::Put(record)
                }
            }
        });
        changed.ok_or_else(StoreError::lost)?.notify_waiters();
        Ok(())
    }
}

// === impl Record ===

impl Record {
    fn is_kept(&self) -> bool {
        Instant::now() < self.until
    }
}

// === impl State ===

impl State {
    fn holder(self) -> Option<Holder> {
        match self {
            Self::Claimed { by } => Some(by),
            Self::Sent { by, .. } => by,
            Self::Created { .. } => None,
        }
    }
}

// === impl HandedOut ===

impl HandedOut {
    fn is_kept(&self) -> bool {
        Instant::now() < self.until
    }
}
