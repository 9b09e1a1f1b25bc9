//! Reads the answers by which Chartbrew says no: a status and a body → a [`Rejection`].
//!
//! Chartbrew's 400s are its ORM's error objects: SQL text, bound parameters and the row itself,
//! secrets included. The reader takes only what is on its lists (column names that the API has,
//! error names and texts known from Chartbrew's source) and turns it into values of its own; no
//! upstream text passes. The body is read as Chartbrew's and never as a `google.rpc.Status`.

use std::{fmt, time::Duration};

use serde::Deserialize;

use super::types::names;

/// A complete answer by which the server says that it did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// 401, or the 400 for a token whose user is gone.
    TokenRejected,
    /// 403: not in the team, no such team, or no right to do it.
    AccessDenied,
    /// 404 for a connection of the team.
    ConnectionNotFound,
    /// 409.
    AlreadyExists,
    /// 413: the body is over the server's (or a proxy's) limit.
    TooLarge,
    /// 400 that names fields. Never empty.
    Fields(Vec<FieldError>),
    /// 400 (or another refusal) with nothing usable in it.
    Unexplained(u16),
    /// 400: the operator switched this kind of source off.
    SourceDisabled,
    /// 400 whose error name says that Chartbrew could not reach its own database.
    StoreUnavailable,
    /// 429, with the wait asked for.
    RateLimited(Option<Duration>),
    /// 503 (or 408, 425): not done, with the wait asked for.
    Unavailable(u16, Option<Duration>),
    /// A redirect, a 404 for the route, 405: this is not Chartbrew's API.
    NotTheApi(u16),
}

/// One field that Chartbrew or its database refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's REST name, one of those that the API has.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a field, as far as Chartbrew says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not a text.
    NotText,
    /// Missing.
    Missing,
    /// Longer than the column.
    TooLong,
    /// Not a value of the column's type.
    WrongType,
    /// Outside the column's range.
    OutOfRange,
    /// Already taken.
    NotUnique,
    /// Refers to something that does not exist.
    NoSuchReference,
    /// Refused without a known reason.
    Invalid,
}

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
}

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

const NO_SUCH_USER: &str = "Could not process the request. Please try again.";

/// What was asked for, as far as it matters for reading a refusal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// The route names a connection, so that a 404 can be about it.
    pub(super) of_a_connection: bool,
}

/// Reads a 3xx or 4xx answer, or a 503.
pub(super) fn read(
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    question: Question,
) -> Rejection {
    match status {
        400 | 422 => read_400(status, body),
        401 => Rejection::TokenRejected,
        403 => Rejection::AccessDenied,
        404 if question.of_a_connection && is_json_object(body) => Rejection::ConnectionNotFound,
        409 => Rejection::AlreadyExists,
        413 => Rejection::TooLarge,
        429 => Rejection::RateLimited(retry_after),
        408 | 425 | 503 => Rejection::Unavailable(status, retry_after),
        100..=399 | 404 | 405 | 410 | 421 => Rejection::NotTheApi(status),
        _ => Rejection::Unexplained(status),
    }
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

// === impl Rejection ===

impl Rejection {
    /// Whether nothing was done now and the same request may be accepted later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::StoreUnavailable | Self::RateLimited(_) | Self::Unavailable(..) => true,
            Self::TokenRejected
            | Self::AccessDenied
            | Self::ConnectionNotFound
            | Self::AlreadyExists
            | Self::TooLarge
            | Self::Fields(_)
            | Self::Unexplained(_)
            | Self::SourceDisabled
            | Self::NotTheApi(_) => false,
        }
    }

    /// The wait that the server asked for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited(wait) | Self::Unavailable(_, wait) => *wait,
            Self::StoreUnavailable
            | Self::TokenRejected
            | Self::AccessDenied
            | Self::ConnectionNotFound
            | Self::AlreadyExists
            | Self::TooLarge
            | Self::Fields(_)
            | Self::Unexplained(_)
            | Self::SourceDisabled
            | Self::NotTheApi(_) => None,
        }
    }

    /// The HTTP status, where one kind of rejection has one.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        Some(match self {
            Self::TokenRejected => return None,
            Self::AccessDenied => 403,
            Self::ConnectionNotFound => 404,
            Self::AlreadyExists => 409,
            Self::TooLarge => 413,
            Self::Fields(_) | Self::SourceDisabled | Self::StoreUnavailable => 400,
            Self::RateLimited(_) => 429,
            Self::Unavailable(status, _) | Self::Unexplained(status) | Self::NotTheApi(status) => {
                *status
            }
        })
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenRejected => f.write_str("the token is not valid"),
            Self::AccessDenied => f.write_str("access denied"),
            Self::ConnectionNotFound => f.write_str("no such connection"),
            Self::AlreadyExists => f.write_str("already exists"),
            Self::TooLarge => f.write_str("the body is too large"),
            Self::Fields(fields) => {
                f.write_str("refused fields:")?;
                fields.iter().try_for_each(|e| write!(f, " {}", e.field))
            }
            Self::Unexplained(status) => write!(f, "HTTP {status} without a usable explanation"),
            Self::SourceDisabled => f.write_str("the source is switched off"),
            Self::StoreUnavailable => f.write_str("Chartbrew cannot reach its database"),
            Self::RateLimited(_) => f.write_str("rate limited"),
            Self::Unavailable(status, _) => write!(f, "HTTP {status}"),
            Self::NotTheApi(status) => write!(f, "HTTP {status}: not Chartbrew's API"),
        }
    }
}
