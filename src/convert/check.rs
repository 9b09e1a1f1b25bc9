//! The checks that several fields share.

use prost_types::Struct;
use serde_json::{Map, Value};

use super::{enums::Table, json, limits::Limits, violations::Violations};

/// Collects violations while a request is mapped. A method that finds one gives back whatever
/// lets the mapping go on.
pub(super) struct Check<'a> {
    pub(super) limits: &'a Limits,
    pub(super) violations: Violations,
}

// === impl Check ===

impl Check<'_> {
    pub(super) fn invalid(&mut self, field: &str, description: impl Into<String>) {
        self.violations.invalid(field, description);
    }

    /// An enum that must be set.
    pub(super) fn required<E: Copy + Into<i32>>(
        &mut self,
        field: &str,
        table: Table<E>,
        number: i32,
    ) -> &'static str {
        if number == 0 {
            self.invalid(field, format!("is required: one of {}", table.values()));
        }
        self.optional(field, table, number).unwrap_or_default()
    }

    /// An enum whose 0 means: not sent.
    pub(super) fn optional<E: Copy + Into<i32>>(
        &mut self,
        field: &str,
        table: Table<E>,
        number: i32,
    ) -> Option<&'static str> {
        let text = table.rest(number);
        if text.is_none() && number != 0 {
            let values = table.values();
            self.invalid(
                field,
                format!("{number} is no value of the enum: use one of {values}"),
            );
        }
        text
    }

    /// A text that Chartbrew encrypts. Any content will do: it is stored as it is.
    pub(super) fn text(&mut self, field: &str, text: Option<String>) -> Option<String> {
        self.encrypted(field, text.as_ref().map_or(0, String::len));
        text
    }

    pub(super) fn encrypted(&mut self, field: &str, bytes: usize) {
        let max = self.limits.encrypted_text_bytes;
        if bytes > max {
            self.invalid(
                field,
                format!("has {bytes} bytes: Chartbrew stores at most {max} bytes of it"),
            );
        }
    }

    /// JSON that Chartbrew encrypts, as long as it is written.
    pub(super) fn encrypted_json(&mut self, field: &str, json: &impl serde::Serialize) {
        let bytes = serde_json::to_vec(json).map_or(0, |json| json.len());
        self.encrypted(field, bytes);
    }

    pub(super) fn object(
        &mut self,
        field: &str,
        message: Option<Struct>,
    ) -> Option<Map<String, Value>> {
        self.json(field, json::from_struct(message?, self.limits.nesting))
    }

    pub(super) fn json<T>(&mut self, field: &str, json: Result<T, json::Fault>) -> Option<T> {
        json.map_err(|fault| self.invalid(&fault.path(field), fault.description))
            .ok()
    }

    pub(super) fn port(&mut self, field: &str, port: Option<i32>) -> Option<i32> {
        if let Some(port) = port.filter(|port| !(1..=65_535).contains(port)) {
            self.invalid(field, format!("must be 1 to 65535, not {port}"));
        }
        port
    }
}
