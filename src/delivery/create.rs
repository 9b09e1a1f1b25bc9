//! Create, as its caller asked for it: plain, or with a request id.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{
    Error, Job, Origin,
    recovery::Sent,
    request_id::{Holder, Identity, Lease, Next, Store},
    retry::{Found, retry_cause},
};
use crate::{
    chartbrew::{self, Unknown, types::Connection},
    telemetry::{self, Event},
};

impl Job {
    /// Without a request id nobody can ask again: all ends with the caller's deadline.
    pub(super) async fn create_once(self: &Arc<Self>) -> Result<Found, Error> {
        let patience = self.caller.deadline.instant();
        let (created, origin) = self.send(patience, None).await?;
        Ok((self.upload(created, patience).await?, origin))
    }

    /// With a request id the work goes on when the caller goes away, and its outcome is kept.
    pub(super) async fn create_by_id(
        self: &Arc<Self>,
        identity: &Identity,
    ) -> Result<Found, Error> {
        let deadline = self.caller.deadline.instant();
        let answer = timeout_at(deadline, self.claim_and_work(identity)).await;
        answer.unwrap_or_else(|_| match self.created.get() {
            // Only the files are not there yet, or the row could not be read in time.
            Some((connection_id, files)) => {
                let connection_id = *connection_id;
                let cause = Box::new(chartbrew::Error::Unknown(Unknown::NoAnswer));
                Err(match files {
                    true => Error::FilesNotUploaded {
                        connection_id,
                        cause,
                    },
                    false => Error::NotReadable {
                        connection_id,
                        cause,
                    },
                })
            }
            None => Err(self.outcome_unknown()),
        })
    }

    async fn claim_and_work(self: &Arc<Self>, identity: &Identity) -> Result<Found, Error> {
        loop {
            let holder = Uuid::new_v4();
            let claim = || Claim {
                job: self.clone(),
                identity: identity.clone(),
                holder,
                recovers: false,
                settled: false,
                _lease: self.shared.store.lease(&identity.key, holder),
            };
            let asked = Instant::now();
            match self.shared.store.claim(identity, holder).await? {
                Next::Run => return claim().work(None).await,
                Next::Recover { sent } => {
                    let sent = Sent {
                        // Before the question, so that it is never later than it was.
                        known: asked,
                        before: sent,
                        cause: Unknown::NoAnswer,
                    };
                    return claim().work(Some(sent)).await;
                }
                Next::Wait => self.shared.store.changed(&identity.key).await,
                Next::Replay { id, complete: true } => {
                    self.created.get_or_init(|| (id, false));
                    let row = self.read(id).await?;
                    telemetry::record(Event::Replay);
                    return Ok((row, Origin::Replayed));
                }
                Next::Replay {
                    id,
                    complete: false,
                } => return self.complete(identity, holder, id).await,
                Next::Mismatch => return Err(Error::RequestIdReused),
            }
        }
    }

    /// Uploads the files to what an earlier call created. They are this call's too: its
    /// fingerprint is that of the call before it.
    async fn complete(
        self: &Arc<Self>,
        identity: &Identity,
        holder: Holder,
        id: i32,
    ) -> Result<Found, Error> {
        let row = self.read(id).await?;
        let row = self.upload(row, self.caller.deadline.instant()).await?;
        let noted = self.shared.store.created(&identity.key, holder, id, true);
        if let Err(error) = noted.await {
            tracing::warn!(%error, "cannot note that files were uploaded; they will be again");
        }
        telemetry::record(Event::Replay);
        Ok((row, Origin::Replayed))
    }

    /// What an earlier call created, read with the rights of this one.
    async fn read(&self, id: i32) -> Result<Box<Connection>, Error> {
        let settings = &self.shared.settings;
        let (token, team) = (&self.caller.token, self.create.team);
        let mut attempt = 1;
        loop {
            let get = self.shared.client.get(token, team, id);
            let error = match telemetry::resent(attempt - 1, get).await {
                Ok(answer) => return Ok(Box::new(answer.body)),
                Err(error) => error,
            };
            let wait = settings.backoff.wait(attempt, fastrand::f64());
            let again = attempt < settings.attempts && error.may_pass();
            if !again || !self.caller.deadline.allows(wait) {
                return Err(Error::NotReadable {
                    connection_id: id,
                    cause: Box::new(error),
                });
            }
            telemetry::record(Event::Retry {
                cause: retry_cause(&error),
                attempts: attempt,
                wait,
            });
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }
}

/// A claim that is ours. Dropped without a settlement (a panic), it is kept as unclear.
struct Claim {
    job: Arc<Job>,
    identity: Identity,
    holder: Holder,
    /// The request was sent by an earlier holder: nothing that is found out later proves that it
    /// was not.
    recovers: bool,
    settled: bool,
    /// Others take the claim for a dead holder's if it is not renewed.
    _lease: Lease,
}

impl Claim {
    /// Does the work in a task of its own and waits for it.
    async fn work(mut self, lost: Option<Sent>) -> Result<Found, Error> {
        self.recovers = lost.is_some();
        let tasks = self.job.shared.tasks.clone();
        let unknown = self.job.clone();
        let task = tasks.spawn(telemetry::carry(async move {
            let mut claim = self;
            let result = claim.create(lost).await;
            claim.settle(&result).await;
            result
        }));
        task.await
            .unwrap_or_else(|_| Err(unknown.outcome_unknown()))
    }

    async fn create(&self, lost: Option<Sent>) -> Result<Found, Error> {
        let job = &self.job;
        let patience = job.caller.deadline.instant();
        let patience = patience.max(Instant::now() + job.shared.settings.abandoned_after);
        let (created, origin) = match lost {
            Some(sent) => job.recover_now(sent, patience).await?,
            None => job.send(patience, Some(self.holder)).await?,
        };
        let complete = job.create.files.is_empty();
        self.note_created(created.id, complete).await;
        let uploaded = job.upload(created, patience).await?;
        if !complete {
            self.note_created(uploaded.id, true).await;
        }
        Ok((uploaded, origin))
    }

    async fn note_created(&self, id: i32, complete: bool) {
        let noted = self
            .store()
            .created(&self.identity.key, self.holder, id, complete)
            .await;
        if let Err(error) = noted {
            tracing::warn!(%error, "cannot keep the outcome of a request id; it can be recovered");
        }
    }

    async fn settle(&mut self, result: &Result<Found, Error>) {
        self.settled = true;
        let (store, key) = (self.store(), &self.identity.key);
        let kept = match result {
            Ok(_) | Err(Error::FilesNotUploaded { .. }) => Ok(()),
            Err(error) if !self.recovers && error.proves_that_nothing_was_created() => {
                store.release(key, self.holder).await
            }
            Err(_) => store.abandon(key, self.holder).await,
        };
        if let Err(error) = kept {
            tracing::warn!(%error, "cannot give up the claim of a request id; it will expire");
        }
    }

    fn store(&self) -> &Store {
        &self.job.shared.store
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        // Without a runtime the process is ending, and what is held lapses or ends with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (job, identity, holder) = (self.job.clone(), self.identity.clone(), self.holder);
        let tasks = self.job.shared.tasks.clone();
        let abandoned = tasks.track_future(async move {
            // What cannot be given up expires with the holder's lease.
            drop(job.shared.store.abandon(&identity.key, holder).await);
        });
        runtime.spawn(abandoned);
    }
}
