//! Outcome recovery: the request was sent, its response was lost; look for what it created.
//!
//! The team's connections are listed. A candidate is a row that
//!
//! - equals the request in every field that the list shows;
//! - was created no earlier than the request was sent, by the server's own clock, so that clocks
//!   need not agree;
//! - is not another create's.
//!
//! Which of them is this create's is chosen by [`Entry::choose`]. The chosen one is read by itself,
//! since a list shows neither password nor schema, and must equal the request in these too. If
//! there is none, the server may still be working on the request: look again, with growing pauses,
//! until the window ends. If the server has certainly finished with the request, two looks are
//! enough.
//!
//! A look has a time limit of its own, so that one stuck request does not use up the window. A row
//! is read only if it is the one to be taken, or to be ruled out: such a request must never be cut
//! off, so there must be few of them.

use std::{collections::HashMap, future::Future, pin::Pin, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    EndedBy, Error, Origin,
    clock::{Began, ServerClock},
    identical::{Choice, Entry},
    operation::{CreateOperation, Found},
};
use crate::{
    chartbrew::{
        self, Dated, Rejection, Unknown,
        types::{Connection, ConnectionRef, RowMatch, View},
    },
    telemetry::{self, Event, RecoveryResult},
};

/// The pause before the second look; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// No pause is longer, so that a row that appears is found soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What the last look needs before the time is over.
const LAST_LOOK: Duration = Duration::from_millis(100);
/// Limit of one request of a look.
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// Looks in a row at what a server created that is done with the request.
const LOOKS_WHEN_SETTLED: u32 = 2;
/// How many rows more than there are creates are read to find out whose they are.
const MAX_SURPLUS: usize = 4;

/// A request whose response was lost, or has not come yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// When it began to be sent.
    pub(super) began: Began,
    /// How its response was lost.
    pub(super) cause: Unknown,
}

/// What one look has shown.
enum Look {
    Found(Box<Connection>),
    None,
    Ambiguous,
    NotTheApi,
    /// Could not look this time, and may look again after this long.
    Failed(Option<Duration>),
    /// Looking again is of no use.
    Refused,
}

type RowRead = Pin<Box<dyn Future<Output = Result<Dated<Connection>, chartbrew::Error>> + Send>>;

/// One search, and what its looks have learned of rows.
struct Search<'a> {
    operation: &'a CreateOperation,
    entry: &'a Entry,
    sent: Sent,
    /// Rows that were read: `None` is another create's for certain.
    read: HashMap<i32, Option<Box<Connection>>>,
    /// A row that is still being read, by a look that ran out of time.
    reading: Option<(i32, RowRead)>,
}

impl CreateOperation {
    /// Finds out what became of a request whose response was lost.
    pub(super) async fn recover(&self, entry: &Entry, sent: Sent) -> Result<Found, Error> {
        let window = self.shared.settings.recovery_window;
        entry.response_lost(sent.began);
        let search = self.search(entry, sent, Instant::now() + window).await;
        let result = search.as_ref().err();
        let result = result.copied().unwrap_or(RecoveryResult::Found);
        tracing::info!(cause = %sent.cause, %result, "looked for the row of a lost response");
        telemetry::record(Event::Recovery(result));
        let missing = match search {
            Ok(connection) => return Ok((connection, Origin::Recovered)),
            Err(missing) => missing,
        };
        let ended_by = EndedBy::from(sent.cause);
        Err(match (missing, sent.cause) {
            (RecoveryResult::NotTheApi, Unknown::GatewayError(status)) => {
                Error::NotTheApi { status }
            }
            (RecoveryResult::Settled, Unknown::Unreadable | Unknown::NotJson)
            | (RecoveryResult::NotTheApi, _) => Error::NotTheApi { status: 200 },
            (RecoveryResult::Settled, Unknown::ServerError(status)) => {
                Error::UpstreamError { status }
            }
            (RecoveryResult::NotFound | RecoveryResult::Settled, _) => {
                self.outcome_unknown(ended_by, self.is_long_ago(sent))
            }
            _ => self.outcome_unknown(ended_by, false),
        })
    }

    /// Looks until the row is found, or until there is nothing more to be expected. Without a row:
    /// why there is none.
    pub(super) async fn search(
        &self,
        entry: &Entry,
        sent: Sent,
        until: Instant,
    ) -> Result<Box<Connection>, RecoveryResult> {
        let mut search = Search {
            operation: self,
            entry,
            sent,
            read: HashMap::new(),
            reading: None,
        };
        let is_settled = sent.cause.is_settled() || self.is_long_ago(sent);
        let mut pause = FIRST_PAUSE;
        // Consecutive looks that read the list and found no candidate.
        let mut seen = 0;
        loop {
            let mut asked = None;
            match search.look().await {
                Look::Found(connection) => return Ok(connection),
                Look::Ambiguous => return Err(RecoveryResult::Ambiguous),
                // If the response was not Chartbrew's either, there is no Chartbrew. Otherwise it
                // is a page that a proxy shows for now.
                Look::NotTheApi if sent.cause.is_not_chartbrew() => {
                    return Err(RecoveryResult::NotTheApi);
                }
                Look::Refused => return Err(RecoveryResult::ListUnavailable),
                Look::NotTheApi => seen = 0,
                Look::Failed(retry_after) => (seen, asked) = (0, retry_after),
                Look::None => seen += 1,
            }
            if is_settled && seen >= LOOKS_WHEN_SETTLED {
                return Err(RecoveryResult::Settled);
            }
            let wait = pause.max(asked.unwrap_or_default());
            let Some(wait) = self.wait_before_another_look(wait, until) else {
                break;
            };
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(match seen {
            0 => RecoveryResult::ListUnavailable,
            _ => RecoveryResult::NotFound,
        })
    }

    /// The last look of all, and the last one before the deadline, are as late as possible.
    fn wait_before_another_look(&self, wait: Duration, until: Instant) -> Option<Duration> {
        let now = Instant::now();
        let before = |end: Instant| {
            let left = end.saturating_duration_since(now);
            left.checked_sub(LAST_LOOK).filter(|left| !left.is_zero())
        };
        let last = before(until)?;
        let callers_last = before(self.caller.deadline.instant()).unwrap_or(last);
        Some(wait.min(last).min(callers_last))
    }

    /// Whether a request is older than the response to any request is waited for.
    fn is_long_ago(&self, sent: Sent) -> bool {
        sent.began.elapsed() > self.shared.settings.abandoned_after
    }
}

// === impl Search ===

impl Search<'_> {
    async fn look(&mut self) -> Look {
        let operation = self.operation;
        let shared = &operation.shared;
        let (token, team) = (&operation.caller.token, operation.create.team);
        let looking = shared.lists.look(&shared.client, token, team);
        let list = match timeout(LOOK_LIMIT, looking).await {
            Ok(Ok(list)) => list,
            Ok(Err(error)) => return cannot_look(&error),
            Err(_) => return Look::Failed(None),
        };
        let clock = ServerClock::new(list.date);
        let since = clock.earliest(self.sent.began);
        let mut candidates = Vec::new();
        for row in &list.body.rows {
            if row.created_at.is_none_or(|created| created < since) {
                continue;
            }
            match operation.create.body.compare(row, View::List) {
                RowMatch::Match => candidates.push(row),
                RowMatch::Mismatch => {}
                RowMatch::Indeterminate => return Look::Ambiguous,
            }
        }
        // The list is newest first.
        candidates.reverse();
        self.choose(&candidates, clock).await
    }

    /// Takes the row that is this create's, unless that would be a guess.
    async fn choose(&mut self, candidates: &[&Connection], clock: ServerClock) -> Look {
        loop {
            let mut free = Vec::new();
            for row in candidates {
                let is_another = matches!(self.read.get(&row.id), Some(None));
                if is_another || !self.entry.is_free(row.id) {
                    continue;
                }
                let operation = self.operation;
                let (store, team) = (&operation.shared.store, operation.create.team);
                match store.is_free(team, row.id, &operation.owner).await {
                    Ok(true) => free.push((row.id, row.created_at)),
                    Ok(false) => {}
                    Err(_) => return Look::Failed(None),
                }
            }
            let (chosen, is_ours) = match self.entry.choose(&free, clock) {
                Choice::Take(id) => (id, true),
                Choice::Wait => return Look::None,
                Choice::Ambiguous { surplus } => {
                    let unread = free.iter().find(|(id, _)| !self.read.contains_key(id));
                    match unread {
                        Some((id, _)) if surplus <= MAX_SURPLUS => (*id, false),
                        Some(_) | None => return Look::Ambiguous,
                    }
                }
            };
            let Some(listed) = candidates.iter().find(|row| row.id == chosen) else {
                return Look::None;
            };
            let read = match self.read_row(listed).await {
                Ok(read) => read,
                Err(look) => return look,
            };
            // A row that was read to rule it out, or is ruled out now: choose anew, knowing it.
            let Some(row) = read.filter(|_| is_ours) else {
                continue;
            };
            if self.operation.assign(self.entry, row.id).await {
                return Look::Found(row);
            }
            // The row was assigned to another create meanwhile.
        }
    }

    /// Reads a row by itself, once: it then shows its password and its schema. `None`: it is not
    /// what was asked for.
    async fn read_row(&mut self, listed: &Connection) -> Result<Option<Box<Connection>>, Look> {
        let id = listed.id;
        if let Some(known) = self.read.get(&id) {
            return Ok(known.clone());
        }
        let operation = self.operation;
        let client = operation.shared.client.clone();
        let team = operation.create.team;
        let token = operation.caller.token.clone();
        let mut reading = match self.reading.take() {
            Some((known, reading)) if known == id => reading,
            // What is read of another row goes on by itself.
            _ => Box::pin(async move { client.get(&token, ConnectionRef { team, id }).await }),
        };
        let Ok(read) = timeout(LOOK_LIMIT, &mut reading).await else {
            self.reading = Some((id, reading));
            return Err(Look::Failed(None));
        };
        let row = match read {
            Ok(response) => {
                let compared = operation.create.body.compare(&response.body, View::Single);
                (compared == RowMatch::Match).then(|| Box::new(response.body))
            }
            // Its schema is over the limit: the row as listed is all there is to show.
            Err(chartbrew::Error::Unknown(Unknown::TooLarge)) => Some(Box::new(listed.clone())),
            Err(chartbrew::Error::Rejected(Rejection::ConnectionNotFound)) => None,
            Err(error) => return Err(Look::Failed(error.retry_after())),
        };
        self.read.insert(id, row.clone());
        Ok(row)
    }
}

fn cannot_look(error: &chartbrew::Error) -> Look {
    match error {
        chartbrew::Error::Rejected(Rejection::NotTheApi(_)) => Look::NotTheApi,
        chartbrew::Error::Unknown(Unknown::Unreadable | Unknown::NotJson) => Look::NotTheApi,
        chartbrew::Error::Rejected(rejection) if !rejection.is_transient() => Look::Refused,
        chartbrew::Error::Rejected(_)
        | chartbrew::Error::NotSent(_)
        | chartbrew::Error::Unknown(_) => Look::Failed(error.retry_after()),
    }
}
