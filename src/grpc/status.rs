//! The error table: what a caller gets for each way a call can fail.
//!
//! Three kinds of failure come in (from metadata, from `convert`, from `delivery`), each matched
//! without a catch-all, so that a new one does not compile until it has a row here. Every status
//! has an `ErrorInfo`; its reason is what callers decide by. No text of upstream's reaches it.
//!
//! | module | what it has |
//! |---|---|
//! | this | the rows of calls that are refused before anything is sent, and of panics |
//! | `about` | what a call was to do, and the words for it |
//! | `delivery_error` | the rows of `delivery::Error` |
//! | `rejection` | the rows of what Chartbrew refused |
//! | `row` | a row, and how it becomes a `tonic::Status`, which no other module makes |
//!
//! | promise | how it is kept |
//! |---|---|
//! | UNAVAILABLE with our `ErrorInfo`: nothing was created by this call | only what `delivery` has proven has that code |
//! | a client library does not retry an unknown outcome without a request id | `grpc-retry-pushback-ms: -1` |
//! | clients with a retry policy wait as long as `RetryInfo` says | the same trailer, positive |
//! | several clients drop a call whose trailers exceed 8 KiB | [`Row::into_status`] |
//! | what a caller alone can cause is never logged above INFO | a row is INFO unless it says otherwise |

mod about;
mod delivery_error;
mod rejection;
mod row;

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::FieldViolation;

pub(super) use self::about::About;
pub use self::row::DOMAIN;
use self::row::{Row, summary};
use super::{
    call_record::{CallRecord, MessageRefusal},
    identity::Refused,
};
use crate::{
    convert::Violations,
    delivery::{self, Effect, Unavailable},
};

/// When to come back after the gateway itself was too busy.
const OVERLOADED_RETRY: Duration = Duration::from_millis(200);

/// The call that failed.
#[derive(Debug)]
pub(super) struct Context {
    /// What is known about it so far; learns the reason.
    pub(super) record: CallRecord,
    /// What it was about, if that is known.
    pub(super) about: Option<About>,
    /// The caller's id for the creation, if the call can be repeated with it.
    pub(super) request_id: Option<uuid::Uuid>,
    /// The gateway is stopping, and forgets request ids.
    pub(super) forgets_ids: bool,
    /// The gateway uses a token of its own.
    pub(super) own_token: bool,
}

// === impl Context ===

impl Context {
    /// Of a call of which nothing but its record is known.
    pub(super) fn new(record: &CallRecord) -> Self {
        Self {
            record: record.clone(),
            about: None,
            request_id: None,
            forgets_ids: false,
            own_token: false,
        }
    }

    /// The connection has ended for new calls, and the caller goes on as if it had not.
    pub(super) fn connection_is_old(&self) -> Status {
        let message = "the gateway takes no more calls on this connection, as its GOAWAY said; \
                       nothing was sent";
        self.status(Row::new(Code::Unavailable, "BAD_CALL", message).retry_in(OVERLOADED_RETRY))
    }

    /// The request is no gRPC call.
    pub(super) fn not_grpc(&self) -> Status {
        let message = "the content-type is not application/grpc; nothing was sent";
        self.status(Row::new(Code::InvalidArgument, "BAD_CALL", message))
    }

    /// The caller is not known, or may not do this.
    pub(super) fn refused(&self, refused: &Refused) -> Status {
        let row = |code, reason| Row::new(code, reason, refused.to_string());
        self.status(match refused {
            Refused::TokenMissing(_) | Refused::NotIdentified => {
                row(Code::Unauthenticated, "TOKEN_MISSING")
            }
            Refused::UnknownToken => row(Code::Unauthenticated, "TOKEN_REJECTED"),
            Refused::MethodNotAllowed => row(Code::PermissionDenied, "METHOD_NOT_ALLOWED"),
            Refused::TooFast(wait) => row(Code::ResourceExhausted, "RATE_LIMITED").retry_in(*wait),
        })
    }

    /// The caller may do nothing in the team.
    pub(super) fn team_not_allowed(&self) -> Status {
        let message = format!("the caller may do nothing in team {}", self.team());
        self.status(Row::new(
            Code::PermissionDenied,
            "TEAM_NOT_ALLOWED",
            message,
        ))
    }

    /// The request is wrong.
    pub(super) fn violations(&self, violations: &Violations) -> Status {
        let reason = match violations.only_too_large() {
            true => "TOO_LARGE",
            false => "INVALID_FIELD",
        };
        let found: Vec<_> = violations
            .iter()
            .map(|violation| FieldViolation::new(&violation.field, &violation.description))
            .collect();
        let mut row = Row::new(
            Code::InvalidArgument,
            reason,
            summary("invalid request", &found),
        );
        row.omitted = violations.omitted();
        row.violations = found;
        self.status(row)
    }

    /// Chartbrew, or the connection to it, failed.
    pub(super) fn delivery(&self, error: &delivery::Error) -> Status {
        let mut row = self.delivery_row(error);
        // A create is safe to repeat with a request id; without, only if nothing can have been
        // created.
        row.never_retry = self.effect() == Effect::Create
            && self.request_id.is_none()
            && !error.proves_that_nothing_was_created();
        self.status(row)
    }

    /// A handler panicked. What it had sent is not known.
    pub(super) fn panicked(&self) -> Status {
        let mut row = Row::new(
            Code::Internal,
            "INTERNAL",
            "the gateway failed while handling the call; what it asked for may have been done",
        )
        .error();
        row.never_retry = true;
        self.status(row)
    }

    /// The message did not arrive, or was not taken.
    pub(super) fn message_refused(&self, refusal: MessageRefusal) -> Status {
        self.status(match refusal {
            MessageRefusal::TooSlow => Row::new(
                Code::DeadlineExceeded,
                "BAD_CALL",
                "the request message did not arrive in time; nothing was sent to Chartbrew",
            ),
            MessageRefusal::Overloaded => Row::new(
                Code::ResourceExhausted,
                "OVERLOADED",
                "the gateway has too many messages to read or to decode; nothing was sent",
            )
            .retry_in(OVERLOADED_RETRY),
            MessageRefusal::Stopping => {
                let cause = Unavailable::DeadlineBeforeSending;
                self.unavailable_row(&cause).retry_in(OVERLOADED_RETRY)
            }
        })
    }

    /// The reflection service has as many calls as it may have.
    pub(super) fn too_many_reflections(&self) -> Status {
        let row = Row::new(
            Code::ResourceExhausted,
            "OVERLOADED",
            "the reflection service has as many calls as it may have",
        );
        self.status(row.retry_in(OVERLOADED_RETRY))
    }

    /// The caller did not read the response, and nor did others theirs. It is told so by a reset of the
    /// stream, which has no place for a status.
    pub(super) fn response_given_up(&self) -> Status {
        let message = "the response was not read";
        self.status(Row::new(Code::ResourceExhausted, "OVERLOADED", message))
    }

    /// tonic itself refused the call before it reached a handler.
    pub(super) fn refused_by_tonic(&self, status: &Status) -> Status {
        let message = status.message();
        let row = match status.code() {
            // The limit of a message, and of one that is being decompressed.
            Code::OutOfRange | Code::ResourceExhausted => Row::new(
                Code::InvalidArgument,
                "TOO_LARGE",
                "the request message is over the gateway's size limit",
            ),
            // tonic's wording for a message that prost cannot decode.
            Code::Internal if message.contains("decode Protobuf") => Row::new(
                Code::InvalidArgument,
                "INVALID_FIELD",
                "the request message cannot be decoded: it is not of the method's type, has text \
                 that is not UTF-8, or nests values more than 100 levels deep",
            ),
            Code::Internal if message.contains("decompress") => Row::new(
                Code::InvalidArgument,
                "INVALID_FIELD",
                "the request message cannot be decompressed",
            ),
            Code::Unimplemented => Row::new(
                Code::Unimplemented,
                "UNIMPLEMENTED",
                "no such method, or a compression that the gateway does not accept (gzip and \
                 zstd are); the reflection service lists the methods",
            ),
            code => Row::new(
                code,
                "BAD_CALL",
                "the call does not follow the gRPC protocol",
            ),
        };
        self.status(row)
    }

    fn team(&self) -> i32 {
        self.about.map_or(0, |about| about.team_id)
    }

    /// What repeating the call does. A call that never came to a method counts as a create.
    fn effect(&self) -> Effect {
        self.about
            .map_or(Effect::Create, |about| about.operation.effect())
    }

    /// What the call did not do, to end a sentence.
    fn and_nothing(&self) -> &'static str {
        self.about
            .map_or("; nothing was sent", |about| about.and_nothing())
    }

    fn status(&self, row: Row) -> Status {
        self.record
            .failed(row.reason, row.level, row.upstream_status);
        row.into_status(self.record.request_id())
    }
}
