//! A create that may be sent.

use std::fmt;

use bytes::Bytes;
use uuid::Uuid;

use super::{files::Files, new_connection::NewConnection, secret_json::secret_json};

/// A connection to create.
#[derive(Clone, Debug)]
pub struct Create {
    /// The team that will own it, greater than 0.
    pub team: i32,
    /// The body, serialised.
    pub body: CreateBody,
    /// Makes the call safe to repeat: the caller's id for this create, never the nil UUID.
    pub request_id: Option<Uuid>,
    /// What to upload once it was created. May be empty.
    pub files: Files,
}

/// The body of a create: the JSON as it goes out, and what it was made from, so that a row found
/// later can be compared with it.
///
/// Attempts share the bytes; cloning [`CreateBody::json`] copies nothing.
#[derive(Clone)]
pub struct CreateBody {
    json: Bytes,
    sent: Box<NewConnection>,
}

// === impl CreateBody ===

impl CreateBody {
    /// From a connection and its JSON.
    #[must_use]
    pub fn new(connection: NewConnection, json: Bytes) -> Self {
        Self {
            json,
            sent: Box::new(connection),
        }
    }

    /// Serialises `connection`, once and for all.
    ///
    /// # Errors
    ///
    /// Whatever serde_json reports; no value of these types is known to make it fail.
    pub fn try_new(connection: NewConnection) -> Result<Self, serde_json::Error> {
        let json = secret_json(&connection)?;
        Ok(Self::new(connection, json))
    }

    /// The JSON to send. The same connection always gives the same bytes.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        &self.json
    }

    /// What the JSON was made from.
    #[must_use]
    pub fn sent(&self) -> &NewConnection {
        &self.sent
    }
}

impl fmt::Debug for CreateBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateBody")
            .field("len", &self.json.len())
            .finish_non_exhaustive()
    }
}
