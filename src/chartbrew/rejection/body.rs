//! The parts of a refusal's JSON body, read without a failure.

use serde_json::Value;

/// The body, if it is a JSON object.
pub(super) fn object(body: &[u8]) -> Option<Value> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.is_object().then_some(body)
}

/// A text; anything else counts as an empty one.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
