//! How a call can fail, in terms of what its caller may do next.

use std::time::Duration;

use super::request_id::StoreError;
use crate::chartbrew::{NotSent, Rejection};

/// Why there is no connection to return.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Chartbrew said no. Nothing was created.
    #[error("rejected: {0}")]
    Rejected(Rejection),
    /// Chartbrew could not be reached or is not ready. Nothing was created.
    #[error("unavailable: {cause}")]
    Unavailable {
        /// What stood in the way last.
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
    /// The answer was lost and the connection was not found. It may exist, or come to.
    #[error("the outcome is not known")]
    OutcomeUnknown {
        /// The caller's deadline ended the search.
        deadline_passed: bool,
        /// It was sent so long ago that it would be there by now: asking again will hardly tell
        /// more.
        long_ago: bool,
    },
    /// The server gave up on the request and nothing was found to be created.
    #[error("upstream failed with HTTP {status}")]
    UpstreamError {
        /// What was answered.
        status: u16,
        /// The server itself answered, so it is done; a proxy that gave up on it says nothing of
        /// what it still does.
        settled: bool,
    },
    /// Whatever answers is not Chartbrew's API.
    #[error("what answers is not Chartbrew's API")]
    NotTheApi {
        /// What it answered.
        status: u16,
    },
    /// The request id was used for a different request.
    #[error("the request id was used for a different request")]
    RequestIdReused,
    /// The store of request ids cannot be used. Nothing was sent.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The connection was created, its files were not uploaded.
    #[error("created as {connection_id}, but its files were not uploaded: {cause}")]
    FilesNotUploaded {
        /// The connection that exists.
        connection_id: i32,
        /// Why the upload failed.
        cause: Box<crate::chartbrew::Error>,
    },
    /// A connection that an earlier call created could not be read.
    #[error("created as {connection_id} before, but it cannot be read: {cause}")]
    NotReadable {
        /// The connection.
        connection_id: i32,
        /// Why reading failed.
        cause: Box<crate::chartbrew::Error>,
    },
}

impl Error {
    /// Whether the request may safely be sent again.
    #[must_use]
    pub fn proves_that_nothing_was_created(&self) -> bool {
        match self {
            Self::Rejected(_)
            | Self::Unavailable { .. }
            | Self::RateLimited { .. }
            | Self::Overloaded
            | Self::RequestIdReused
            | Self::Store(_) => true,
            Self::UpstreamError { settled, .. } => *settled,
            // A refusal by whatever stands there; a 200 may have been Chartbrew's all the same.
            Self::NotTheApi { status } => *status != 200,
            Self::OutcomeUnknown { .. }
            | Self::FilesNotUploaded { .. }
            | Self::NotReadable { .. } => false,
        }
    }
}

/// What stood in the way of sending a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// No connection.
    NotSent(NotSent),
    /// The server said "not now".
    Rejected(Rejection),
    /// The circuit is open.
    CircuitOpen,
    /// The deadline passed before anything was sent.
    DeadlineBeforeSending,
}

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(cause) => cause.fmt(f),
            Self::Rejected(cause) => cause.fmt(f),
            Self::CircuitOpen => f.write_str("the circuit is open"),
            Self::DeadlineBeforeSending => f.write_str("the deadline passed before it was sent"),
        }
    }
}
