//! A claim on a request id, as an operation holds it.
//!
//! All tasks of the operation share the claim, and it ends with the last of them. So a request that
//! continues after its caller has left prevents a second one with the same id.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    Shared,
    request_id::{Holder, Key, Lease, StoreError},
};

/// How long an outcome is written again if the store does not take it.
const NOTE_FOR: Duration = Duration::from_secs(300);
/// The pause between two tries.
const NOTE_PAUSE: Duration = Duration::from_millis(500);

/// The right to work for a request id.
#[derive(Debug)]
pub(super) struct Claim {
    shared: Arc<Shared>,
    key: Key,
    holder: Holder,
    /// Nothing was created: the claim is forgotten, not given up.
    is_released: AtomicBool,
    /// Renews the claim; without that, another call may take it over.
    _lease: Lease,
}

/// What is learned of a request.
#[derive(Clone, Copy, Debug)]
enum Learned {
    /// It created this connection. `is_complete`: no file is left to be uploaded.
    Created { id: i32, is_complete: bool },
    /// It had no effect.
    NothingCreated,
}

// === impl Claim ===

impl Claim {
    /// A claim that the store has just given to this holder.
    pub(super) fn new(shared: Arc<Shared>, key: Key, holder: Holder) -> Arc<Self> {
        Arc::new(Self {
            _lease: shared.store.lease(&key, holder),
            shared,
            key,
            holder,
            is_released: AtomicBool::new(false),
        })
    }

    /// Notes that the request is about to be sent.
    pub(super) async fn sending(&self) -> Result<(), StoreError> {
        self.shared.store.sending(&self.key, self.holder).await
    }

    /// Stores the outcome. `is_complete`: no file is left to be uploaded.
    pub(super) async fn created(self: &Arc<Self>, id: i32, is_complete: bool) {
        self.note(Learned::Created { id, is_complete }).await;
    }

    /// Gives the claim up and forgets it: nothing was created.
    pub(super) async fn release(self: &Arc<Self>) {
        self.is_released.store(true, Ordering::SeqCst);
        self.note(Learned::NothingCreated).await;
    }

    /// Notes what was learned. A store that does not take it now is tried again in the background
    /// while the claim is held: it must not be lost to a short outage.
    async fn note(self: &Arc<Self>, learned: Learned) {
        let Err(StoreError::Unavailable(_)) = self.try_to_note(learned).await else {
            return;
        };
        if self.shared.store.should_log() {
            tracing::warn!("cannot keep what was learned of a request id yet");
        }
        let (claim, give_up_at) = (self.clone(), Instant::now() + NOTE_FOR);
        self.shared.operations.spawn(async move {
            let is_over = || Instant::now() > give_up_at || claim.shared.grace_over.is_cancelled();
            while !is_over() {
                sleep(NOTE_PAUSE).await;
                match claim.try_to_note(learned).await {
                    Err(StoreError::Unavailable(_)) => {}
                    Ok(()) | Err(StoreError::Lost) => return,
                }
            }
        });
    }

    async fn try_to_note(&self, learned: Learned) -> Result<(), StoreError> {
        let (store, key) = (&self.shared.store, &self.key);
        match learned {
            Learned::Created { id, is_complete } => {
                store.created(key, self.holder, id, is_complete).await
            }
            Learned::NothingCreated => store.release(key, self.holder).await,
        }
    }
}

impl Drop for Claim {
    /// Gives the claim up and keeps what is known of it.
    fn drop(&mut self) {
        if self.is_released.load(Ordering::SeqCst) {
            return;
        }
        // Without a runtime the process is ending: the claim ends with it, or its lease expires.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (shared, key, holder) = (self.shared.clone(), self.key.clone(), self.holder);
        let operations = shared.operations.clone();
        runtime.spawn(operations.track_future(async move {
            // A claim that cannot be given up expires with its lease.
            drop(shared.store.abandon(&key, holder).await);
        }));
    }
}
