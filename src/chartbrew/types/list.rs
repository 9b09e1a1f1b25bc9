//! Reading an answer: one row, or an array of them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use serde_json::value::RawValue;

use super::Connection;

/// The answer to `GET /team/{team_id}/connections`, in the order in which it came: newest first.
///
/// A project-scoped role gets only the rows of its own projects, so that a row that is missing
/// here proves nothing to such a caller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionList {
    /// Every element that is a row.
    pub rows: Vec<Connection>,
    /// How many elements were passed over: no object, no usable id, or nested too deep.
    pub skipped: usize,
}

/// An answer that cannot be read. It shows nothing of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The JSON ends in the middle.
    #[error("the answer is cut short")]
    CutShort,
    /// Not JSON, or nested deeper than 127 levels.
    #[error("the answer is not JSON that can be read")]
    NotJson,
    /// JSON, but not an object where a row is due, or not an array where a list is.
    #[error("the answer is JSON of another shape than a connection's")]
    WrongShape,
    /// An object without an id that is a whole number from 1 to 2,147,483,647.
    #[error("the answer is a connection without a usable id")]
    NoId,
}

/// Any JSON value, read as a row if it is one.
pub(super) enum Element {
    /// A row.
    Row(Box<Connection>),
    /// An object without a usable id.
    NoId,
    /// No object.
    NoObject,
}

/// Reads a whole answer.
pub(super) fn parse<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(json).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => Unreadable::CutShort,
        serde_json::error::Category::Data => Unreadable::WrongShape,
        serde_json::error::Category::Io | serde_json::error::Category::Syntax => {
            Unreadable::NotJson
        }
    })
}

// === impl ConnectionList ===

impl ConnectionList {
    /// Reads the answer. An element that is no row, or is nested too deep to be read, is skipped
    /// and counted: one broken row must not hide the others.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] if the answer is not a JSON array.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        let elements: Vec<&RawValue> = parse(json)?;
        let mut list = Self::default();
        for element in elements {
            match Connection::from_json(element.get().as_bytes()) {
                Ok(row) => list.rows.push(row),
                Err(_) => list.skipped += 1,
            }
        }
        Ok(list)
    }
}

// === impl Element ===

impl Element {
    /// The row, if it is one.
    pub(super) fn into_row(self) -> Result<Connection, Unreadable> {
        match self {
            Self::Row(row) => Ok(*row),
            Self::NoId => Err(Unreadable::NoId),
            Self::NoObject => Err(Unreadable::WrongShape),
        }
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Element, E> {
        Ok(Element::NoObject)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Element, E> {
        Ok(Element::NoObject)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Element, E> {
        Ok(Element::NoObject)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Element, E> {
        Ok(Element::NoObject)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Element, E> {
        Ok(Element::NoObject)
    }

    fn visit_str<E>(self, _: &str) -> Result<Element, E> {
        Ok(Element::NoObject)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Element, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Element::NoObject)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Element, A::Error> {
        Ok(Connection::from_map(map)?.map_or(Element::NoId, |row| Element::Row(Box::new(row))))
    }
}
