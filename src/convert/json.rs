//! `google.protobuf.Value` and `Struct` ⇄ JSON.
//!
//! | | |
//! |---|---|
//! | whole numbers within ±2^53 | written as JSON integers: `1`, not `1.0` |
//! | integers beyond ±2^53 in a response | the nearest double: `Value` has no other number |
//! | NaN, ±infinity in a request | a fault: JSON has no such numbers |
//! | a `Value` without a kind in a request | a fault: its own documentation calls it an error |
//! | levels beyond the limit in a request | a fault |
//! | levels beyond [`MAX_NESTING`] in a response | that part is given as its JSON text |

use std::fmt;

use prost_types::{ListValue, Struct, value::Kind};
use serde_json::{Map, Number, Value};

/// Levels of arrays and objects that a value may have. Protobuf decoders stop at 100 nested
/// messages, an object takes three (Value, Struct, map entry), and the messages around it up to
/// four.
pub(super) const MAX_NESTING: usize = 30;

/// 2^53: up to here every whole number is a double of its own.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Why a `Value` cannot be sent as JSON, and where in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The path to the faulty value, from the inside out.
    steps: Vec<Step>,
    /// What to change.
    pub(super) description: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

// === proto → JSON ===

/// The JSON object of a message. `nesting`: how many levels it may have, its own included.
pub(super) fn from_struct(message: Struct, nesting: usize) -> Result<Map<String, Value>, Fault> {
    let inner = deeper(nesting)?;
    message
        .fields
        .into_iter()
        .map(|(key, value)| match from_value(value, inner) {
            Ok(value) => Ok((key, value)),
            Err(fault) => Err(fault.at(Step::Key(key))),
        })
        .collect()
}

/// The JSON value of a message. `nesting`: how many levels it may have.
pub(super) fn from_value(message: prost_types::Value, nesting: usize) -> Result<Value, Fault> {
    match message.kind {
        Some(Kind::NullValue(_)) => Ok(Value::Null),
        Some(Kind::BoolValue(flag)) => Ok(Value::Bool(flag)),
        Some(Kind::StringValue(text)) => Ok(Value::String(text)),
        Some(Kind::NumberValue(number)) => from_number(number),
        Some(Kind::StructValue(object)) => from_struct(object, nesting).map(Value::Object),
        Some(Kind::ListValue(list)) => from_list(list, nesting),
        None => Err(Fault::new(
            "has no kind set: set null_value for null, or leave it out",
        )),
    }
}

fn from_list(list: ListValue, nesting: usize) -> Result<Value, Fault> {
    let inner = deeper(nesting)?;
    list.values
        .into_iter()
        .enumerate()
        .map(|(index, value)| {
            from_value(value, inner).map_err(|fault| fault.at(Step::Index(index)))
        })
        .collect()
}

fn from_number(number: f64) -> Result<Value, Fault> {
    if number.fract() == 0.0 && number.abs() <= MAX_EXACT {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within ±2^53, checked here"
        )]
        return Ok(Value::from(number as i64));
    }
    Number::from_f64(number)
        .map(Value::Number)
        .ok_or_else(|| Fault::new("is NaN or infinite: JSON has no such number"))
}

fn deeper(nesting: usize) -> Result<usize, Fault> {
    nesting
        .checked_sub(1)
        .ok_or_else(|| Fault::new("is nested too deep: use fewer levels of arrays and objects"))
}

// === JSON → proto ===

/// The message of a JSON object.
pub(super) fn to_struct(object: Map<String, Value>) -> Struct {
    struct_within(object, MAX_NESTING)
}

/// The message of fields by name. Their values may have as many levels as a field of its own.
pub(super) fn to_fields(fields: Map<String, Value>) -> Struct {
    struct_within(fields, MAX_NESTING + 1)
}

/// The message of a JSON value.
pub(super) fn to_value(value: Value) -> prost_types::Value {
    value_within(value, MAX_NESTING)
}

/// `nesting` is at least 1.
fn struct_within(object: Map<String, Value>, nesting: usize) -> Struct {
    Struct {
        fields: object
            .into_iter()
            .map(|(key, value)| (key, value_within(value, nesting - 1)))
            .collect(),
    }
}

fn value_within(value: Value, nesting: usize) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(flag),
        Value::Number(number) => match number.as_f64() {
            Some(number) => Kind::NumberValue(number),
            None => Kind::StringValue(number.to_string()),
        },
        Value::String(text) => Kind::StringValue(text),
        Value::Array(_) | Value::Object(_) if nesting == 0 => Kind::StringValue(value.to_string()),
        Value::Array(values) => Kind::ListValue(ListValue {
            values: values
                .into_iter()
                .map(|value| value_within(value, nesting - 1))
                .collect(),
        }),
        Value::Object(object) => Kind::StructValue(struct_within(object, nesting)),
    };
    prost_types::Value { kind: Some(kind) }
}

// === impl Fault ===

impl Fault {
    fn new(description: &str) -> Self {
        Self {
            steps: Vec::new(),
            description: description.to_owned(),
        }
    }

    fn at(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The path of the place, in a field of this name: `options.a[2]`. Cut after 128 characters,
    /// since keys may have any length.
    pub(super) fn path(&self, field: &str) -> String {
        let steps = self.steps.iter().rev().map(ToString::to_string);
        let path: String = std::iter::once(field.to_owned()).chain(steps).collect();
        match path.char_indices().nth(128) {
            None => path,
            Some((end, _)) => format!("{}…", path.get(..end).unwrap_or_default()),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, ".{key}"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}
