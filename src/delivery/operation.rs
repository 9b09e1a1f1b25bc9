//! One create: who waits for it, until when, and for how long it goes on without them.
//!
//! While its caller waits, an operation runs within the caller's own task: no other is started, and
//! nothing is copied from one to the other. When the caller stops waiting, what is left of it moves
//! to a task of its own.

use std::{
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use tokio::{
    runtime::Handle,
    sync::OwnedSemaphorePermit,
    time::{sleep, sleep_until},
};
use tower::retry::budget::Budget;

use super::{
    Caller, EndedBy, Error, Origin, SentBy, Shared,
    identical::Entry,
    progress::{Progress, ProgressCell},
    request_id::{Identity, Key},
};
use crate::{
    chartbrew::types::{Connection, Create},
    telemetry::{self, InFlight},
};

/// One create, from its claim to its outcome. Its protocol is in
/// [`create`](super::create).
#[derive(Debug)]
pub(super) struct CreateOperation {
    pub(super) shared: Arc<Shared>,
    pub(super) caller: Caller,
    pub(super) create: Create,
    /// The names of the request in the store, if it has an id.
    pub(super) identity: Option<Identity>,
    /// Marks the rows that are this create's: the identity's key, or one like no other.
    pub(super) owner: Key,
    pub(super) progress: ProgressCell,
}

/// A connection and where it came from.
pub(super) type Found = (Box<Connection>, Origin);

/// The permission to work for a caller: one of the calls in progress.
pub(super) type Permit = (OwnedSemaphorePermit, InFlight);

/// What an operation does, from its first step to its outcome.
type Work = Pin<Box<dyn Future<Output = Result<Found, Error>> + Send>>;

/// A caller that waits. Dropped, it has left.
struct Waiting {
    operation: Arc<CreateOperation>,
    /// `None`: it has ended.
    work: Option<Work>,
    _permit: Permit,
}

// === impl CreateOperation ===

impl CreateOperation {
    pub(super) fn new(shared: Arc<Shared>, caller: Caller, create: Create) -> Arc<Self> {
        if !caller.is_retry {
            shared.budget.deposit();
        }
        let name = |id| Identity::new(&shared.upstream, id, &create);
        let identity = create.request_id.map(name);
        let key = identity.as_ref().map(|identity| identity.key.clone());
        Arc::new(Self {
            owner: key.unwrap_or_else(Key::unique),
            caller,
            create,
            progress: ProgressCell::new(match identity.is_some() {
                true => Progress::Unclaimed,
                false => Progress::Nothing,
            }),
            identity,
            shared,
        })
    }

    /// Does the work until it ends, or its caller's deadline or the grace period does. From then
    /// on, or if this is dropped, a task of its own goes on with it.
    pub(super) fn wait(
        self: Arc<Self>,
        permit: Permit,
        protocol: Work,
    ) -> impl Future<Output = Result<Found, Error>> + Send {
        let work = self.clone().work(telemetry::propagate(protocol));
        let mut waiting = Waiting {
            work: Some(Box::pin(self.shared.operations.track_future(work))),
            operation: self,
            _permit: permit,
        };
        async move {
            let operation = waiting.operation.clone();
            tokio::select! {
                biased;
                result = poll_fn(|cx| waiting.poll(cx)) => result,
                () = sleep_until(operation.caller.deadline.instant()) => {
                    Err(operation.stop_waiting(EndedBy::Deadline))
                }
                () = operation.shared.grace_over.cancelled() => {
                    Err(operation.stop_waiting(EndedBy::Shutdown))
                }
            }
        }
    }

    /// The protocol. A panic in it says nothing of its outcome.
    async fn work(
        self: Arc<Self>,
        protocol: impl Future<Output = Result<Found, Error>>,
    ) -> Result<Found, Error> {
        let result = AssertUnwindSafe(protocol).catch_unwind().await;
        result.unwrap_or_else(|_| Err(self.outcome_unknown(EndedBy::LostResponse, false)))
    }

    /// Goes on with the work when the caller is gone, for as long as it may still be of use.
    async fn outlive_caller(self: Arc<Self>, work: Work) {
        let settings = &self.shared.settings;
        let has_id = self.identity.is_some();
        let limit = match has_id {
            true => settings.abandoned_after,
            false => settings.recovery_window,
        };
        // An id that this process keeps is of no use to anybody once the process has ended.
        let is_kept = has_id && self.shared.store.outlives_process();
        let member = self.shared.abandoned.enter();
        tokio::select! {
            biased;
            _ = work => {}
            () = sleep(limit) => {}
            () = member.given_up() => {}
            () = self.shared.grace_over.cancelled() => {}
            () = self.shared.stopping.cancelled(), if !is_kept => {}
        }
    }

    /// What the caller gets when it stops waiting.
    fn stop_waiting(&self, ended_by: EndedBy) -> Error {
        let cause = || Box::new(Error::StillUnderWay);
        match self.progress.stop() {
            Progress::Nothing => Error::too_late(),
            Progress::Unclaimed => Error::Unclaimed,
            Progress::Earlier | Progress::Sending(_) | Progress::Sent => {
                self.outcome_unknown(ended_by, false)
            }
            Progress::Created(connection_id) => Error::NotReadable {
                connection_id,
                cause: cause(),
            },
            Progress::FilesMissing(connection_id) => Error::FilesNotUploaded {
                connection_id,
                cause: cause(),
            },
        }
    }

    pub(super) fn outcome_unknown(&self, ended_by: EndedBy, long_ago: bool) -> Error {
        Error::OutcomeUnknown {
            sent_by: match self.progress.is_earlier() {
                true => SentBy::EarlierCall,
                false => SentBy::ThisCall,
            },
            ended_by,
            long_ago,
        }
    }

    pub(super) fn enter(&self) -> Entry {
        let (team, body) = (self.create.team, self.create.body.json());
        let is_kept = self.identity.is_some();
        self.shared
            .identical
            .enter(team, body, &self.owner, is_kept)
    }

    /// Notes that a connection is this create's, so that no recovery takes it for another's.
    /// `false` if it is another's already.
    pub(super) async fn assign(&self, entry: &Entry, id: i32) -> bool {
        let store = &self.shared.store;
        let assigned = store.assign(self.create.team, id, &self.owner).await;
        let is_free_elsewhere = assigned.unwrap_or_else(|error| {
            if store.should_log() {
                tracing::warn!(%error, "cannot note whose a connection is");
            }
            true
        });
        // Last, since it ends this create's place among those whose outcome is open.
        is_free_elsewhere && entry.assign(id)
    }
}

// === impl Waiting ===

impl Waiting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Found, Error>> {
        let Some(work) = &mut self.work else {
            return Poll::Pending;
        };
        let result = work.as_mut().poll(cx);
        if result.is_ready() {
            self.work = None;
        }
        result
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        // A request that was sent goes on: with a request id, the caller can ask for its outcome.
        // One that was not sent is of no use.
        self.operation.progress.stop();
        // Without a runtime the process is about to end.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(self.operation.clone().outlive_caller(work));
        }
    }
}
