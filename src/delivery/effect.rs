//! What may be repeated: the table by which all of `delivery` decides.
//!
//! | what happened | known | `Create` | `Idempotent`, `Read` |
//! |---|---|---|---|
//! | no connection, circuit open, no byte of the body sent | not sent | repeat | repeat |
//! | 429, a 503 by which a proxy says that it forwarded nothing, 400 by which Chartbrew says that it has no connection to its database | refused | repeat | repeat |
//! | any other 3xx and 4xx but 408 | refused | stop | stop |
//! | no whole response, 408, 5xx, 200 that cannot be read, a statement lost on its way to the database | **unknown** | recover | repeat |
//!
//! "Repeat" means while deadline, attempts and budget allow.

use super::Error;
use crate::chartbrew::{self, NotSent, Rejection};

/// The methods of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Creates a connection.
    Create,
    /// Reads one.
    Get,
    /// Reads those of a team.
    List,
    /// Changes some fields of one.
    Update,
    /// Deletes one.
    Delete,
    /// Lets Chartbrew connect to the source of one.
    Test,
    /// The same for settings that are not stored.
    TestNew,
    /// Uploads files to one.
    UploadFiles,
}

/// What sending an operation twice does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Read,
    /// The same as sending it once.
    Idempotent,
    /// It makes a second connection.
    Create,
}

/// How an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request failed. [`Effect::may_repeat`] says what that allows.
    Request(chartbrew::Error),
    /// The request is not to be sent: it cannot be, or its caller has left.
    Stop(Error),
}

/// What an attempt says of whether Chartbrew can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// It responded.
    Yes,
    /// It did not, or said that it cannot work.
    No,
    /// A connection that was made has ended without a response: neither proves anything.
    Unclear,
}

// === impl Operation ===

impl Operation {
    /// What sending it twice does.
    #[must_use]
    pub fn effect(self) -> Effect {
        match self {
            Self::Create => Effect::Create,
            Self::Update | Self::Delete | Self::UploadFiles => Effect::Idempotent,
            Self::Get | Self::List | Self::Test | Self::TestNew => Effect::Read,
        }
    }
}

// === impl Effect ===

impl Effect {
    /// Whether the request may be sent again after this.
    pub(super) fn may_repeat(self, error: &chartbrew::Error) -> bool {
        match error {
            chartbrew::Error::Unknown(_) => self != Self::Create,
            chartbrew::Error::NotSent(_) | chartbrew::Error::Rejected(_) => error.is_transient(),
        }
    }
}

// === impl Reached ===

impl Reached {
    pub(super) fn of<T>(result: &Result<T, Failure>) -> Self {
        use chartbrew::{Error, Unknown};
        match result {
            Ok(_) => Self::Yes,
            Err(Failure::Stop(_)) => Self::Unclear,
            Err(Failure::Request(error)) => match error {
                Error::NotSent(NotSent::Withheld) => Self::Unclear,
                Error::NotSent(_) => Self::No,
                Error::Rejected(Rejection::NotForwarded(_) | Rejection::StoreUnavailable)
                | Error::Unknown(Unknown::GatewayError(503)) => Self::No,
                Error::Unknown(Unknown::NoResponse) => Self::Unclear,
                Error::Rejected(_) | Error::Unknown(_) => Self::Yes,
            },
        }
    }
}

impl From<chartbrew::Error> for Failure {
    fn from(error: chartbrew::Error) -> Self {
        Self::Request(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chartbrew::Unknown;

    #[test]
    fn the_table() {
        use chartbrew::Error::{NotSent as Not, Rejected, Unknown as Open};
        // (error, whether a create is repeated, whether a read is, whether Chartbrew was reached)
        let cases = [
            (Not(NotSent::Connect), true, true, Reached::No),
            (Not(NotSent::Tls), false, false, Reached::No),
            (Not(NotSent::Withheld), false, false, Reached::Unclear),
            (
                Rejected(Rejection::RateLimited(None)),
                true,
                true,
                Reached::Yes,
            ),
            (
                Rejected(Rejection::NotForwarded(None)),
                true,
                true,
                Reached::No,
            ),
            (
                Rejected(Rejection::StoreUnavailable),
                true,
                true,
                Reached::No,
            ),
            (
                Rejected(Rejection::AccessDenied),
                false,
                false,
                Reached::Yes,
            ),
            (
                Rejected(Rejection::Unexplained(400)),
                false,
                false,
                Reached::Yes,
            ),
            (Open(Unknown::NoResponse), false, true, Reached::Unclear),
            (Open(Unknown::StoreLost), false, true, Reached::Yes),
            (Open(Unknown::ServerError(500)), false, true, Reached::Yes),
            (Open(Unknown::GatewayError(503)), false, true, Reached::No),
            (Open(Unknown::GatewayError(522)), false, true, Reached::Yes),
        ];
        for (error, create, read, reached) in cases {
            assert_eq!(Effect::Create.may_repeat(&error), create, "{error}");
            assert_eq!(Effect::Read.may_repeat(&error), read, "{error}");
            assert_eq!(Effect::Idempotent.may_repeat(&error), read, "{error}");
            assert_eq!(Reached::of::<()>(&Err(error.into())), reached);
        }
    }
}
