//! What "at most once, and nothing lost" means.
//!
//! Stands between the edge, which knows gRPC, and the client, which knows REST; it knows neither.
//! It decides what may be sent again by what is known of an attempt's outcome alone:
//!
//! | what happened | known | what is done |
//! |---|---|---|
//! | could not connect, circuit open | nothing created | retry while deadline and budget allow, then [`Error::Unavailable`] |
//! | 429, 503 | nothing created | retry after `Retry-After` or backoff, then [`Error::RateLimited`] or [`Error::Unavailable`] |
//! | 400, 401, 403, 404, 409, 413 | nothing created | no retry: [`Error::Rejected`] |
//! | the request was written and no whole, readable answer came; 500, 502, 504 | **unknown** | look for it ([`recovery`]); never sent again |
//! | the caller went away, with a request id | unknown | the work goes on and its outcome is kept |
//!
//! Every attempt runs in a task of its own: a caller that hangs up drops its handler, never a POST
//! in flight. [`Delivery::drain`] waits for those tasks.

mod attempt;
mod backoff;
mod breaker;
mod create;
mod deadline;
mod error;
mod files;
mod lists;
mod recovery;
pub mod request_id;
mod retry;
mod twins;

use std::{
    sync::{Arc, OnceLock, atomic::AtomicU32},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::retry::budget::TpsBudget;
use uuid::Uuid;

pub use self::{
    backoff::Backoff,
    breaker::{BreakerSettings, Circuit},
    deadline::Deadline,
    error::{Error, Unavailable},
};
use self::{
    breaker::Breaker,
    lists::Lists,
    request_id::{Identity, Key, Store},
    twins::Twins,
};
use crate::{
    chartbrew::{
        Client, Token,
        types::{Connection, CreateBody, Files},
    },
    telemetry::InFlight,
};

/// The rules' numbers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often a request is sent at most, the first time included. Default 3.
    pub attempts: u32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// Retries allowed for each call, as a share. Default 0.2 (Finagle's and linkerd's number).
    pub retry_ratio: f32,
    /// Retries allowed a second whatever the share. Default 10.
    pub retries_per_second: u32,
    /// When the circuit opens.
    pub breaker: BreakerSettings,
    /// Calls under way at once, work that outlives its caller included. Default 1,024.
    pub max_in_flight: usize,
    /// How long a connection is looked for whose creation was not answered. Default 30 s.
    pub recovery_window: Duration,
    /// How long an attempt goes on when its caller is gone. Default 120 s.
    pub abandoned_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Backoff::default(),
            retry_ratio: 0.2,
            retries_per_second: 10,
            breaker: BreakerSettings::default(),
            max_in_flight: 1024,
            recovery_window: Duration::from_secs(30),
            abandoned_after: Duration::from_secs(120),
        }
    }
}

/// Who asks, and until when.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token that the request is sent with.
    pub token: Token,
    /// When the answer is due.
    pub deadline: Deadline,
    /// The caller, or a mesh before it, is trying again already: its call earns no retries.
    pub is_retry: bool,
    /// Counts how often the request is sent, as it happens: whoever gives the call up can still
    /// tell.
    pub attempts: Arc<AtomicU32>,
}

/// A connection to create.
#[derive(Clone, Debug)]
pub struct Create {
    /// The team that will own it.
    pub team: i32,
    /// The REST body.
    pub body: CreateBody,
    /// Makes the call safe to repeat.
    pub request_id: Option<Uuid>,
    /// Uploaded once it was created.
    pub files: Files,
}

/// How a call ended.
#[derive(Debug)]
pub struct Delivered {
    /// The connection, or why there is none.
    pub result: Result<Box<Connection>, Error>,
    /// Where the answer comes from.
    pub origin: Origin,
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Chartbrew answered this call.
    Answered,
    /// The answer was lost and the connection was found by looking for it.
    Recovered,
    /// An earlier call with the same request id created it.
    Replayed,
}

/// See the module's docs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Delivery {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    client: Client,
    /// Names the upstream in request id records, so that gateways of several can share a store.
    upstream: String,
    budget: TpsBudget,
    breaker: Breaker,
    in_flight: Arc<Semaphore>,
    store: Store,
    twins: Arc<Twins>,
    lists: Lists,
    tasks: TaskTracker,
    /// Ends the attempts whose outcome nobody can ask for.
    stopping: CancellationToken,
}

/// One call at work. Whoever works for it, also after the caller is gone, holds it.
#[derive(Debug)]
struct Job {
    shared: Arc<Shared>,
    caller: Caller,
    create: Create,
    /// The names of the request in the store, if it has an id.
    identity: Option<Identity>,
    /// Marks the rows that are this call's: the identity's key, or one like no other.
    owner: Key,
    /// The connection, once it is known, and whether its files are still to be uploaded.
    created: OnceLock<(i32, bool)>,
    _permit: OwnedSemaphorePermit,
    _in_flight: InFlight,
}

// === impl Delivery ===

impl Delivery {
    /// Puts the rules to work on a client.
    #[must_use]
    pub fn new(settings: Settings, client: Client, upstream: String, store: Store) -> Self {
        const BUDGET_WINDOW: Duration = Duration::from_secs(10);
        let budget = TpsBudget::new(
            BUDGET_WINDOW,
            settings.retries_per_second,
            settings.retry_ratio,
        );
        let shared = Shared {
            budget,
            breaker: Breaker::new(settings.breaker),
            in_flight: Arc::new(Semaphore::new(settings.max_in_flight)),
            store,
            twins: Arc::default(),
            lists: Lists::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            client,
            upstream,
            settings,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Creates a connection: once, or not at all, or says that it is not known.
    pub async fn create(&self, caller: Caller, create: Create) -> Delivered {
        let Ok(permit) = self.shared.in_flight.clone().try_acquire_owned() else {
            return Delivered {
                result: Err(Error::Overloaded),
                origin: Origin::Answered,
            };
        };
        let name = |id| Identity::new(&self.shared.upstream, id, &create);
        let identity = create.request_id.map(name);
        let job = Arc::new(Job {
            shared: self.shared.clone(),
            caller,
            owner: identity
                .as_ref()
                .map_or_else(Key::unique, |identity| identity.key.clone()),
            identity,
            create,
            created: OnceLock::new(),
            _permit: permit,
            _in_flight: InFlight::begin(),
        });
        let result = match &job.identity {
            None => job.create_once().await,
            Some(identity) => job.create_by_id(identity).await,
        };
        let (result, origin) = match result {
            Ok((connection, origin)) => (Ok(connection), origin),
            Err(error) => (Err(error), Origin::Answered),
        };
        Delivered { result, origin }
    }

    /// How long an open circuit waits before it lets a call through as a probe.
    #[must_use]
    pub fn probe_after(&self) -> Duration {
        self.shared.settings.breaker.probe_after
    }

    /// Where the circuit to Chartbrew stands, as it changes.
    #[must_use]
    pub fn watch_circuit(&self) -> tokio::sync::watch::Receiver<Circuit> {
        self.shared.breaker.watch()
    }

    /// Whether the store of request ids can be reached, as it changes.
    #[must_use]
    pub fn watch_store(&self) -> tokio::sync::watch::Receiver<bool> {
        self.shared.store.watch_reachable()
    }

    /// Waits for the work that goes on after its callers are gone, so that its outcome is kept.
    /// Attempts without a request id are broken off: nobody can ask for theirs. Stop the server
    /// first.
    pub async fn drain(&self) {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}
