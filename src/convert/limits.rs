//! How large a request may be.

use super::json;

/// How large the parts of a request may be. The defaults are Chartbrew 5.3.0's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Characters (Unicode scalar values) of a name. Default 255: the column's width.
    pub name_chars: usize,
    /// Bytes of the JSON body. Default 102,400: above it Chartbrew answers 413.
    pub body_bytes: usize,
    /// Bytes of a text, or of JSON, that Chartbrew encrypts into a column of 65,535 bytes. Default
    /// 32,735: the ciphertext of n bytes takes 33 + 32 · ⌈(n + 1) / 16⌉.
    pub encrypted_text_bytes: usize,
    /// Bytes of the JSON array of project ids. Default 65,535: the column's width.
    pub project_ids_bytes: usize,
    /// Bytes of a file. Default 1,048,576: a larger one crashes Chartbrew.
    pub file_bytes: usize,
    /// Levels of arrays and objects in a JSON value. Default 30: what still fits into an answer
    /// that every client can decode (see `convert/json.rs`).
    pub nesting: usize,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_chars: 255,
            body_bytes: 102_400,
            encrypted_text_bytes: 32_735,
            project_ids_bytes: 65_535,
            file_bytes: 1_048_576,
            nesting: json::MAX_NESTING,
        }
    }
}
