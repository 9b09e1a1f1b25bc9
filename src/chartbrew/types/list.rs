//! The rows of a team, read one by one.

use jiff::Timestamp;

use super::{connection::Connection, elements::Elements, page::created_at, unreadable::Unreadable};

/// The response to `GET /team/{team_id}/connections`, in the order in which it came: newest first.
///
/// A project-scoped role gets only the rows of its own projects, so that a row that is missing
/// here proves nothing to such a caller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionList {
    /// Every element that is a row.
    pub rows: Vec<Connection>,
    /// How many elements were passed over: no object, no usable id, or nested too deep.
    pub skipped: usize,
    /// How much JSON the rows were made from.
    bytes: usize,
}

// === impl ConnectionList ===

impl ConnectionList {
    /// Takes the next element of the response, unless it is a row that is older than `since`. An
    /// element that is no row, or is nested too deep to be read, is skipped and counted: one broken
    /// row must not hide the others. Always needs more.
    ///
    /// # Errors
    ///
    /// If the rows have more than `max` bytes of JSON.
    pub fn take(
        &mut self,
        element: &[u8],
        since: Timestamp,
        max: usize,
    ) -> Result<bool, Unreadable> {
        if created_at(element).is_some_and(|created| created < since) {
            return Ok(true);
        }
        match Connection::from_json(element) {
            Ok(row) => {
                self.rows.push(row);
                self.bytes += element.len();
            }
            Err(_) => self.skipped += 1,
        }
        match self.bytes > max {
            true => Err(Unreadable::TooLarge),
            false => Ok(true),
        }
    }

    /// Reads a whole response.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] if the response is not a JSON array.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        let (mut list, mut elements) = (Self::default(), Elements::default());
        elements.push(json, usize::MAX, |element| {
            list.take(element, Timestamp::MIN, usize::MAX)
        })?;
        elements.finish()?;
        Ok(list)
    }
}
