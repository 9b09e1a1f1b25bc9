//! What the requests about a stored connection say, and a test of one that is not stored.

use std::fmt;

use bytes::Bytes;

use super::{Files, NewConnection};

/// A connection of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionRef {
    /// The team's id, greater than 0.
    pub team: i32,
    /// The connection's id, greater than 0.
    pub id: i32,
}

/// The body of an update: the fields to change as a JSON object, null for those to clear. It must
/// never hold `id`, which would move the row to that id.
#[derive(Clone)]
pub struct Changes {
    /// The JSON.
    pub json: Bytes,
}

/// Settings to test that are not stored.
#[derive(Clone)]
pub struct NewTest {
    /// The team on whose behalf they are tested.
    pub team: i32,
    /// The settings, as for a create.
    pub settings: Box<NewConnection>,
    /// The same as JSON.
    pub json: Bytes,
    /// Files to test with. May be empty.
    pub files: Files,
}

impl fmt::Debug for NewTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewTest")
            .field("team", &self.team)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("len", &self.json.len())
            .finish_non_exhaustive()
    }
}
