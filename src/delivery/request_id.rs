//! request_id: the same id for the same team creates at most one connection.
//!
//! A call claims its request id before it sends anything. The claim is a record in a [`Store`]: which
//! call holds it, whether the request may have been sent, and in the end the id of the connection.
//! The record has no token and no secret. The request is in it as a hash keyed with the request id,
//! and the id itself only as part of a hash, so that nobody who reads the store can search it for a
//! password.
//!
//! The token is no part of the key: a caller whose token was renewed between two calls is still the
//! same caller. Chartbrew decides what a caller may see: every replay reads the row with the token
//! of the call that repeats.
//!
//! | the record is | it becomes | if the holder dies, the next call with the id |
//! |---|---|---|
//! | not there | `Claimed`, by `claim` | |
//! | `Claimed` | `Sent`, by `sending`; or it is forgotten, by `release` | sends the request |
//! | `Sent` | `Created`, by `created`; or it is forgotten, by `release` (refused) | recovers the outcome |
//! | `Created` | complete, by `created` again when the files are uploaded | uploads the files |
//! | complete | forgotten after [`RETENTION`] | returns the connection, as any call does |

mod identity;
mod lease;
mod memory;
mod redis;

use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

pub use self::{
    identity::{Fingerprint, Identity, Key},
    lease::Lease,
    memory::MemoryStore,
    redis::{RedisSettings, RedisStore},
};

/// How long a record is kept after it was last changed.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// Where the claims of request ids are kept.
#[derive(Debug)]
pub enum Store {
    /// In this process: for a single gateway.
    Memory(MemoryStore),
    /// In Redis or Valkey: for several gateways.
    Redis(RedisStore),
}

/// Which store to use.
#[derive(Clone, Debug, Default)]
pub enum StoreSettings {
    /// [`Store::Memory`], the default.
    #[default]
    Memory,
    /// [`Store::Redis`].
    Redis(RedisSettings),
}

/// One holder of a claim: a call, not a process.
pub type Holder = Uuid;

/// What a call that claims a request id has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This call has the claim, and nothing was sent for it.
    Run,
    /// This call has the claim. The last holder sent the request that long ago and never learned
    /// its outcome: find it out before anything else.
    Recover {
        /// How long ago it was sent.
        sent: Duration,
    },
    /// Another call works for it.
    Wait {
        /// The connection, if it is there already and only its files are missing.
        created: Option<i32>,
    },
    /// It was created.
    Replay {
        /// The connection.
        id: i32,
        /// Whether the files that came with it were uploaded too. If not, the claim is ours: one
        /// call uploads at a time.
        complete: bool,
    },
    /// The id was used for a different request.
    Mismatch,
}

/// The store failed. The message contains neither its address nor its credentials.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached, or its response makes no sense.
    #[error("the request_id store cannot be used: {0}")]
    Unavailable(String),
    /// The claim is not, or no longer, the caller's.
    #[error("the claim is held by another call")]
    Lost,
}

/// A setting that describes no store. The message does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be memory, redis://[user:password@]host[:port][/database], or rediss:// so: {0}")]
pub struct InvalidStore(&'static str);

// === impl StoreSettings ===

impl StoreSettings {
    /// What it is made of, for the log: only one of them outlives the process.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis(_) => "redis",
        }
    }

    /// Reads `memory` or the URL of a Redis or Valkey.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidStore> {
        match text.trim() {
            "memory" => Ok(Self::Memory),
            url => RedisSettings::parse(url).map(Self::Redis),
        }
    }
}

// === impl Store ===

// What waits for Redis is boxed: otherwise each create would hold the memory of it, also without one.

impl Store {
    /// Whether what is kept outlives this process.
    #[must_use]
    pub fn outlives_process(&self) -> bool {
        matches!(self, Self::Redis(_))
    }

    /// Opens the store for the connections of one Chartbrew. Does not wait for it to be reached.
    ///
    /// # Errors
    /// If the settings cannot work.
    ///
    /// # Panics
    /// Outside a tokio runtime: a task of its own watches over the connection.
    pub fn open(settings: &StoreSettings, upstream: &str) -> Result<Self, StoreError> {
        Ok(match settings {
            StoreSettings::Memory => Self::Memory(MemoryStore::default()),
            StoreSettings::Redis(settings) => Self::Redis(RedisStore::open(settings, upstream)?),
        })
    }

    /// Takes the claim if it is free, or if its holder has died.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn claim(&self, identity: &Identity, holder: Holder) -> Result<Next, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.claim(identity, holder)),
            Self::Redis(store) => Box::pin(store.claim(identity, holder)).await,
        }
    }

    /// Keeps a claim from being taken for a dead holder's, for as long as the response is held.
    pub fn lease(&self, key: &Key, holder: Holder) -> Lease {
        match self {
            // What holds a claim in this process cannot die without it.
            Self::Memory(_) => Lease::endless(),
            Self::Redis(store) => store.lease(key, holder),
        }
    }

    /// Notes that the request is about to be sent. From now on it may exist upstream.
    ///
    /// # Errors
    /// If the store cannot be reached or the claim is no longer the holder's: do not send.
    pub async fn sending(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.sending(key, holder),
            Self::Redis(store) => Box::pin(store.sending(key, holder)).await,
        }
    }

    /// Keeps the outcome. The claim goes on until the files are uploaded too (`complete`). Of a
    /// connection that is kept already, anybody may report that they were.
    ///
    /// # Errors
    /// If the store cannot be reached or another outcome is kept.
    pub async fn created(
        &self,
        key: &Key,
        holder: Holder,
        id: i32,
        complete: bool,
    ) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.created(key, holder, id, complete),
            Self::Redis(store) => Box::pin(store.created(key, holder, id, complete)).await,
        }
    }

    /// Gives the claim up and forgets it: nothing was created.
    ///
    /// # Errors
    /// If the store cannot be reached or the claim is no longer the holder's.
    pub async fn release(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.release(key, holder),
            Self::Redis(store) => Box::pin(store.release(key, holder)).await,
        }
    }

    /// Gives the claim up and keeps what is known: something may have been created, if the request
    /// was sent.
    ///
    /// # Errors
    /// If the store cannot be reached or the claim is no longer the holder's.
    pub async fn abandon(&self, key: &Key, holder: Holder) -> Result<(), StoreError> {
        match self {
            Self::Memory(store) => store.abandon(key, holder),
            Self::Redis(store) => Box::pin(store.abandon(key, holder)).await,
        }
    }

    /// Waits for a claim that somebody else holds to change. Returns at once if nobody holds it,
    /// or if the store cannot be reached: the next claim shows which.
    pub async fn changed(&self, key: &Key) {
        match self {
            Self::Memory(store) => store.changed(key).await,
            Self::Redis(store) => Box::pin(store.changed(key)).await,
        }
    }

    /// Whether a connection is not another create's, as far as other gateways have noted.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn is_free(&self, team: i32, id: i32, owner: &Key) -> Result<bool, StoreError> {
        match self {
            // There are no other gateways.
            Self::Memory(_) => Ok(true),
            Self::Redis(store) => Box::pin(store.is_free(team, id, owner)).await,
        }
    }

    /// Notes for other gateways that a connection is this create's. `false` if it is another's
    /// already. A create without a request id goes by a key of its own.
    ///
    /// # Errors
    /// If the store cannot be reached.
    pub async fn assign(&self, team: i32, id: i32, owner: &Key) -> Result<bool, StoreError> {
        match self {
            Self::Memory(_) => Ok(true),
            Self::Redis(store) => Box::pin(store.assign(team, id, owner)).await,
        }
    }

    /// Whether the store can be reached, as it changes.
    #[must_use]
    pub fn watch_reachable(&self) -> watch::Receiver<bool> {
        match self {
            Self::Memory(_) => watch::channel(true).1,
            Self::Redis(store) => store.watch_reachable(),
        }
    }

    /// Whether it is time to log again that the store cannot be reached, where that fails no call.
    pub(super) fn should_log(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Redis(store) => store.should_log(),
        }
    }
}
