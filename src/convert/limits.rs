//! How large a request may be.

use super::json;

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
