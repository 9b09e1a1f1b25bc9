//! Reads a refusal's body.
//!
//! Chartbrew's 400s are its ORM's error objects: SQL text, bound parameters and the row itself,
//! secrets included. The reader takes only what is on its lists (column names that the API has,
//! error names and texts known from Chartbrew's source) and turns it into values of its own; no
//! upstream text passes. The body is read as Chartbrew's and never as a `google.rpc.Status`.

use std::{fmt, time::Duration};

use serde::Deserialize;

use super::{FieldError, Problem, Rejection};
use crate::chartbrew::types::names;

/// What is read of an error body; everything else is skipped unread.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    code: Text<'a>,
    #[serde(borrow)]
    errors: Vec<Item<'a>>,
    #[serde(borrow)]
    parent: Option<Parent<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item<'a> {
    #[serde(borrow)]
    path: Text<'a>,
    #[serde(rename = "validatorKey", borrow)]
    validator: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Parent<'a> {
    #[serde(borrow)]
    code: Text<'a>,
    #[serde(rename = "sqlMessage", borrow)]
    message: Text<'a>,
    fatal: Flag,
}

/// `true`, or anything else, which counts as false.
#[derive(Debug, Default)]
struct Flag(bool);

/// A text, or anything else, which counts as an empty one.
#[derive(Debug, Default)]
struct Text<'a>(std::borrow::Cow<'a, str>);

const MYSQL_CODES: [(&str, Problem); 9] = [
    ("ER_DATA_TOO_LONG", Problem::TooLong),
    ("ER_TRUNCATED_WRONG_VALUE_FOR_FIELD", Problem::WrongType),
    ("ER_TRUNCATED_WRONG_VALUE", Problem::WrongType),
    ("WARN_DATA_TRUNCATED", Problem::WrongType),
    ("ER_WARN_DATA_OUT_OF_RANGE", Problem::OutOfRange),
    ("ER_BAD_NULL_ERROR", Problem::Missing),
    ("ER_NO_DEFAULT_FOR_FIELD", Problem::Missing),
    ("ER_DUP_ENTRY", Problem::NotUnique),
    ("ER_NO_REFERENCED_ROW_2", Problem::NoSuchReference),
];

/// Sequelize's names for "the database could not be reached", in every version of it.
const STORE_UNAVAILABLE: [&str; 8] = [
    "SequelizeConnectionError",
    "SequelizeConnectionRefusedError",
    "SequelizeConnectionTimedOutError",
    "SequelizeConnectionAcquireTimeoutError",
    "SequelizeHostNotFoundError",
    "SequelizeHostNotReachableError",
    "SequelizeAccessDeniedError",
    "SequelizeInvalidConnectionError",
];

/// Codes of a connection that was lost, in the words of Node and of the database drivers.
const LOST: [&str; 8] = [
    "ECONNRESET",
    "ECONNABORTED",
    "EPIPE",
    "ETIMEDOUT",
    "PROTOCOL_CONNECTION_LOST",
    "PROTOCOL_SEQUENCE_TIMEOUT",
    "ER_SERVER_SHUTDOWN",
    "ER_CONNECTION_KILLED",
];

const NO_SUCH_USER: &str = "Could not process the request. Please try again.";

impl Rejection {
    /// Reads a 3xx or 4xx answer, or a 503. A 404 is about a connection only where the route
    /// names one (`of_a_connection`).
    #[must_use]
    pub fn read(
        status: u16,
        retry_after: Option<Duration>,
        body: &[u8],
        of_a_connection: bool,
    ) -> Self {
        match status {
            400 | 422 => read_400(status, body),
            401 => Self::TokenRejected,
            403 => Self::AccessDenied,
            404 if of_a_connection && is_json_object(body) => Self::ConnectionNotFound,
            409 => Self::AlreadyExists,
            413 => Self::TooLarge,
            429 => Self::RateLimited(retry_after),
            408 | 425 | 503 => Self::Unavailable(status, retry_after),
            100..=399 | 404 | 405 | 410 | 421 => Self::NotTheApi(status),
            _ => Self::Unexplained(status),
        }
    }
}

/// Whether a 400 leaves open if anything was stored: Chartbrew lost its database while a statement
/// was under way, and the statement may have been executed all the same. (Measured: an INSERT
/// whose reply is cut off is answered with 400 `SequelizeDatabaseError`, and the row is there.)
pub(in crate::chartbrew) fn leaves_open(body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Body<'_>>(body) else {
        return false;
    };
    let parent = body.parent.as_ref();
    let code = parent.map_or(body.code.as_str(), |parent| parent.code.as_str());
    let fatal = parent.is_some_and(|parent| parent.fatal.0);
    let reached = !STORE_UNAVAILABLE.iter().any(|name| body.name.is(name));
    reached && (fatal || LOST.contains(&code) || is_a_lost_sqlstate(code))
}

/// PostgreSQL's classes "connection exception" and "operator intervention".
fn is_a_lost_sqlstate(code: &str) -> bool {
    code.len() == 5 && (code.starts_with("08") || code.starts_with("57P"))
}

fn read_400(status: u16, body: &[u8]) -> Rejection {
    if std::str::from_utf8(body).is_ok_and(|text| text.trim() == NO_SUCH_USER) {
        return Rejection::TokenRejected;
    }
    let Ok(body) = serde_json::from_slice::<Body<'_>>(body) else {
        return Rejection::Unexplained(status);
    };
    if body.code.is("SOURCE_DISABLED") {
        return Rejection::SourceDisabled;
    }
    if STORE_UNAVAILABLE.iter().any(|name| body.name.is(name)) {
        return Rejection::StoreUnavailable;
    }
    let fields = body.fields();
    if fields.is_empty() {
        Rejection::Unexplained(status)
    } else {
        Rejection::Fields(fields)
    }
}

fn is_json_object(body: &[u8]) -> bool {
    serde_json::from_slice::<Body<'_>>(body).is_ok()
}

// === impl Body ===

impl Body<'_> {
    fn fields(&self) -> Vec<FieldError> {
        let mut fields = Vec::new();
        let named = self.errors.iter().filter_map(Item::field_error);
        let of_the_database = self.parent.iter().filter_map(Parent::field_error);
        for error in named.chain(of_the_database) {
            let seen = |known: &FieldError| known.field == error.field;
            // A row has at most as many fields as the API: an answer with more is no Chartbrew's.
            if !fields.iter().any(seen) && fields.len() < names::MODELLED.len() {
                fields.push(error);
            }
        }
        fields
    }
}

// === impl Item ===

impl Item<'_> {
    fn field_error(&self) -> Option<FieldError> {
        let problem = match self.validator.as_str() {
            "not_a_string" => Problem::NotText,
            "is_null" => Problem::Missing,
            "not_unique" => Problem::NotUnique,
            "len" => Problem::TooLong,
            _ => Problem::Invalid,
        };
        field(self.path.as_str(), problem)
    }
}

// === impl Parent ===

impl Parent<'_> {
    /// `Data too long for column 'name' at row 1`; `… for column `db`.`Connection`.`ssl` at …`;
    /// a foreign key's `… FOREIGN KEY (`oauth_id`) REFERENCES …`.
    fn field_error(&self) -> Option<FieldError> {
        let (_, problem) = MYSQL_CODES.iter().find(|(code, _)| self.code.is(code))?;
        let message = self.message.as_str();
        let from = ["column ", "Column ", "Field ", "FOREIGN KEY ("]
            .iter()
            .find_map(|mark| message.split_once(mark))?
            .1;
        let quoted = from.split([' ', ')']).next()?;
        let column = quoted.rsplit('.').next()?;
        field(column.trim_matches(['\'', '`', '"']), *problem)
    }
}

fn field(name: &str, problem: Problem) -> Option<FieldError> {
    let field = names::MODELLED.iter().find(|known| **known == name)?;
    Some(FieldError { field, problem })
}

// === impl Flag ===

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Any {
            Bool(bool),
            Other(serde::de::IgnoredAny),
        }
        Ok(Self(match Any::deserialize(deserializer)? {
            Any::Bool(flag) => flag,
            Any::Other(_) => false,
        }))
    }
}

// === impl Text ===

impl Text<'_> {
    fn as_str(&self) -> &str {
        &self.0
    }

    fn is(&self, text: &str) -> bool {
        self.0 == text
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(text.into()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(text.to_owned().into()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Vec<(&'static str, Problem)> {
        match Rejection::read(400, None, body.as_bytes(), false) {
            Rejection::Fields(fields) => fields.into_iter().map(|e| (e.field, e.problem)).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn columns_are_found_in_every_wording_of_the_database() {
        let cases = [
            (
                "ER_DATA_TOO_LONG",
                "Data too long for column 'name' at row 1",
                "name",
                Problem::TooLong,
            ),
            (
                "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD",
                "Incorrect integer value: 'no' for column `chartbrew`.`Connection`.`ssl` at row 1",
                "ssl",
                Problem::WrongType,
            ),
            (
                "ER_BAD_NULL_ERROR",
                "Column 'type' cannot be null",
                "type",
                Problem::Missing,
            ),
            (
                "ER_NO_REFERENCED_ROW_2",
                "… CONSTRAINT `c` FOREIGN KEY (`oauth_id`) REFERENCES `OAuth` (`id`)",
                "oauth_id",
                Problem::NoSuchReference,
            ),
            (
                "ER_WARN_DATA_OUT_OF_RANGE",
                "Out of range value for column 'sshPort' at row 1",
                "sshPort",
                Problem::OutOfRange,
            ),
        ];
        for (code, message, field, problem) in cases {
            let parent = serde_json::json!({"code": code, "sqlMessage": message});
            let body = serde_json::json!({"name": "SequelizeDatabaseError", "parent": parent});
            assert_eq!(fields(&body.to_string()), [(field, problem)], "{message}");
        }
    }

    #[test]
    fn what_is_on_no_list_is_not_read() {
        let cases = [
            r#"{"errors":[{"path":"marker","message":"marker"}]}"#,
            r#"{"errors":[{"path":{"a":1}},{"path":5},{"path":null}]}"#,
            r#"{"parent":{"code":"ER_DATA_TOO_LONG","sqlMessage":"too long for column 'marker'"}}"#,
            r#"{"parent":{"code":"marker","sqlMessage":"for column 'name'"}}"#,
            r#"{"parent":"marker","errors":"marker"}"#,
            r#"{"errors":[{"path":"PRIMARY","validatorKey":"not_unique"}]}"#,
            "[]",
            "",
            "null",
            "{",
        ];
        for body in cases {
            let read = Rejection::read(400, None, body.as_bytes(), false);
            assert_eq!(read, Rejection::Unexplained(400), "{body}");
        }
    }

    #[test]
    fn a_database_that_was_lost_leaves_the_outcome_open() {
        let of = |name: &str, code: &str, fatal: &str| {
            format!(r#"{{"name":"{name}","parent":{{"code":"{code}","fatal":{fatal}}}}}"#)
        };
        let database = "SequelizeDatabaseError";
        let cases = [
            (of(database, "ECONNRESET", "true"), true),
            (of(database, "PROTOCOL_CONNECTION_LOST", "true"), true),
            (of(database, "SOMETHING_NEW", "true"), true),
            (of(database, "ETIMEDOUT", "null"), true),
            (of(database, "57P01", "{}"), true),
            (of(database, "08006", "false"), true),
            (r#"{"code":"ECONNRESET"}"#.to_owned(), true),
            (of(database, "ER_DATA_TOO_LONG", "false"), false),
            (of(database, "22001", "false"), false),
            (
                of("SequelizeConnectionRefusedError", "ECONNREFUSED", "true"),
                false,
            ),
            ("{}".to_owned(), false),
            ("<html>".to_owned(), false),
        ];
        for (body, open) in cases {
            assert_eq!(leaves_open(body.as_bytes()), open, "{body}");
        }
    }

    #[test]
    fn a_field_is_named_once() {
        let body = r#"{"errors":[{"path":"name","validatorKey":"not_a_string"},{"path":"name"}],
                       "parent":{"code":"ER_DATA_TOO_LONG","sqlMessage":"for column 'name' at"}}"#;
        assert_eq!(fields(body), [("name", Problem::NotText)]);
    }
}
