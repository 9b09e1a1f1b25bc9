//! One page of a team's connections, chosen while the list is being read.
//!
//! Chartbrew sends all connections of a team at once, newest first. Which order those of the same
//! second have is not fixed. So a page is chosen by an order of its own that is the same every
//! time: by the time of creation, which never changes, and then by id. Only the page is kept while
//! the list passes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Connection, lenient::Modelled};

/// The place of a connection in a team's list. The first of the list is the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Microseconds since 1970, negated. The largest number if the row does not show its time: a
    /// role that is limited to projects does not see it.
    age: i64,
    /// The row's id, negated if the row does not show its time: a newer one has a greater id.
    id: i64,
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many connections at most, greater than 0.
    pub size: usize,
    /// The last connection of the page before.
    pub after: Option<Position>,
}

/// The connections of a page.
#[derive(Debug, Default)]
pub struct Page {
    /// In the order of the list.
    pub rows: Vec<Connection>,
    /// Where the next page begins, if there is one.
    pub next: Option<Position>,
}

/// Chooses a page from the rows of a list.
#[derive(Debug)]
pub struct PageReader {
    request: PageRequest,
    /// One row more than the page has, so that it is known whether there is a next one.
    kept: BTreeMap<Position, (Connection, usize)>,
    /// How much JSON they were made from.
    bytes: usize,
    /// Of the row that came before.
    last: Option<Position>,
    /// No row came out of order so far.
    is_sorted: bool,
}

/// As much of a row as its place needs.
#[derive(Deserialize)]
struct Place {
    id: Value,
    #[serde(default, rename = "createdAt")]
    created_at: Value,
}

/// When a row was created. `None`: it does not say, or is no row.
pub(super) fn created_at(row: &[u8]) -> Option<Timestamp> {
    let place: Place = serde_json::from_slice(row).ok()?;
    Timestamp::read(place.created_at).ok()
}

// === impl Position ===

impl Position {
    /// The numbers that it is made of.
    #[must_use]
    pub fn to_parts(self) -> (i64, i64) {
        (self.age, self.id)
    }

    /// From the numbers of [`to_parts`](Self::to_parts).
    #[must_use]
    pub fn from_parts((age, id): (i64, i64)) -> Self {
        Self { age, id }
    }

    fn of(row: &[u8]) -> Option<Self> {
        let place: Place = serde_json::from_slice(row).ok()?;
        let id = i32::read(place.id).ok().filter(|id| *id > 0)?;
        Some(Self::at(id, Timestamp::read(place.created_at).ok()))
    }

    fn at(id: i32, created: Option<Timestamp>) -> Self {
        let id = i64::from(id);
        match created.map(Timestamp::as_microsecond) {
            Some(created) => Self { age: -created, id },
            None => Self {
                age: i64::MAX,
                id: -id,
            },
        }
    }

    /// Whether a row of this place may have come before a row of the other one, in a list that is
    /// sorted by time alone.
    fn may_precede(self, other: Self) -> bool {
        self.age <= other.age
    }
}

// === impl PageReader ===

impl PageReader {
    /// Reads a list for this page.
    #[must_use]
    pub fn new(request: PageRequest) -> Self {
        Self {
            request,
            kept: BTreeMap::new(),
            bytes: 0,
            last: None,
            is_sorted: true,
        }
    }

    /// Takes the next row of the list. An element that is no row is passed over. Returns whether
    /// more rows are needed.
    pub fn take(&mut self, row: &[u8]) -> bool {
        let length = row.len();
        let is_full = self.kept.len() > self.request.size;
        if !is_full && self.request.after.is_none() {
            // It is on the page: its place need not be read first.
            if let Ok(row) = Connection::from_json(row) {
                let position = Position::at(row.id, row.created_at);
                self.note(position);
                self.keep(position, row, length);
            }
            return true;
        }
        let Some(position) = Position::of(row) else {
            return true;
        };
        self.note(position);
        let beyond = self.kept.last_key_value().map(|(last, _)| *last);
        if let Some(beyond) = beyond.filter(|_| is_full)
            && position > beyond
        {
            // Those that follow in a sorted list come no earlier, but for those of its moment.
            return !(self.is_sorted && position.age > beyond.age);
        }
        if self.request.after.is_none_or(|after| position > after)
            && let Ok(row) = Connection::from_json(row)
        {
            self.keep(position, row, length);
        }
        true
    }

    fn note(&mut self, position: Position) {
        self.is_sorted &= self.last.is_none_or(|last| last.may_precede(position));
        self.last = Some(position);
    }

    fn keep(&mut self, position: Position, row: Connection, length: usize) {
        let replaced = self.kept.insert(position, (row, length));
        let surplus = match self.kept.len() > self.request.size + 1 {
            true => self.kept.pop_last().map(|(_, surplus)| surplus),
            false => None,
        };
        self.bytes += length;
        for (_, length) in replaced.into_iter().chain(surplus) {
            self.bytes -= length;
        }
    }

    /// How much JSON the rows that are kept were made from.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The page, once the list was read.
    #[must_use]
    pub fn finish(mut self) -> Page {
        let has_next = self.kept.len() > self.request.size;
        if has_next {
            self.kept.pop_last();
        }
        let last = self.kept.last_key_value().map(|(position, _)| *position);
        Page {
            next: last.filter(|_| has_next),
            rows: self.kept.into_values().map(|(row, _)| row).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
