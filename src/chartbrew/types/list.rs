//! The rows of a team, read one by one.

use serde_json::value::RawValue;

use super::{connection::Connection, unreadable::Unreadable};

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
}

// === impl ConnectionList ===

impl ConnectionList {
    /// Reads the response. An element that is no row, or is nested too deep to be read, is skipped
    /// and counted: one broken row must not hide the others.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] if the response is not a JSON array.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        let elements: Vec<&RawValue> = serde_json::from_slice(json)?;
        let mut list = Self::default();
        for element in elements {
            match Connection::from_json(element.get().as_bytes()) {
                Ok(row) => list.rows.push(row),
                Err(_) => list.skipped += 1,
            }
        }
        Ok(list)
    }
}
