//! Reading one JSON value as a modelled type, without failing if it is another.
//!
//! Chartbrew validates nothing, so a row may hold a number where a text is documented. Such a
//! value is not an error: it stays in the row as it came.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Number, Value};

/// The id of a project, in the JSON type in which it is stored. Chartbrew's access check compares
/// by strict equality, so `1` and `"1"` are different ids to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ProjectId {
    /// A whole number: what the access check needs.
    Number(Number),
    /// A text: what is documented, and what no project-scoped user is ever matched with.
    Text(String),
}

/// A port. Chartbrew stores it as text and takes any; a number is read as its digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PortText(pub String);

/// A type that a JSON value can be read as.
pub(super) trait Modelled: Sized {
    /// The value as this type, or else as it came.
    fn read(value: Value) -> Result<Self, Value>;
}

/// Puts a value into its place, in which none is left otherwise. Null counts as unset; a value that
/// is not of the modelled type is given back.
pub(super) fn put<T: Modelled>(place: &mut Option<T>, value: Value) -> Option<Value> {
    let (read, left) = match T::read(value) {
        Ok(value) => (Some(value), None),
        Err(Value::Null) => (None, None),
        Err(other) => (None, Some(other)),
    };
    *place = read;
    left
}

/// The largest integer up to which every whole number is a `f64` of its own, 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The integer that a JSON number is by value: `1` and `1.0` are the same.
fn whole(number: &Number) -> Option<Number> {
    if number.is_i64() || number.is_u64() {
        return Some(number.clone());
    }
    let float = number.as_f64()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole and within ±2^53, checked here"
    )]
    (float.fract() == 0.0 && float.abs() <= MAX_EXACT).then(|| Number::from(float as i64))
}

// === impl Modelled ===

impl Modelled for bool {
    fn read(value: Value) -> Result<Self, Value> {
        value.as_bool().ok_or(value)
    }
}

impl Modelled for i32 {
    fn read(value: Value) -> Result<Self, Value> {
        let number = match &value {
            Value::Number(number) => whole(number)
                .and_then(|number| number.as_i64())
                .and_then(|number| number.try_into().ok()),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.ok_or(value)
    }
}

impl Modelled for String {
    fn read(value: Value) -> Result<Self, Value> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(other),
        }
    }
}

impl Modelled for PortText {
    fn read(value: Value) -> Result<Self, Value> {
        match value {
            Value::String(text) => Ok(Self(text)),
            Value::Number(number) => match whole(&number) {
                Some(port) => Ok(Self(port.to_string())),
                None => Err(Value::Number(number)),
            },
            other => Err(other),
        }
    }
}

impl Modelled for Timestamp {
    fn read(value: Value) -> Result<Self, Value> {
        let time = value.as_str().and_then(|text| text.parse().ok());
        time.ok_or(value)
    }
}

/// An object.
impl Modelled for Map<String, Value> {
    fn read(value: Value) -> Result<Self, Value> {
        match value {
            Value::Object(object) => Ok(object),
            other => Err(other),
        }
    }
}

/// An object or an array.
impl Modelled for Value {
    fn read(value: Value) -> Result<Self, Value> {
        if value.is_object() || value.is_array() {
            Ok(value)
        } else {
            Err(value)
        }
    }
}

impl Modelled for Vec<ProjectId> {
    fn read(value: Value) -> Result<Self, Value> {
        let ids = value.as_array().and_then(|ids| {
            let ids = ids.iter().map(|id| match id {
                Value::Number(number) => whole(number).map(ProjectId::Number),
                Value::String(text) => Some(ProjectId::Text(text.clone())),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            });
            ids.collect()
        });
        ids.ok_or(value)
    }
}

// === impl ProjectId ===

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}
