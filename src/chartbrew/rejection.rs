//! Refusals by Chartbrew, or by a proxy before it: a status and a body, read into values of our
//! own.

mod body;
mod database;
mod fields;
mod proxy;
mod read;

pub(super) use self::{database::leaves_open, proxy::says_not_forwarded};

use std::{fmt, time::Duration};

/// A complete response by which the server says that it did not do what was asked.
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
    /// 400: Chartbrew connects to no host in a private network for this kind of source, or the URL
    /// is none.
    HostNotAllowed,
    /// 400 whose error name says that Chartbrew could not reach its own database.
    StoreUnavailable,
    /// 429, with the wait asked for.
    RateLimited(Option<Duration>),
    /// 503 by which a proxy says that it forwarded nothing, with the wait asked for.
    NotForwarded(Option<Duration>),
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

// === impl Rejection ===

impl Rejection {
    /// Whether nothing was done now and the same request may be accepted later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.retry().is_some()
    }

    /// The wait that the server asked for.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry()?
    }

    /// How long to wait before the same request may be accepted: `Some(None)` if the server does
    /// not say how long, `None` if it never will be.
    #[expect(
        clippy::option_option,
        reason = "two questions with one table of answers"
    )]
    fn retry(&self) -> Option<Option<Duration>> {
        match self {
            Self::StoreUnavailable => Some(None),
            Self::RateLimited(wait) | Self::NotForwarded(wait) => Some(*wait),
            Self::TokenRejected
            | Self::AccessDenied
            | Self::ConnectionNotFound
            | Self::AlreadyExists
            | Self::TooLarge
            | Self::Fields(_)
            | Self::Unexplained(_)
            | Self::SourceDisabled
            | Self::HostNotAllowed
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
            Self::Fields(_)
            | Self::SourceDisabled
            | Self::HostNotAllowed
            | Self::StoreUnavailable => 400,
            Self::RateLimited(_) => 429,
            Self::NotForwarded(_) => 503,
            Self::Unexplained(status) | Self::NotTheApi(status) => *status,
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
            Self::HostNotAllowed => f.write_str("Chartbrew may not connect to the host"),
            Self::StoreUnavailable => f.write_str("Chartbrew cannot reach its database"),
            Self::RateLimited(_) => f.write_str("rate limited"),
            Self::NotForwarded(_) => f.write_str("a proxy forwarded nothing (HTTP 503)"),
            Self::NotTheApi(status) => write!(f, "HTTP {status}: not Chartbrew's API"),
        }
    }
}
