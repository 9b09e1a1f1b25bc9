//! One attempt: the request is sent once, by a task that nothing cuts short.
//!
//! Its caller waits for the answer. When the deadline draws near and there is none, it begins to
//! look for what the request has created while it goes on waiting: a connection that died in
//! silence (a proxy that forgot it, a lost host) never says so, and the row may be there.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    task::{JoinError, JoinHandle},
    time::{Instant, timeout_at},
};

use super::{
    Job, Origin,
    recovery::{Search, Sent},
    retry::Found,
    twins::Share,
};
use crate::{
    chartbrew::{self, Unknown, types::Connection},
    telemetry::{self, Event, RecoveryResult},
};

/// What is kept of the time to look for a row whose answer does not come: a quarter, at most this.
const LONGEST_RESERVE: Duration = Duration::from_secs(3);

/// How an attempt ended.
pub(super) enum Attempt {
    /// It was created.
    Created(Found),
    /// The time ran out before it was sent.
    NotBegun,
    /// It failed.
    Failed(chartbrew::Error),
}

type Answer = Result<Box<Connection>, chartbrew::Error>;

impl Job {
    /// Sends the request, in a task that goes on if this future is dropped or loses patience.
    pub(super) async fn attempt(self: &Arc<Self>, patience: Instant) -> Attempt {
        let name = &self.create.body.sent().name;
        let place = self.shared.twins.place(self.create.team, name);
        let deadline = self.caller.deadline.instant();
        let Ok(share) = timeout_at(deadline, place.share()).await else {
            return Attempt::NotBegun;
        };
        if self.caller.deadline.has_passed() {
            return Attempt::NotBegun;
        }
        let resends = self.caller.attempts.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let (give_up, given_up) = oneshot::channel();
        let limit = patience.max(began + self.shared.settings.abandoned_after);
        let post = self.clone().post(limit, share, given_up);
        let stopping = self.shared.stopping.clone();
        let forgotten = self.identity.is_none();
        let work = telemetry::resent(resends, async move {
            tokio::select! {
                answer = post => answer,
                () = stopping.cancelled(), if forgotten => {
                    Err(chartbrew::Error::Unknown(Unknown::NoAnswer))
                }
            }
        });
        let mut task = self.shared.tasks.spawn(work);

        let reserve = (deadline.saturating_duration_since(began) / 4).min(LONGEST_RESERVE);
        match timeout_at(deadline - reserve, &mut task).await {
            Ok(answered) => Attempt::of(answered),
            Err(_) => {
                // Nobody to tell if it has ended in this very moment.
                give_up.send(()).unwrap_or_default();
                self.look_while_waiting(task, began, patience).await
            }
        }
    }

    /// Sends the request and waits for its answer until the limit. Twins wait for the share; it is
    /// given back once the row is known to be taken, or when nobody counts on the answer any more.
    async fn post(
        self: Arc<Self>,
        limit: Instant,
        share: Share,
        given_up: oneshot::Receiver<()>,
    ) -> Answer {
        let json = self.create.body.json().clone();
        let client = &self.shared.client;
        let post = timeout_at(
            limit,
            client.create(&self.caller.token, self.create.team, json),
        );
        let mut post = std::pin::pin!(post);
        let mut share = Some(share);
        let answer = tokio::select! {
            answer = &mut post => answer,
            // Only when told: a caller that hung up has not begun to look for the row.
            Ok(()) = given_up => {
                drop(share.take());
                post.await
            }
        };
        let unknown = Err(chartbrew::Error::Unknown(Unknown::NoAnswer));
        let Ok(answer) = answer else {
            return unknown;
        };
        let row = answer?.body;
        if !self.hand_out(row.id).await {
            // Another gateway's recovery took it for the row of a twin, which is then the one
            // that is missing: two calls never get the same row.
            tracing::warn!("a twin was given the row that was just created");
            return unknown;
        }
        drop(share);
        Ok(Box::new(row))
    }

    async fn look_while_waiting(
        self: &Arc<Self>,
        mut task: JoinHandle<Answer>,
        began: Instant,
        patience: Instant,
    ) -> Attempt {
        let cause = Unknown::NoAnswer;
        let search = self.search(Sent::since(began, cause), patience);
        tokio::select! {
            answered = &mut task => return Attempt::of(answered),
            search = search => if let Search::Found(connection) = search {
                tracing::info!("found a row whose answer has not come");
                telemetry::record(Event::Recovery(RecoveryResult::Found));
                return Attempt::Created((connection, Origin::Recovered));
            },
        }
        match timeout_at(patience, task).await {
            Ok(answered) => Attempt::of(answered),
            Err(_) => Attempt::Failed(chartbrew::Error::Unknown(cause)),
        }
    }
}

// === impl Attempt ===

impl Attempt {
    fn of(answered: Result<Answer, JoinError>) -> Self {
        match answered {
            Ok(Ok(connection)) => Self::Created((connection, Origin::Answered)),
            Ok(Err(error)) => Self::Failed(error),
            // The task panicked.
            Err(_) => Self::Failed(chartbrew::Error::Unknown(Unknown::NoAnswer)),
        }
    }
}
