//! Outcome recovery: the request was sent, the answer was lost; look for what it created.
//!
//! The team's connections are listed. A candidate is a row that
//!
//! - equals the request in every field that the list shows, and then in every field that the row
//!   itself shows (the password among them);
//! - was created no earlier than the request was sent, by the server's own clock, so that clocks
//!   need not agree;
//! - was not handed out as the answer to another request.
//!
//! One candidate is the answer. As many candidates as there are lost answers to byte for byte the
//! same request are answers too: it does not matter which goes to which. More are ambiguous. None
//! may mean that the server is still at it: look again, with growing pauses, until the deadline or
//! the window ends. A server that gave a whole answer is done: two looks are enough then.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout_at};

use super::{Error, Job, Origin, retry::Found, twins::Alone};
use crate::{
    chartbrew::{
        self, Answer, Rejection, Unknown,
        types::{Connection, ConnectionList, Likeness, View},
    },
    telemetry::{self, Event, RecoveryResult},
};

/// The pause before the second look; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// No pause is longer, so that a row that appears is found soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What the last look needs before the time is over.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// No create takes longer: a silent ClickHouse host was given up after 60 s, a silent PostgreSQL
/// host within a few minutes.
const LONGEST_WORK: Duration = Duration::from_secs(10 * 60);
/// Looks in a row at what a server created that is done with the request.
const LOOKS_WHEN_SETTLED: u32 = 2;

/// A request whose answer was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// When it is known how long ago it was.
    pub(super) known: Instant,
    /// How long before then it began to be sent, at most. Not a moment of its own: it may lie
    /// before this machine was started.
    pub(super) before: Duration,
    /// How its answer was lost.
    pub(super) cause: Unknown,
}

/// What looking for it has shown.
#[derive(Debug)]
pub(super) enum Search {
    /// This is it.
    Found(Box<Connection>),
    /// It was not there for as long as there was time.
    NotFound,
    /// It is not there, and the server is done with the request.
    Settled,
    /// More than one may be it, or the reader may see too little to tell.
    Ambiguous,
    /// The list could not be read, or not at the end.
    Blind,
    /// What answers the list is not Chartbrew.
    NotTheApi,
}

/// What one look has shown.
enum Look {
    Found(Box<Connection>),
    None,
    Ambiguous,
    NotTheApi,
    /// Could not look this time.
    Failed,
    /// Looking again is of no use.
    Refused,
}

impl Job {
    /// Finds out what became of a request just sent.
    pub(super) async fn recover_now(
        self: &Arc<Self>,
        sent: Sent,
        patience: Instant,
    ) -> Result<Found, Error> {
        let window = Instant::now() + self.shared.settings.recovery_window;
        let search = self.search(sent, window.min(patience)).await;
        let result = search.result();
        tracing::info!(cause = %sent.cause, %result, "looked for a lost answer");
        telemetry::record(Event::Recovery(result));
        let cut_off = patience < window;
        match (search, sent.cause) {
            (Search::Found(connection), _) => Ok((connection, Origin::Recovered)),
            (Search::NotTheApi, Unknown::ServerError(status)) => Err(Error::NotTheApi { status }),
            (Search::Settled, Unknown::Unreadable | Unknown::NotJson) | (Search::NotTheApi, _) => {
                Err(Error::NotTheApi { status: 200 })
            }
            (Search::Settled, Unknown::ServerError(status)) => Err(Error::UpstreamError {
                status,
                settled: true,
            }),
            (Search::NotFound, Unknown::GatewayError(status)) if !cut_off => {
                Err(Error::UpstreamError {
                    status,
                    settled: false,
                })
            }
            (Search::NotFound | Search::Settled, _) if sent.is_long_ago() => {
                Err(Error::OutcomeUnknown {
                    deadline_passed: false,
                    long_ago: true,
                })
            }
            (Search::NotFound | Search::Settled | Search::Blind, _) => Err(Error::OutcomeUnknown {
                deadline_passed: cut_off,
                long_ago: false,
            }),
            (Search::Ambiguous, _) => Err(self.outcome_unknown()),
        }
    }

    /// Looks until it is found, or until there is nothing more to be expected.
    pub(super) async fn search(self: &Arc<Self>, sent: Sent, until: Instant) -> Search {
        let name = &self.create.body.sent().name;
        let place = self.shared.twins.place(self.create.team, name);
        let Ok(alone) = timeout_at(until, place.alone(self.create.body.json())).await else {
            return Search::Blind;
        };
        let mut pause = FIRST_PAUSE;
        // Looks in a row that saw the list, and nothing in it.
        let mut seen = 0;
        loop {
            let looked = timeout_at(until, self.look(&alone, sent)).await;
            match looked.unwrap_or(Look::Failed) {
                Look::Found(connection) => return Search::Found(connection),
                Look::Ambiguous => return Search::Ambiguous,
                // Where the answer was none of Chartbrew's either, there is no Chartbrew. Else it
                // is a page that somebody puts in its place for now.
                Look::NotTheApi if sent.cause.is_a_strangers() => return Search::NotTheApi,
                Look::Refused => return Search::Blind,
                Look::NotTheApi | Look::Failed => seen = 0,
                Look::None => seen += 1,
            }
            if sent.is_settled() && seen >= LOOKS_WHEN_SETTLED {
                return Search::Settled;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left <= LAST_LOOK {
                break;
            }
            // The last look comes as late as it can.
            tokio::time::sleep(pause.min(left - LAST_LOOK)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        match seen {
            0 => Search::Blind,
            _ => Search::NotFound,
        }
    }

    async fn look(&self, alone: &Alone, sent: Sent) -> Look {
        let (token, team) = (&self.caller.token, self.create.team);
        let looking = self.shared.lists.look(&self.shared.client, token, team);
        let list = match looking.await {
            Ok(list) => list,
            Err(error) => return cannot_look(&error),
        };
        let since = began_by_the_servers_clock(&list, sent.ago());
        let mut candidates = Vec::new();
        for row in &list.body.rows {
            if row.created_at.is_none_or(|created| created < since) {
                continue;
            }
            match self.create.body.likeness(row, View::List) {
                Likeness::Same => {}
                Likeness::Different => continue,
                Likeness::Unclear => return Look::Ambiguous,
            }
            match self.read_candidate(row).await {
                Candidate::Same(row) => candidates.push(*row),
                Candidate::Different => {}
                Candidate::Unreadable => return Look::Failed,
            }
        }
        self.choose(candidates, alone).await
    }

    /// Reads a row by itself: it then shows its password and its schema.
    async fn read_candidate(&self, row: &Connection) -> Candidate {
        let (token, team) = (&self.caller.token, self.create.team);
        match self.shared.client.get(token, team, row.id).await {
            Ok(answer) => match self.create.body.likeness(&answer.body, View::Single) {
                Likeness::Same => Candidate::Same(Box::new(answer.body)),
                Likeness::Different | Likeness::Unclear => Candidate::Different,
            },
            // Its schema is over the limit: the row as listed is all there is to show.
            Err(chartbrew::Error::Unknown(Unknown::TooLarge)) => {
                Candidate::Same(Box::new(row.clone()))
            }
            Err(chartbrew::Error::Rejected(Rejection::ConnectionNotFound)) => Candidate::Different,
            Err(_) => Candidate::Unreadable,
        }
    }

    /// Takes the oldest row that is nobody's yet, unless that would be a guess.
    async fn choose(&self, candidates: Vec<Connection>, alone: &Alone) -> Look {
        let mut free = Vec::new();
        for row in candidates {
            match self
                .shared
                .store
                .is_free(self.create.team, row.id, &self.owner)
                .await
            {
                Ok(true) => free.push(row),
                Ok(false) => {}
                Err(_) => return Look::Failed,
            }
        }
        if free.len() > alone.unresolved() {
            return Look::Ambiguous;
        }
        // The list is newest first.
        while let Some(row) = free.pop() {
            if self.hand_out(row.id).await {
                return Look::Found(Box::new(row));
            }
        }
        Look::None
    }
}

enum Candidate {
    Same(Box<Connection>),
    Different,
    Unreadable,
}

/// The earliest time at which the server can have seen the request, in whole seconds as its rows
/// show them. The `Date` of the list is at most a second behind the server's clock and was made
/// no later than we read it.
fn began_by_the_servers_clock(list: &Answer<ConnectionList>, ago: Duration) -> Timestamp {
    let now = list.date.unwrap_or_else(Timestamp::now);
    let ago = SignedDuration::try_from(ago).unwrap_or(SignedDuration::MAX);
    let since = now.checked_sub(ago).unwrap_or(Timestamp::MIN);
    Timestamp::from_second(since.as_second()).unwrap_or(Timestamp::MIN)
}

fn cannot_look(error: &chartbrew::Error) -> Look {
    match error {
        chartbrew::Error::Rejected(Rejection::NotTheApi(_)) => Look::NotTheApi,
        chartbrew::Error::Unknown(Unknown::Unreadable | Unknown::NotJson) => Look::NotTheApi,
        chartbrew::Error::Rejected(rejection) if !rejection.is_transient() => Look::Refused,
        chartbrew::Error::Rejected(_)
        | chartbrew::Error::NotSent(_)
        | chartbrew::Error::Unknown(_) => Look::Failed,
    }
}

// === impl Sent ===

impl Sent {
    /// A request that began to be sent then, or later.
    pub(super) fn since(began: Instant, cause: Unknown) -> Self {
        Self {
            known: began,
            before: Duration::ZERO,
            cause,
        }
    }

    /// How long ago it began to be sent, at most.
    fn ago(&self) -> Duration {
        self.before + self.known.elapsed()
    }

    fn is_long_ago(&self) -> bool {
        self.ago() > LONGEST_WORK
    }

    /// Whether what there is to be found can already be seen.
    fn is_settled(&self) -> bool {
        self.cause.is_settled() || self.is_long_ago()
    }
}

// === impl Search ===

impl Search {
    fn result(&self) -> RecoveryResult {
        match self {
            Self::Found(_) => RecoveryResult::Found,
            Self::NotFound => RecoveryResult::NotFound,
            Self::Ambiguous => RecoveryResult::Ambiguous,
            Self::Settled => RecoveryResult::Settled,
            Self::Blind => RecoveryResult::Blind,
            Self::NotTheApi => RecoveryResult::NotTheApi,
        }
    }
}
