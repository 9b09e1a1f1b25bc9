//! How a call can fail, in terms of what its caller may do next.

use std::time::Duration;

use super::{
    effect::{Effect, Failure},
    request_id::StoreError,
};
use crate::chartbrew::{self, NotSent, Rejection, Unknown};

/// Why there is no connection to return.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Chartbrew refused. Nothing was created.
    #[error("rejected: {0}")]
    Rejected(Rejection),
    /// Chartbrew could not be reached or said that it did nothing. Nothing was created.
    #[error("unavailable: {cause}")]
    Unavailable {
        /// Why the last attempt failed.
        cause: Unavailable,
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// 429, also after retries. Nothing was created.
    #[error("rate limited by upstream")]
    RateLimited {
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// Too many calls under way here. Nothing was sent.
    #[error("too many calls in flight")]
    Overloaded,
    /// The response was lost, or has not come yet, and the connection was not found. It may exist,
    /// or come to.
    #[error("the outcome is not known")]
    OutcomeUnknown {
        /// Whose request it was.
        sent_by: SentBy,
        /// What ended the wait for it.
        ended_by: EndedBy,
        /// It was sent so long ago that asking again will hardly give another result.
        long_ago: bool,
    },
    /// Chartbrew itself failed, is done with the request, and nothing was found to be created.
    #[error("upstream failed with HTTP {status}")]
    UpstreamError {
        /// The response's status.
        status: u16,
    },
    /// The server at the URL is not Chartbrew's API. The outcome of the request is not known.
    #[error("what responds is not Chartbrew's API")]
    NotTheApi {
        /// The response's status.
        status: u16,
    },
    /// The request id was used for a different request.
    #[error("the request id was used for a different request")]
    RequestIdReused,
    /// The store of request ids cannot be used. Nothing was sent by this call.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The time was over before the store of request ids said what is known of this one. Nothing
    /// was sent by this call.
    #[error("the time was over before the request id was looked up")]
    Unclaimed,
    /// The connection was created, its files were not uploaded.
    #[error("created as {connection_id}, but its files were not uploaded: {cause}")]
    FilesNotUploaded {
        /// The connection that exists.
        connection_id: i32,
        /// Why the files are not there.
        cause: Box<Self>,
    },
    /// Some files were uploaded to a connection, and then one was not.
    #[error("some of the files were uploaded, the others were not: {cause}")]
    PartlyUploaded {
        /// Why the others are not there.
        cause: Box<Self>,
    },
    /// A connection that was created could not be read.
    #[error("created as {connection_id}, but it cannot be read: {cause}")]
    NotReadable {
        /// The connection.
        connection_id: i32,
        /// Why reading failed.
        cause: Box<Self>,
    },
    /// The deadline leaves too little time for what must not be cut off. It was not begun.
    #[error("uploading takes about {} s, which the deadline does not leave", takes.as_secs() + 1)]
    TooLittleTime {
        /// How much it takes.
        takes: Duration,
    },
    /// It goes on, but its caller has no time left to wait for it.
    #[error("it was still under way when the time was over")]
    StillUnderWay,
    /// A read got no usable response, also after retries.
    #[error("no usable response: {0}")]
    NoResponse(Unknown),
    /// A read had no response when the time was over.
    #[error("no response when the time was over")]
    NotInTime(EndedBy),
}

/// Who sent a request whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentBy {
    /// This call.
    ThisCall,
    /// An earlier call with the same request id, which may still be under way.
    EarlierCall,
}

/// What ended the wait for an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The caller's deadline.
    Deadline,
    /// The end of the gateway's grace period.
    Shutdown,
    /// The response was lost, and the connection was not found.
    LostResponse,
    /// A response came that leaves the outcome open, and the connection was not found.
    UnclearResponse(Unknown),
}

/// When to come back, where nothing better is known.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

impl Error {
    /// Whether nothing was created by this call, nor will be.
    #[must_use]
    pub fn proves_that_nothing_was_created(&self) -> bool {
        match self {
            Self::Rejected(_)
            | Self::Unavailable { .. }
            | Self::RateLimited { .. }
            | Self::Overloaded
            | Self::RequestIdReused
            | Self::Store(_)
            | Self::Unclaimed
            | Self::UpstreamError { .. } => true,
            Self::OutcomeUnknown { .. }
            | Self::NotTheApi { .. }
            | Self::FilesNotUploaded { .. }
            | Self::PartlyUploaded { .. }
            | Self::NotReadable { .. }
            | Self::TooLittleTime { .. }
            | Self::StillUnderWay
            | Self::NoResponse(_)
            | Self::NotInTime(_) => false,
        }
    }

    /// The error of a request that is not sent again.
    pub(super) fn of_request(error: chartbrew::Error) -> Self {
        use chartbrew::Error as Request;
        let retry_after = error.retry_after().unwrap_or(DEFAULT_RETRY_AFTER);
        match error {
            Request::NotSent(NotSent::Withheld) => Self::too_late(),
            Request::NotSent(cause) => Self::Unavailable {
                cause: Unavailable::NotSent(cause),
                retry_after,
            },
            Request::Rejected(Rejection::RateLimited(_)) => Self::RateLimited { retry_after },
            Request::Rejected(rejection) if rejection.is_transient() => Self::Unavailable {
                cause: Unavailable::Rejected(rejection),
                retry_after,
            },
            Request::Rejected(rejection) => Self::Rejected(rejection),
            Request::Unknown(cause) => Self::NoResponse(cause),
        }
    }

    /// The error of an operation that may be repeated and is not sent again.
    pub(super) fn of_repeated(effect: Effect, failure: Failure) -> Self {
        use Unknown::{NotJson, ServerError};
        let cause = match failure {
            Failure::Request(chartbrew::Error::Unknown(cause)) => cause,
            failure => return failure.into(),
        };
        match cause {
            ServerError(status) => Self::UpstreamError { status },
            NotJson => Self::NotTheApi { status: 200 },
            cause if effect == Effect::Read => Self::NoResponse(cause),
            cause => Self::OutcomeUnknown {
                sent_by: SentBy::ThisCall,
                ended_by: cause.into(),
                long_ago: false,
            },
        }
    }

    /// The error of an upload of several files, of which some are there.
    pub(super) fn of_some_files(failure: Failure) -> Self {
        match Self::of_repeated(Effect::Idempotent, failure) {
            // They say that any part of it may have been done.
            unknown @ (Self::OutcomeUnknown { .. } | Self::UpstreamError { .. }) => unknown,
            cause => Self::PartlyUploaded {
                cause: Box::new(cause),
            },
        }
    }

    /// The error of an operation that may be repeated and whose caller stops waiting.
    pub(super) fn not_waited_for(effect: Effect, ended_by: EndedBy) -> Self {
        match effect {
            Effect::Read => Self::NotInTime(ended_by),
            Effect::Idempotent | Effect::Create => Self::OutcomeUnknown {
                sent_by: SentBy::ThisCall,
                ended_by,
                long_ago: false,
            },
        }
    }

    /// The time was over before anything was sent.
    pub(super) fn too_late() -> Self {
        Self::Unavailable {
            cause: Unavailable::DeadlineBeforeSending,
            retry_after: DEFAULT_RETRY_AFTER,
        }
    }
}

impl From<Unknown> for EndedBy {
    fn from(cause: Unknown) -> Self {
        match cause {
            Unknown::NoResponse => Self::LostResponse,
            cause => Self::UnclearResponse(cause),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Request(error) => Self::of_request(error),
            Failure::Stop(error) => error,
        }
    }
}

/// Why a request was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// No connection.
    NotSent(NotSent),
    /// The server, or a proxy, said that it did nothing.
    Rejected(Rejection),
    /// The circuit is open.
    CircuitOpen,
    /// The caller's time was over before anything was sent.
    DeadlineBeforeSending,
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(cause) => cause.fmt(f),
            Self::Rejected(cause) => cause.fmt(f),
            Self::CircuitOpen => f.write_str("the circuit is open"),
            Self::DeadlineBeforeSending => f.write_str("the time was over before it was sent"),
        }
    }
}
