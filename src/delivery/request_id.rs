//! request_id: the same id for the same team creates at most one connection.
//!
//! A claim is taken before anything is sent and kept in a [`Store`]. What it holds: who is at it,
//! whether the request may have been sent, and in the end the id of the connection. Never a
//! token, never a secret: the request is held as a hash keyed with the request id, and the id
//! itself is stored only as part of a hash, so that what the store holds cannot be searched for
//! a password.
//!
//! The token is no part of the key: a caller whose token was renewed between two tries is still
//! the same caller. Rights stay Chartbrew's to decide: every replay reads the row with the token
//! of the call at hand.
//!
//! ```text
//! (nothing) ── claim ──▶ Claimed ── sending ──▶ Sent ── created ──▶ Created ── complete ──▶ Complete
//!     ▲                     │                    │
//!     └──── release ────────┴─ release (refused) ┘   a holder that dies leaves Claimed or Sent:
//!                                                    Claimed is free again, Sent must be recovered
//! ```

mod memory;

use std::{fmt, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use self::memory::MemoryStore;
use super::Create;

/// How long a record is kept after it was last changed.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Where the claims of request ids are kept.
#[derive(Debug)]
pub enum Store {
    /// In this process: for a single gateway.
    Memory(MemoryStore),
}

/// The name of a record: a hash of upstream, team and request id.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

/// A hash of the request, keyed with the request id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// One holder of a claim: a call, not a process.
pub type Holder = Uuid;

/// What a call that claims a request id has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The claim is ours and nothing was sent for it.
    Run,
    /// The claim is ours. Its last holder sent the request that long ago and never learned what
    /// became of it: find out before anything else.
    Recover {
        /// How long ago it was sent.
        sent: Duration,
    },
    /// Somebody else is at it.
    Wait,
    /// It was created.
    Replay {
        /// The connection.
        id: i32,
        /// Whether the files that came with it were uploaded too.
        complete: bool,
    },
    /// The id was used for a different request.
    Mismatch,
}

/// The store could not be reached or gave an answer that makes no sense.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the request_id store cannot be used: {0}")]
pub struct StoreError(pub(super) String);

/// The names that a request with an id goes by.
#[derive(Clone)]
pub struct Identity {
    /// The record's name.
    pub key: Key,
    /// What was asked.
    pub fingerprint: Fingerprint,
}

// === impl Identity ===

impl Identity {
    /// Derives both names.
    #[must_use]
    pub fn new(upstream: &str, request_id: Uuid, create: &Create) -> Self {
        let mut key = Sha256::new();
        // Each part has a fixed length or is the last: no two different inputs look alike.
        key.update(request_id.as_bytes());
        key.update(create.team.to_be_bytes());
        key.update(upstream.as_bytes());

        let mut request = hmac(request_id.as_bytes());
        update_with_length(&mut request, create.body.json());
        for file in create.files.iter() {
            update_with_length(&mut request, file.field.as_bytes());
            update_with_length(&mut request, &file.bytes);
        }
        Self {
            key: Key(key.finalize().into()),
            fingerprint: Fingerprint(request.finalize().into_bytes().into()),
        }
    }
}

fn hmac(key: &[u8; 16]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..16].copy_from_slice(key);
    // A key of exactly one block, which HMAC takes as it is.
    Hmac::new(&block.into())
}

fn update_with_length(mac: &mut Hmac<Sha256>, bytes: &[u8]) {
    mac.update(&(bytes.len() as u64).to_be_bytes());
    mac.update(bytes);
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

// === impl Store ===

impl Store {
    /// Takes the claim if it is free.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn claim(&self, identity: &Identity, holder: Holder) -> Result<Next, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.claim(identity, holder)),
        }
    }

    /// Notes that the request is about to be sent. From now on it may exist upstream.
    ///
    /// # Errors
    /// If the store cannot be reached or the claim is no longer the holder's: do not send.
    pub async fn sending(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.sending(key, holder),
        }
    }

    /// Keeps the outcome.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn created(
        &self,
        key: &Key,
        holder: Holder,
        id: i32,
        complete: bool,
    ) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.created(key, holder, id, complete),
        }
    }

    /// Gives the claim up and forgets it: nothing was created.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn release(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.release(key, holder),
        }
    }

    /// Gives the claim up and keeps what is known: something may have been created.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn abandon(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.abandon(key, holder),
        }
    }

    /// Waits for a claim that somebody else holds to change.
    pub async fn changed(&self, key: &Key) {
        match self {
            Self::Memory(store) => store.changed(key).await,
        }
    }

    /// Whether a connection is not another request's answer.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn is_free(
        &self,
        team: i32,
        id: i32,
        owner: Option<&Key>,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.is_free(team, id, owner)),
        }
    }

    /// Marks a connection as the answer to a request. `false` if it is another's already; a
    /// request without an id is never the same as another.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn hand_out(
        &self,
        team: i32,
        id: i32,
        owner: Option<&Key>,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.hand_out(team, id, owner)),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}
