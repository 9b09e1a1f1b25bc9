//! Reading one JSON value as a modelled type, without failing if it is another.
//!
//! Chartbrew validates nothing, so a row may hold a number where a text is documented. Such a
//! value is not an error: [`Read::Other`] keeps it as it came.

use std::{fmt, marker::PhantomData};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Number, Value};

/// The id of a project, in the JSON type in which it is stored. Chartbrew's access check compares
/// by strict equality, so `1` and `"1"` are different ids to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectId {
    /// A whole number: what the access check needs.
    Number(Number),
    /// A text: what is documented, and what no project-scoped user is ever matched with.
    Text(String),
}

/// A port. Chartbrew stores it as text and takes any; a number is read as its digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortText(pub String);

/// What a value turned out to be.
pub(super) enum Read<T> {
    /// JSON null.
    Null,
    /// The modelled type.
    As(T),
    /// Something else.
    Other(Value),
}

/// How a modelled type reads itself from each kind of JSON value. Giving nothing back means: not
/// the modelled type.
pub(super) trait Modelled: Sized {
    fn from_bool(_: bool) -> Option<Self> {
        None
    }

    fn from_number(_: &Number) -> Option<Self> {
        None
    }

    fn from_text(_: &str) -> Option<Self> {
        None
    }

    fn from_array(array: Vec<Value>) -> Result<Self, Vec<Value>> {
        Err(array)
    }

    fn from_object(object: Map<String, Value>) -> Result<Self, Map<String, Value>> {
        Err(object)
    }
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
    fn from_bool(flag: bool) -> Option<Self> {
        Some(flag)
    }
}

impl Modelled for i32 {
    fn from_number(number: &Number) -> Option<Self> {
        whole(number)?.as_i64()?.try_into().ok()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Modelled for String {
    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Modelled for PortText {
    fn from_number(number: &Number) -> Option<Self> {
        whole(number).map(|port| Self(port.to_string()))
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

impl Modelled for Timestamp {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// An object.
impl Modelled for Map<String, Value> {
    fn from_object(object: Map<String, Value>) -> Result<Self, Map<String, Value>> {
        Ok(object)
    }
}

/// An object or an array.
impl Modelled for Value {
    fn from_array(array: Vec<Value>) -> Result<Self, Vec<Value>> {
        Ok(Self::Array(array))
    }

    fn from_object(object: Map<String, Value>) -> Result<Self, Map<String, Value>> {
        Ok(Self::Object(object))
    }
}

impl Modelled for Vec<ProjectId> {
    fn from_array(array: Vec<Value>) -> Result<Self, Vec<Value>> {
        array
            .iter()
            .map(|id| match id {
                Value::Number(number) => whole(number).map(ProjectId::Number),
                Value::String(text) => Some(ProjectId::Text(text.clone())),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
            })
            .collect::<Option<Self>>()
            .ok_or(array)
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

impl Serialize for ProjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
        }
    }
}

// === impl PortText ===

impl Serialize for PortText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

// === impl Read ===

impl<'de, T: Modelled> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadVisitor(PhantomData))
    }
}

struct ReadVisitor<T>(PhantomData<T>);

impl<T: Modelled> ReadVisitor<T> {
    fn number(number: Number) -> Read<T> {
        T::from_number(&number).map_or(Read::Other(Value::Number(number)), Read::As)
    }
}

impl<'de, T: Modelled> Visitor<'de> for ReadVisitor<T> {
    type Value = Read<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Read<T>, E> {
        Ok(Read::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Read<T>, E> {
        Ok(T::from_bool(flag).map_or(Read::Other(Value::Bool(flag)), Read::As))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Read<T>, E> {
        Ok(Self::number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Read<T>, E> {
        Ok(Self::number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Read<T>, E> {
        // JSON has no NaN and no infinity, so this is always a number.
        Ok(Number::from_f64(number).map_or(Read::Null, Self::number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Read<T>, E> {
        Ok(T::from_text(text).map_or_else(|| Read::Other(text.into()), Read::As))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Read<T>, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = seq.next_element()? {
            array.push(value);
        }
        Ok(T::from_array(array).map_or_else(|array| Read::Other(array.into()), Read::As))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Read<T>, A::Error> {
        let object = Map::deserialize(MapAccessDeserializer::new(map))?;
        Ok(T::from_object(object).map_or_else(|object| Read::Other(object.into()), Read::As))
    }
}
