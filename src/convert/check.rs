//! The checks of a request's fields. The table of fields names them; a function that a row names
//! takes the field's path and its value in the contract, and gives what is sent.

use prost_types::{Struct, value::Kind as ValueKind};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    enums::{self, Table},
    json,
    limits::Limits,
    violations::{Violations, brief},
};
use crate::{
    chartbrew::types::{self, PortText, ProjectId},
    proto,
};

/// Above this JavaScript, and so Chartbrew, no longer tells whole numbers apart: 2^53 − 1.
const MAX_SAFE_INTEGER: u64 = 9_007_199_254_740_991;

/// Collects violations while a request is mapped. A function that finds one returns any
/// value with which the mapping can continue.
pub(super) struct Check<'a> {
    pub(super) limits: &'a Limits,
    pub(super) violations: Violations,
}

// === named by the table ===

/// Any value will do.
pub(super) fn as_is<T>(_: &mut Check<'_>, _: &str, value: Option<T>) -> Option<T> {
    value
}

/// A text that Chartbrew encrypts. Any content will do: it is stored as it is.
pub(super) fn encrypted_text(
    check: &mut Check<'_>,
    path: &str,
    text: Option<String>,
) -> Option<String> {
    check.encrypted_size(path, text.as_ref().map_or(0, String::len));
    text
}

/// The port of a source, an encrypted text.
pub(super) fn port_text(
    check: &mut Check<'_>,
    path: &str,
    port: Option<String>,
) -> Option<PortText> {
    encrypted_text(check, path, port).map(PortText)
}

/// A port in digits, 1 to 65535.
pub(super) fn port_number(check: &mut Check<'_>, path: &str, port: Option<i32>) -> Option<i32> {
    if let Some(port) = port.filter(|port| !(1..=65_535).contains(port)) {
        check.invalid(path, format!("must be 1 to 65535, not {port}"));
    }
    port
}

pub(super) fn object(
    check: &mut Check<'_>,
    path: &str,
    object: Option<Struct>,
) -> Option<Map<String, Value>> {
    let object = json::from_struct(object?, check.limits.nesting);
    check.json(path, object)
}

/// An object, an array or null.
pub(super) fn options(
    check: &mut Check<'_>,
    path: &str,
    options: Option<prost_types::Value>,
) -> Option<Value> {
    let options = options?;
    match &options.kind {
        None => return None,
        Some(ValueKind::NullValue(_) | ValueKind::StructValue(_) | ValueKind::ListValue(_)) => {}
        Some(ValueKind::NumberValue(_) | ValueKind::StringValue(_) | ValueKind::BoolValue(_)) => {
            check.invalid(path, "must be an object, an array or null");
            return None;
        }
    }
    let options = check.json(path, json::from_value(options, check.limits.nesting))?;
    check.encrypted_json_size(path, &options);
    Some(options)
}

pub(super) fn authentication(
    check: &mut Check<'_>,
    path: &str,
    message: Option<proto::Authentication>,
) -> Option<Map<String, Value>> {
    let proto::Authentication {
        r#type,
        token,
        user,
        pass,
    } = message?;
    let kind = check.required(&format!("{path}.type"), enums::AUTHENTICATION, r#type);
    let object = types::authentication(kind, token, user, pass);
    check.encrypted_json_size(path, &object);
    Some(object)
}

pub(super) fn ssl_mode(check: &mut Check<'_>, path: &str, mode: i32) -> Option<String> {
    let mode = check.optional(path, enums::SSL_MODE, mode);
    mode.map(str::to_owned)
}

/// None at all are not sent.
pub(super) fn project_ids(
    check: &mut Check<'_>,
    path: &str,
    ids: Vec<String>,
) -> Option<Vec<ProjectId>> {
    let empty = ids.iter().enumerate().filter(|(_, id)| id.is_empty());
    // More ids than a response can contain: the rest need not be checked.
    for (index, _) in empty.take(Violations::MAX) {
        check.invalid(&format!("{path}[{index}]"), "must not be empty");
    }
    let ids: Vec<_> = ids.into_iter().map(project_id).collect();
    let bytes = json_size(&ids);
    let max = check.limits.project_ids_bytes;
    if bytes > max {
        check.invalid(
            path,
            format!("takes {bytes} bytes as JSON: Chartbrew stores at most {max} bytes of it"),
        );
    }
    (!ids.is_empty()).then_some(ids)
}

/// A decimal id goes as a number, which Chartbrew's access check needs; anything else as text.
fn project_id(id: String) -> ProjectId {
    let canonical =
        id.bytes().all(|byte| byte.is_ascii_digit()) && (id == "0" || !id.starts_with('0'));
    match id.parse::<u64>() {
        Ok(number) if canonical && number <= MAX_SAFE_INTEGER => ProjectId::Number(number.into()),
        Ok(_) | Err(_) => ProjectId::Text(id),
    }
}

/// Chartbrew looks a grant up by the exact text, and makes its ids in the canonical form.
pub(super) fn oauth_id(check: &mut Check<'_>, path: &str, id: Option<String>) -> Option<String> {
    let id = id?;
    let parsed = Uuid::try_parse(&id);
    if parsed.is_err() {
        check.invalid(
            path,
            format!(
                "must be a UUID, such as 123e4567-e89b-42d3-a456-426614174000, not {}",
                brief(&id)
            ),
        );
    }
    parsed.ok().map(|id| id.hyphenated().to_string())
}

// === impl Check ===

impl<'a> Check<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            violations: Violations::default(),
        }
    }

    /// What was mapped, if nothing is wrong with it.
    pub(super) fn finish<T>(self, mapped: Option<T>) -> Result<T, Violations> {
        match mapped {
            Some(mapped) if self.violations.is_empty() => Ok(mapped),
            Some(_) | None => Err(self.violations),
        }
    }
}

impl Check<'_> {
    pub(super) fn invalid(&mut self, path: &str, description: impl Into<String>) {
        self.violations.invalid(path, description);
    }

    /// An enum that must be set.
    pub(super) fn required<E: Copy + Into<i32>>(
        &mut self,
        path: &str,
        table: Table<E>,
        number: i32,
    ) -> &'static str {
        if number == 0 {
            self.invalid(path, format!("is required: one of {}", table.values()));
        }
        self.optional(path, table, number).unwrap_or_default()
    }

    /// An enum whose 0 means: not sent.
    pub(super) fn optional<E: Copy + Into<i32>>(
        &mut self,
        path: &str,
        table: Table<E>,
        number: i32,
    ) -> Option<&'static str> {
        let text = table.rest(number);
        if text.is_none() && number != 0 {
            let values = table.values();
            self.invalid(
                path,
                format!("{number} is no value of the enum: use one of {values}"),
            );
        }
        text
    }

    pub(super) fn json<T>(&mut self, path: &str, json: Result<T, json::Fault>) -> Option<T> {
        json.map_err(|fault| self.invalid(&fault.path(path), fault.description))
            .ok()
    }

    fn encrypted_size(&mut self, path: &str, bytes: usize) {
        let max = self.limits.encrypted_text_bytes;
        if bytes > max {
            self.invalid(
                path,
                format!("has {bytes} bytes: Chartbrew stores at most {max} bytes of it"),
            );
        }
    }

    /// JSON that Chartbrew encrypts, as long as it is written.
    fn encrypted_json_size(&mut self, path: &str, json: &impl serde::Serialize) {
        self.encrypted_size(path, json_size(json));
    }
}

fn json_size(value: &impl serde::Serialize) -> usize {
    types::secret_json(value).map_or(0, |json| json.len())
}
