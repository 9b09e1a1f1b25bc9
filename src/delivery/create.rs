//! The protocol of a create: claim → send → response, or recovery → record → files.
//!
//! No caller, deadline or shutdown drops it while a request is under way that must not be cut off
//! (see [`operation`](super::operation)). [`Progress`] decides what the caller gets when it stops
//! waiting.
//!
//! The steps that few creates take are boxed: otherwise each create that waits would hold the memory
//! of all of them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{
    Error, Origin,
    claim::Claim,
    clock::Began,
    effect::{Effect, Failure},
    identical::Entry,
    operation::{CreateOperation, Found},
    progress::Progress,
    recovery::Sent,
    request_id::{Identity, Next},
};
use crate::{
    chartbrew::{
        self, SendState, Unknown,
        types::{Connection, ConnectionRef},
    },
    telemetry::{self, Event, RecoveryResult},
};

/// What is kept of the time to look for a row whose response does not come: a quarter, at most
/// this.
const LONGEST_RESERVE: Duration = Duration::from_secs(3);

/// What a request id says of a create.
enum Claimed {
    /// Nothing was sent for it.
    Unsent(Arc<Claim>),
    /// An earlier call sent it and never learned its outcome.
    Lost(Arc<Claim>, Began),
    /// An earlier call created this connection. A claim: files are missing.
    Created(i32, Option<Arc<Claim>>),
}

impl CreateOperation {
    /// The protocol, from the first step to the last.
    pub(super) async fn run(self: Arc<Self>) -> Result<Found, Error> {
        if let Some(identity) = &self.identity {
            return Box::pin(self.run_with_id(identity)).await;
        }
        let entry = Arc::new(self.enter());
        let (created, origin) = self.send(&entry, None).await?;
        Ok((self.upload(created, None).await?, origin))
    }

    async fn run_with_id(self: &Arc<Self>, identity: &Identity) -> Result<Found, Error> {
        let (claim, found) = match self.claim(identity).await? {
            Claimed::Unsent(claim) => {
                let entry = Arc::new(self.enter());
                let found = self.send(&entry, Some(&claim)).await;
                if found
                    .as_ref()
                    .is_err_and(Error::proves_that_nothing_was_created)
                {
                    claim.release().await;
                }
                (claim, found?)
            }
            Claimed::Lost(claim, began) => {
                let entry = self.enter();
                let cause = Unknown::NoResponse;
                let found = self.recover(&entry, Sent { began, cause }).await?;
                (claim, found)
            }
            Claimed::Created(id, claim) => return self.replay(id, claim).await,
        };
        let (created, origin) = found;
        let is_complete = self.create.files.is_empty();
        claim.created(created.id, is_complete).await;
        Ok((self.upload(created, Some(claim)).await?, origin))
    }

    // === claim ===

    /// Waits until this call has the claim on the request id, or the id has an outcome.
    async fn claim(&self, identity: &Identity) -> Result<Claimed, Error> {
        let store = &self.shared.store;
        loop {
            let holder = Uuid::new_v4();
            let claim = || Claim::new(self.shared.clone(), identity.key.clone(), holder);
            // Read before the store is asked, so that it is never too late.
            let asked = Began::now();
            let next = store.claim(identity, holder).await;
            // The store may have given the claim although its response did not come. Dropped, a claim
            // is given up; otherwise the id would be held until the lease ends.
            let next = next.inspect_err(|_| drop(claim()));
            match next? {
                Next::Run => {
                    self.progress.set(Progress::Nothing);
                    return Ok(Claimed::Unsent(claim()));
                }
                Next::Recover { sent } => {
                    self.progress.set(Progress::Earlier);
                    return Ok(Claimed::Lost(claim(), asked.minus(sent)));
                }
                Next::Wait { created } => {
                    self.progress.set(match created {
                        Some(id) => Progress::FilesMissing(id),
                        None => Progress::Earlier,
                    });
                    store.changed(&identity.key).await;
                }
                Next::Replay { id, complete: true } => return Ok(Claimed::Created(id, None)),
                Next::Replay {
                    id,
                    complete: false,
                } => return Ok(Claimed::Created(id, Some(claim()))),
                Next::Mismatch => return Err(Error::RequestIdReused),
            }
        }
    }

    // === send ===

    /// Sends the request until its outcome is known, or recovers it.
    async fn send(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        claim: Option<&Arc<Claim>>,
    ) -> Result<Found, Error> {
        let mut began = Began::now();
        let sent = self.shared.repeat(&self.caller, Effect::Create, |_| {
            // The time of the last attempt: those before it had no effect, and a wait may lie
            // between.
            began = Began::now();
            let began = began;
            let (operation, entry, claim) = (self.clone(), entry.clone(), claim.cloned());
            async move { operation.attempt(&entry, began, claim.as_deref()).await }
        });
        match sent.await {
            Ok(found) => Ok(found),
            Err(Failure::Request(chartbrew::Error::Unknown(cause))) => {
                Box::pin(self.recover(entry, Sent { began, cause })).await
            }
            Err(Failure::Request(error)) => Err(Error::of_request(error)),
            Err(Failure::Stop(error)) => Err(error),
        }
    }

    /// Sends the request once and waits for its response for as long as it may come.
    async fn attempt(
        &self,
        entry: &Entry,
        began: Began,
        claim: Option<&Claim>,
    ) -> Result<Found, Failure> {
        if let Some(claim) = claim {
            let noted = Box::pin(claim.sending()).await;
            noted.map_err(|error| Failure::Stop(error.into()))?;
        }
        let Some(state) = self.progress.begin_sending() else {
            return Err(Failure::Stop(Error::too_late()));
        };
        self.caller.attempts.fetch_add(1, Ordering::Relaxed);
        entry.await_response(began);
        let found = self.response(entry, began, state).await;
        match &found {
            Ok((row, _)) => self.progress.set(Progress::Created(row.id)),
            Err(chartbrew::Error::Unknown(_)) => self.progress.set(Progress::Sent),
            Err(_) => {
                entry.close();
                self.progress.set(Progress::Nothing);
            }
        }
        Ok(found?)
    }

    /// The response to the request, or its row if that is found first.
    ///
    /// When the caller's time is nearly over and there is no response, its row is looked for while
    /// the response is awaited still: a connection that is dead without a reset (a proxy dropped
    /// it, a host is gone) never ends, and the row may exist.
    async fn response(
        &self,
        entry: &Entry,
        began: Began,
        state: SendState,
    ) -> Result<Found, chartbrew::Error> {
        let team = self.create.team;
        let json = self.create.body.json().clone();
        let client = &self.shared.client;
        let mut response = Box::pin(client.create(&self.caller.token, team, json, state.clone()));
        let deadline = self.caller.deadline.instant();
        let left = deadline.saturating_duration_since(Instant::now());
        let look_at = deadline - (left / 4).min(LONGEST_RESERVE);
        let response = match timeout_at(look_at, &mut response).await {
            Ok(response) => response,
            Err(_) if !state.has_begun() => response.await,
            Err(_) => tokio::select! {
                biased;
                response = &mut response => response,
                found = Box::pin(self.find_unanswered(entry, began, deadline)) => return Ok(found),
            },
        };
        let row = response?.body;
        if self.assign(entry, row.id).await {
            return Ok((row, Origin::Response));
        }
        // The recovery of an identical create took it, whose own row is then the one that is left:
        // two calls never get the same row.
        tracing::warn!("an identical create was given the row that was just created");
        Err(chartbrew::Error::Unknown(Unknown::NoResponse))
    }

    /// Looks for the row of a request whose response has not come. Ends only if it is found.
    async fn find_unanswered(&self, entry: &Entry, began: Began, until: Instant) -> Found {
        let cause = Unknown::NoResponse;
        match self.search(entry, Sent { began, cause }, until).await {
            Ok(row) => {
                tracing::info!("found a row whose response has not come");
                telemetry::record(Event::Recovery(RecoveryResult::Found));
                (row, Origin::Recovered)
            }
            Err(_) => std::future::pending().await,
        }
    }

    // === replay, files ===

    /// What an earlier call created, read with the rights of this one.
    async fn replay(self: &Arc<Self>, id: i32, claim: Option<Arc<Claim>>) -> Result<Found, Error> {
        self.progress.set(Progress::Created(id));
        let connection = ConnectionRef {
            team: self.create.team,
            id,
        };
        let (token, client) = (&self.caller.token, &self.shared.client);
        let row = self
            .shared
            .repeat(&self.caller, Effect::Read, |_| async move {
                Ok(client.get(token, connection).await?.body)
            });
        let row = row.await.map_err(|failure| Error::NotReadable {
            connection_id: id,
            cause: Box::new(failure.into()),
        })?;
        let row = match claim {
            None => Box::new(row),
            // Its files are this call's too: the fingerprint is that of the call before it.
            claim => self.upload(Box::new(row), claim).await?,
        };
        telemetry::record(Event::Replay);
        Ok((row, Origin::Replayed))
    }

    /// Uploads the files, if there are any, and returns the row as it is then.
    async fn upload(
        &self,
        created: Box<Connection>,
        claim: Option<Arc<Claim>>,
    ) -> Result<Box<Connection>, Error> {
        if self.create.files.is_empty() {
            return Ok(created);
        }
        Box::pin(self.upload_all(created, claim)).await
    }

    async fn upload_all(
        &self,
        created: Box<Connection>,
        claim: Option<Arc<Claim>>,
    ) -> Result<Box<Connection>, Error> {
        let connection_id = created.id;
        self.progress.set(Progress::FilesMissing(connection_id));
        let connection = ConnectionRef {
            team: self.create.team,
            id: connection_id,
        };
        let (files, caller) = (&self.create.files, self.caller.uncounted());
        let uploaded = self.shared.upload(&caller, connection, files, claim);
        let row = uploaded.await.map_err(|cause| Error::FilesNotUploaded {
            connection_id,
            cause: Box::new(cause.failure.into()),
        })?;
        Ok(row.unwrap_or(created))
    }
}
