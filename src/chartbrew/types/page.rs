//! One page of a team's connections, chosen while the list is being read.
//!
//! Chartbrew sends all connections of a team at once, newest first. Which order those of the same
//! second have is not fixed. So a page is chosen by an order of its own that is the same every
//! time: by the time of creation, which never changes, and then by id. Only the page is kept while
//! the list passes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Connection, Unreadable};

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
    kept: BTreeMap<Position, Connection>,
    /// The greatest position so far, as long as no row came out of order.
    last: Option<Position>,
    is_sorted: bool,
}

/// As much of a row as its place needs.
#[derive(Deserialize)]
struct Place {
    id: serde_json::Value,
    #[serde(default, rename = "createdAt")]
    created_at: serde_json::Value,
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
        let id = place.id.as_i64().filter(|id| *id > 0)?;
        let created = place.created_at.as_str().and_then(|text| text.parse().ok());
        Some(match created.map(Timestamp::as_microsecond) {
            Some(created) => Self { age: -created, id },
            None => Self {
                age: i64::MAX,
                id: -id,
            },
        })
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
            last: None,
            is_sorted: true,
        }
    }

    /// Takes the next row of the list. An element that is no row is passed over. Returns whether
    /// more rows are needed.
    pub fn take(&mut self, row: &[u8]) -> bool {
        let Some(position) = Position::of(row) else {
            return true;
        };
        self.is_sorted &= self.last.is_none_or(|last| last.may_precede(position));
        self.last = Some(position);
        let is_full = self.kept.len() > self.request.size;
        let beyond = self.kept.last_key_value().map(|(last, _)| *last);
        if let Some(beyond) = beyond.filter(|_| is_full)
            && position > beyond
        {
            // Those that follow in a sorted list come no earlier, but for those of its moment.
            return !(self.is_sorted && position.age > beyond.age);
        }
        if self.request.after.is_some_and(|after| position <= after) {
            return true;
        }
        if let Ok(row) = Connection::from_json(row) {
            self.kept.insert(position, row);
            if self.kept.len() > self.request.size + 1 {
                self.kept.pop_last();
            }
        }
        true
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
            rows: self.kept.into_values().collect(),
        }
    }
}

/// Cuts a JSON array into its elements while it arrives. Only the element that is arriving is
/// kept.
#[derive(Debug, Default)]
pub struct Elements {
    /// What has arrived of the current element.
    part: Vec<u8>,
    place: PlaceInArray,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PlaceInArray {
    /// The array has not begun.
    #[default]
    Before,
    /// Between elements, or within one that has no brackets and quotes: a number, say.
    Between,
    /// Within brackets, this many of them.
    Nested(usize),
    /// Within a text.
    Text(usize),
    /// After a backslash in a text.
    Escape(usize),
    /// The array has ended.
    After,
}

// === impl Elements ===

impl Elements {
    /// Takes the next bytes and gives each element that they complete to `each`, until that says
    /// that it needs no more. Returns whether it needs more.
    ///
    /// # Errors
    /// If what arrives is no array, or an element is larger than `max` bytes.
    pub fn push(
        &mut self,
        bytes: &[u8],
        max: usize,
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, Unreadable> {
        use PlaceInArray::{After, Before, Between, Escape, Nested, Text};
        let mut begin = 0;
        for (index, byte) in bytes.iter().enumerate() {
            let next = match (self.place, byte) {
                (Before, b'[') => {
                    begin = index + 1;
                    Between
                }
                (Before | After, b' ' | b'\t' | b'\r' | b'\n') => self.place,
                (Before | After, _) => return Err(Unreadable::WrongShape),
                (Between, b',' | b']') => {
                    self.part.extend_from_slice(&bytes[begin..index]);
                    begin = index + 1;
                    let needs_more = self.part.trim_ascii().is_empty() || each(&self.part);
                    self.part.clear();
                    if !needs_more {
                        return Ok(false);
                    }
                    match byte {
                        b',' => Between,
                        _ => After,
                    }
                }
                (Between, b'{' | b'[') => Nested(1),
                (Between, b'"') => Text(0),
                (Between, _) => Between,
                (Nested(depth), b'{' | b'[') => Nested(depth + 1),
                (Nested(1), b'}' | b']') => Between,
                (Nested(depth), b'}' | b']') => Nested(depth - 1),
                (Nested(depth), b'"') => Text(depth),
                (Nested(depth), _) => Nested(depth),
                (Text(depth), b'\\') => Escape(depth),
                (Text(0), b'"') => Between,
                (Text(depth), b'"') => Nested(depth),
                (Text(depth) | Escape(depth), _) => Text(depth),
            };
            self.place = next;
        }
        if !matches!(self.place, Before | After) {
            self.part.extend_from_slice(&bytes[begin..]);
        }
        match self.part.len() > max {
            true => Err(Unreadable::TooLarge),
            false => Ok(true),
        }
    }

    /// The list has ended.
    ///
    /// # Errors
    /// If its end is missing.
    pub fn finish(self) -> Result<(), Unreadable> {
        match self.place {
            PlaceInArray::After => Ok(()),
            PlaceInArray::Before => Err(Unreadable::WrongShape),
            _ => Err(Unreadable::CutShort),
        }
    }
}

#[cfg(test)]
mod tests;
