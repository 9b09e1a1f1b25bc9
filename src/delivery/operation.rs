//! One create as a task: who waits for it, until when, and for how long it goes on without them.

use std::sync::Arc;

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
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
    /// Nobody waits for it any more.
    caller_gone: CancellationToken,
}

/// A connection and where it came from.
pub(super) type Found = (Box<Connection>, Origin);

/// The permission to work for a caller: one of the calls in progress.
pub(super) type Permit = (OwnedSemaphorePermit, InFlight);

/// A caller that waits. Dropped, it has left.
struct Waiting<'a>(&'a CreateOperation);

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
            caller_gone: CancellationToken::new(),
            shared,
        })
    }

    /// Starts the protocol and waits for it until the deadline or the end of the grace period.
    pub(super) async fn wait(
        self: Arc<Self>,
        permit: Permit,
        protocol: impl Future<Output = Result<Found, Error>> + Send + 'static,
    ) -> Result<Found, Error> {
        let waiting = Waiting(&self);
        let work = telemetry::propagate(self.clone().work(permit, protocol));
        let work = self.shared.operations.spawn(work);
        let deadline = self.caller.deadline.instant();
        let result = tokio::select! {
            biased;
            result = work => result.unwrap_or_else(|_| Err(self.outcome_unknown(EndedBy::LostResponse, false))),
            () = sleep_until(deadline) => Err(self.stop_waiting(EndedBy::Deadline)),
            () = self.shared.grace_over.cancelled() => Err(self.stop_waiting(EndedBy::Shutdown)),
        };
        drop(waiting);
        result
    }

    /// The protocol, given up at some time after its caller is gone.
    async fn work(
        self: Arc<Self>,
        permit: Permit,
        protocol: impl Future<Output = Result<Found, Error>>,
    ) -> Result<Found, Error> {
        tokio::select! {
            biased;
            result = Box::pin(protocol) => result,
            () = self.given_up(permit) => Err(self.outcome_unknown(EndedBy::LostResponse, false)),
        }
    }

    /// Waits until the caller is gone, and then for as long as the work may still be of use. The
    /// permit is free again as soon as the caller is gone.
    async fn given_up(&self, permit: Permit) {
        self.caller_gone.cancelled().await;
        drop(permit);
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

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Self(operation) = self;
        // A request that was sent goes on: with a request id, the caller can ask for its outcome.
        // One that was not sent is of no use.
        operation.progress.stop();
        operation.caller_gone.cancel();
    }
}
