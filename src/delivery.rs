//! Delivers an operation to Chartbrew: what may be repeated, what must not be, and what its caller
//! gets.
//!
//! It is between `grpc` and `chartbrew`, and knows neither gRPC nor REST. In the order in which a
//! create uses them:
//!
//! | module | what it has |
//! |---|---|
//! | [`operation`] | a create: who waits for it and for how long; [`progress`] is what is known then |
//! | [`create`] | the steps of a create |
//! | [`claim`], [`request_id`] | the right to work for a request id, and where it is stored |
//! | [`repeat`] | the loop of attempts: [`breaker`], [`backoff`]; [`effect`] says what may be repeated |
//! | [`recovery`] | the search for the row of a create whose response was lost; [`lists`], [`clock`] |
//! | [`identical`] | which row belongs to which of several identical creates |
//! | [`upload`], [`turns`] | the files of a connection, one call after the other |
//! | [`abandoned`] | the creates that go on although their callers have left |
//!
//! All other operations are in [`resource`], with [`source_tests`].
//!
//! A caller waits for its operation until its deadline, and gets what is known then; the operation
//! goes on where its outcome is still of use ([`operation`]). [`Delivery::drain`] waits for it.

mod abandoned;
mod backoff;
mod breaker;
mod claim;
mod clock;
mod create;
mod deadline;
mod effect;
mod error;
mod identical;
mod lists;
mod operation;
mod progress;
mod recovery;
mod repeat;
pub mod request_id;
mod resource;
mod source_tests;
mod turns;
mod upload;

use std::{
    future::{Future, ready},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::Either};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::retry::budget::TpsBudget;

use self::{
    abandoned::Abandoned,
    breaker::Breaker,
    identical::IdenticalCreates,
    lists::Lists,
    operation::{CreateOperation, Found},
    request_id::Store,
    source_tests::SourceTests,
    turns::Turns,
};
pub use self::{
    backoff::Backoff,
    breaker::BreakerSettings,
    deadline::Deadline,
    effect::{Effect, Operation},
    error::{EndedBy, Error, SentBy, Unavailable},
};
use crate::{
    chartbrew::{
        Client, Token,
        types::{Connection, Create},
    },
    telemetry::{CircuitState, InFlight},
};

/// The settings of delivery.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often a request is sent at most, including the first time.
    pub attempts: u32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// Retries allowed for each call, as a share from 0 to 1.
    pub retry_ratio: f32,
    /// Retries allowed each second, even if the share allows no more.
    pub retries_per_second: u32,
    /// When the circuit opens.
    pub breaker: BreakerSettings,
    /// Calls in progress at the same time.
    pub max_in_flight: usize,
    /// How long a connection is searched for if the response to its creation was lost.
    pub recovery_window: Duration,
    /// How long the response to a create with a request id is waited for when its caller has left.
    /// (Without an id nobody can ask for it: then [`recovery_window`](Self::recovery_window) is the
    /// limit.)
    pub abandoned_after: Duration,
    /// Creates that go on at the same time although their callers have left. If there are more, the
    /// oldest one is given up.
    pub max_abandoned: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts: 3,
            backoff: Backoff::default(),
            // As in Finagle and linkerd.
            retry_ratio: 0.2,
            retries_per_second: 10,
            breaker: BreakerSettings::default(),
            max_in_flight: 1024,
            recovery_window: Duration::from_secs(30),
            abandoned_after: Duration::from_secs(3600),
            max_abandoned: 1024,
        }
    }
}

/// The caller of an operation, and its deadline.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token that the request is sent with.
    pub token: Token,
    /// When the response is due.
    pub deadline: Deadline,
    /// The caller, or a mesh before it, retries by itself: its call adds nothing to the retry
    /// budget.
    pub is_retry: bool,
    /// How often the request was sent. It is counted at once, so that it is known
    /// also to a caller that stops waiting.
    pub attempts: Arc<AtomicU32>,
}

// === impl Caller ===

impl Caller {
    /// The token, to send a request with it that counts as an attempt.
    fn token_to_send(&self) -> &Token {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        &self.token
    }

    /// The same caller, for requests that are not counted as attempts of its call.
    fn uncounted(&self) -> Self {
        Self {
            attempts: Arc::default(),
            ..self.clone()
        }
    }
}

/// How a create ended.
#[derive(Debug)]
pub struct Delivered {
    /// The connection, or why there is none.
    pub result: Result<Box<Connection>, Error>,
    /// Where the connection comes from.
    pub origin: Origin,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Chartbrew's response to this call.
    Response,
    /// The response was lost and the connection was found by looking for it.
    Recovered,
    /// An earlier call with the same request id created it.
    Replayed,
}

impl From<Result<Found, Error>> for Delivered {
    fn from(result: Result<Found, Error>) -> Self {
        match result {
            Ok((connection, origin)) => Self {
                result: Ok(connection),
                origin,
            },
            Err(error) => Self {
                result: Err(error),
                origin: Origin::Response,
            },
        }
    }
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
    identical: Arc<IdenticalCreates>,
    lists: Lists,
    abandoned: Abandoned,
    source_tests: SourceTests,
    /// Whose files are being uploaded to which connection.
    uploads: Turns,
    operations: TaskTracker,
    /// The gateway is stopping: operations whose outcome nobody can ask for end.
    stopping: CancellationToken,
    /// The grace period is over: every caller gets a status, and every operation ends that can.
    grace_over: CancellationToken,
}

// === impl Delivery ===

impl Delivery {
    /// Applies the rules to a client.
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
            identical: Arc::default(),
            lists: Lists::default(),
            abandoned: Abandoned::new(settings.max_abandoned),
            source_tests: SourceTests::default(),
            uploads: Turns::default(),
            operations: TaskTracker::new(),
            stopping: CancellationToken::new(),
            grace_over: CancellationToken::new(),
            client,
            upstream,
            settings,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Creates a connection: once, or not at all, or says that it is not known. Nothing is sent
    /// before the returned future is polled.
    pub fn create(
        &self,
        caller: Caller,
        create: Create,
    ) -> impl Future<Output = Delivered> + Send + use<> {
        // Not an `async fn`: the future would keep its arguments' places for as long as it waits.
        let admitted = match self.shared.in_flight.clone().try_acquire_owned() {
            Err(_) => Err(Error::Overloaded),
            Ok(permit) => {
                let permit = (permit, InFlight::begin());
                let operation = CreateOperation::new(self.shared.clone(), caller, create);
                let protocol = Box::pin(operation.clone().run());
                Ok(operation.wait(permit, protocol))
            }
        };
        match admitted {
            Ok(waiting) => Either::Left(waiting.map(Delivered::from)),
            Err(error) => Either::Right(ready(Err(error).into())),
        }
    }

    /// The state of the circuit to Chartbrew, as it changes.
    #[must_use]
    pub fn watch_circuit(&self) -> tokio::sync::watch::Receiver<CircuitState> {
        self.shared.breaker.watch()
    }

    /// Whether the store of request ids can be reached, as it changes.
    #[must_use]
    pub fn watch_store(&self) -> tokio::sync::watch::Receiver<bool> {
        self.shared.store.watch_reachable()
    }

    /// Whether a call can be repeated with its request id after this process has ended.
    #[must_use]
    pub fn ids_outlive_process(&self) -> bool {
        self.shared.store.outlives_process()
    }

    /// Ends with the grace period.
    #[must_use]
    pub fn grace_over(&self) -> CancellationToken {
        self.shared.grace_over.clone()
    }

    /// The grace period is over: every call that is still open ends with what is known of it.
    pub fn end_grace(&self) {
        self.shared.grace_over.cancel();
    }

    /// Waits for the work that goes on after its callers are gone, so that its outcome is kept.
    /// Operations without a request id that outlives the process end: nobody can ask for theirs.
    /// What must not be cut off is waited for also when the time is over. Stop the server first.
    /// Returns whether all work has ended in time.
    pub async fn drain(&self, until: Instant) -> bool {
        let Shared {
            operations,
            stopping,
            client,
            ..
        } = &*self.shared;
        stopping.cancel();
        operations.close();
        if !operations.is_empty() {
            let operations = operations.len();
            tracing::info!(
                operations,
                "waiting for requests that must not be cut off or whose outcome must be kept"
            );
        }
        let all = async {
            operations.wait().await;
            // Last: what an operation has begun can outlast it.
            client.finish().await;
        };
        let mut all = std::pin::pin!(all);
        let in_time = timeout_at(until, &mut all).await.is_ok();
        self.end_grace();
        if !in_time {
            all.await;
        }
        in_time
    }
}
