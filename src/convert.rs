//! Pure mapping between the gRPC contract and Chartbrew's REST types.
//!
//! - [`create`]: request → [`Create`], or [`Violations`]: all that is wrong with it, at once, in
//!   the contract's terms. Chartbrew itself accepts nearly anything and stores it, so wrong input
//!   is caught here or nowhere. What Chartbrew neither refuses nor spoils is let through.
//! - [`connection`]: a row → the contract's `Connection`, with nothing lost on the way.
//! - [`proto_field`]: the contract's name of a REST field, for naming what Chartbrew refused.
//!
//! Nothing here waits, logs or remembers.

mod check;
mod enums;
mod fields;
mod json;
#[cfg(test)]
mod properties;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod violations;

use uuid::Uuid;

use crate::chartbrew::types::{CreateBody, Files};

pub use fields::proto_field;
pub use request::create;
pub use response::connection;
pub use violations::{Kind, Violation, Violations};

/// How large the parts of a request may be. The defaults are Chartbrew 5.3.0's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Characters (Unicode scalar values) of a name.
    pub name_chars: usize,
    /// Bytes of the JSON body.
    pub body_bytes: usize,
    /// Bytes of a text, or of JSON, that Chartbrew encrypts.
    pub encrypted_text_bytes: usize,
    /// Bytes of the JSON array of project ids.
    pub project_ids_bytes: usize,
    /// Bytes of a file.
    pub file_bytes: usize,
    /// Levels of arrays and objects in a JSON value.
    pub nesting: usize,
}

/// A create that may be sent.
#[derive(Clone, Debug)]
pub struct Create {
    /// The team, greater than 0.
    pub team_id: i32,
    /// The body, serialised.
    pub body: CreateBody,
    /// The caller's id for this creation, never the nil UUID.
    pub request_id: Option<Uuid>,
    /// What to upload afterwards. May be empty.
    pub files: Files,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            // The width of the column.
            name_chars: 255,
            // Above it Chartbrew responds with 413.
            body_bytes: 102_400,
            // The ciphertext of n bytes takes 33 + 32 · ⌈(n + 1) / 16⌉, in a column of 65,535 bytes.
            encrypted_text_bytes: 32_735,
            // The width of the column.
            project_ids_bytes: 65_535,
            // A larger one crashes Chartbrew.
            file_bytes: 1_048_576,
            // Still fits into a response that every client can decode (see `convert/json.rs`).
            nesting: json::MAX_NESTING,
        }
    }
}
