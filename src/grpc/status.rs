//! The error table: the one place that makes a `tonic::Status`.
//!
//! Three kinds of failure come in (from metadata, from `convert`, from `delivery`), each matched
//! without a catch-all, so that a new one does not compile until it has a row here. Every status
//! has an `ErrorInfo`; its reason is what callers decide by. No text of upstream's reaches it.
//!
//! | promise | how it is kept |
//! |---|---|
//! | UNAVAILABLE with our `ErrorInfo`: nothing was created by this call | only what `delivery` has proven has that code |
//! | a client library does not retry an unknown outcome without a request id | `grpc-retry-pushback-ms: -1` |
//! | clients with a retry policy wait as long as `RetryInfo` says | the same trailer, positive |
//! | several clients drop a call whose trailers exceed 8 KiB | [`Row::into_status`] |
//! | what a caller alone can cause is never logged above INFO | a row is INFO unless it says otherwise |

mod row;

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::FieldViolation;

pub use self::row::DOMAIN;
use self::row::{Row, summary};
use super::{
    call_record::{CallRecord, MessageRefusal},
    metadata::TokenMissing,
};
use crate::{
    chartbrew::{FieldError, NotSent, Problem, Rejection, Unknown},
    convert::{self, Violations},
    delivery::{self, EndedBy, SentBy, Unavailable},
};

/// When to come back after the gateway itself was too busy.
const OVERLOADED_RETRY: Duration = Duration::from_millis(200);
/// When to ask again for an outcome that is not known yet.
const UNKNOWN_RETRY: Duration = Duration::from_secs(2);

/// The call that failed.
#[derive(Debug)]
pub(super) struct Context<'a> {
    /// What is known about it so far; learns the reason.
    pub(super) record: &'a CallRecord,
    /// The team it was about, if that is known.
    pub(super) team_id: Option<i32>,
    /// The caller's id for the creation, if the call can be repeated with it.
    pub(super) request_id: Option<uuid::Uuid>,
    /// The gateway is stopping, and forgets request ids.
    pub(super) forgets_ids: bool,
    /// The gateway uses a token of its own.
    pub(super) own_token: bool,
}

// === impl Context ===

impl<'a> Context<'a> {
    /// Of a call of which nothing but its record is known.
    pub(super) fn new(record: &'a CallRecord) -> Self {
        Self {
            record,
            team_id: None,
            request_id: None,
            forgets_ids: false,
            own_token: false,
        }
    }

    /// No token to go on with.
    pub(super) fn token_missing(&self, missing: TokenMissing) -> Status {
        self.status(Row::new(
            Code::Unauthenticated,
            "TOKEN_MISSING",
            missing.to_string(),
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
        // With a request id, repeating is safe; without, only if nothing can have been created.
        row.never_retry = self.request_id.is_none() && !error.proves_that_nothing_was_created();
        self.status(row)
    }

    /// A handler panicked. What it had sent is not known.
    pub(super) fn panicked(&self) -> Status {
        let mut row = Row::new(
            Code::Internal,
            "INTERNAL",
            "the gateway failed while handling the call; a create may have been sent",
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
                "the gateway is reading as many messages as it has memory for; nothing was sent",
            )
            .retry_in(OVERLOADED_RETRY),
            MessageRefusal::Stopping => {
                unavailable_row(&Unavailable::DeadlineBeforeSending).retry_in(OVERLOADED_RETRY)
            }
        })
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

    #[rustfmt::skip]
    fn delivery_row(&self, error: &delivery::Error) -> Row {
        use delivery::Error::*;
        match error {
            Rejected(rejection) => self.rejection_row(rejection),
            Unavailable { cause, retry_after } => unavailable_row(cause).retry_in(*retry_after),
            RateLimited { retry_after } => Row::new(Code::ResourceExhausted, "UPSTREAM_RATE_LIMITED",
                "Chartbrew limits the rate of requests, also after retries; nothing was created")
                .retry_in(*retry_after).upstream(429).warn(),
            Overloaded => Row::new(Code::ResourceExhausted, "OVERLOADED",
                "the gateway has as many calls under way as it may have; nothing was sent")
                .retry_in(OVERLOADED_RETRY),
            OutcomeUnknown { sent_by, ended_by, long_ago } =>
                self.unknown_row(*sent_by, *ended_by, *long_ago),
            UpstreamError { status } => Row::new(Code::Internal, "UPSTREAM_ERROR",
                format!("Chartbrew responded with HTTP {status} and nothing was found to be created"))
                .upstream(*status).warn(),
            NotTheApi { status } => misconfigured_row(*status),
            RequestIdReused => Row::new(Code::InvalidArgument, "REQUEST_ID_REUSED",
                "request_id: was used in the last 24 h for a different request; take a new one, \
                 or repeat the request unchanged")
                .violation("request_id", "was used for a different request"),
            Store(_) => Row::new(Code::Unavailable, "REQUEST_ID_STORE_UNAVAILABLE",
                "the request_id store cannot be used, so this call sent nothing; an earlier call \
                 with this request_id may have created the connection: repeat it with the same \
                 request_id")
                .retry_in(UNKNOWN_RETRY).warn(),
            // A caller alone can make its deadline short.
            Unclaimed => Row::new(Code::Unavailable, "REQUEST_ID_STORE_UNAVAILABLE",
                "the call's time was over before the request_id store responded, so this call sent \
                 nothing; an earlier call with this request_id may have created the connection: \
                 repeat it with the same request_id")
                .retry_in(UNKNOWN_RETRY),
            FilesNotUploaded { connection_id, cause } => self.files_row(*connection_id, cause),
            NotReadable { connection_id, cause } => self.not_readable_row(*connection_id, cause),
            NoResponse(Unknown::Unreadable | Unknown::NotJson) => misconfigured_row(200),
            // The causes of the two above: these have no row of their own.
            NoResponse(cause) => Row::new(Code::Unavailable, "UPSTREAM_UNAVAILABLE", cause.to_string()).warn(),
            TooLittleTime { .. } =>
                Row::new(Code::DeadlineExceeded, "DEADLINE_TOO_SHORT", error.to_string()),
            StillUnderWay => Row::new(Code::DeadlineExceeded, "OUTCOME_UNKNOWN", error.to_string()),
        }
    }

    #[rustfmt::skip]
    fn rejection_row(&self, rejection: &Rejection) -> Row {
        use Rejection::*;
        let row = match rejection {
            TokenRejected if self.own_token => Row::new(Code::FailedPrecondition, "GATEWAY_TOKEN_REJECTED",
                "Chartbrew rejected the gateway's own token; its operator must set a valid one \
                 (CHARTBREW_TOKEN or CHARTBREW_TOKEN_FILE)").error(),
            TokenRejected => Row::new(Code::Unauthenticated, "TOKEN_REJECTED",
                "Chartbrew rejected the token: it is wrong, expired or revoked, or its user is gone"),
            AccessDenied => Row::new(Code::PermissionDenied, "ACCESS_DENIED",
                format!("the token has no right to do this in team {}, or there is no such team", self.team())),
            ConnectionNotFound => Row::new(Code::NotFound, "CONNECTION_NOT_FOUND",
                format!("team {} has no such connection", self.team())),
            AlreadyExists => Row::new(Code::AlreadyExists, "ALREADY_EXISTS",
                "Chartbrew says that it exists already"),
            TooLarge => Row::new(Code::InvalidArgument, "TOO_LARGE",
                "Chartbrew, or a proxy before it, refused the request as too large"),
            Fields(fields) => fields_row(fields),
            Unexplained(status) => Row::new(Code::FailedPrecondition, "REJECTED_BY_CHARTBREW",
                format!("Chartbrew responded with HTTP {status} without saying why; it does so when a \
                    source's settings do not do: jira needs an atlassian.net host, a user and a token, \
                    stripeOfficial a key that Stripe accepts")),
            SourceDisabled => Row::new(Code::FailedPrecondition, "SOURCE_DISABLED",
                "this connection type is switched off on the Chartbrew server"),
            HostNotAllowed => Row::new(Code::FailedPrecondition, "HOST_NOT_ALLOWED",
                "Chartbrew does not connect to this host: it is in a private network, or the URL is \
                 none; Chartbrew's operator can allow private networks"),
            StoreUnavailable => Row::new(Code::Unavailable, "UPSTREAM_UNAVAILABLE",
                "Chartbrew cannot reach its own database; nothing was created").warn(),
            RateLimited(_) => Row::new(Code::ResourceExhausted, "UPSTREAM_RATE_LIMITED",
                "Chartbrew limits the rate of requests; nothing was created").warn(),
            NotForwarded(_) => Row::new(Code::Unavailable, "UPSTREAM_UNAVAILABLE",
                "a proxy before Chartbrew forwarded nothing (HTTP 503); nothing was created").warn(),
            NotTheApi(status) => misconfigured_row(*status),
        };
        row.upstream(rejection.http_status())
    }

    fn unknown_row(&self, sent_by: SentBy, ended_by: EndedBy, long_ago: bool) -> Row {
        let code = match ended_by {
            EndedBy::Deadline => Code::DeadlineExceeded,
            EndedBy::Shutdown | EndedBy::LostResponse | EndedBy::UnclearResponse(_) => {
                Code::Unknown
            }
        };
        let why = ended_text(ended_by);
        let what = match sent_by {
            SentBy::ThisCall => format!("the request was sent and {why}"),
            SentBy::EarlierCall => format!(
                "an earlier call with this request_id has sent the request, or is doing so, and {why}"
            ),
        };
        let next = match self.request_id {
            Some(_) if long_ago => {
                "it was sent long ago and is not there, so it was most likely never created: look \
                 for it in the team's connections, then use a new request_id"
            }
            Some(_) => "repeat the call with the same request_id and request to learn the outcome",
            None if self.forgets_ids => {
                "look for it in the team's connections before creating it again: the gateway is \
                 stopping and forgets request_ids"
            }
            None => {
                "look for it in the team's connections before creating it again; a request_id \
                 would have made repeating safe"
            }
        };
        let message = format!("{what}: the connection may exist or come to exist; {next}");
        let row = Row::new(code, "OUTCOME_UNKNOWN", message).with("team_id", self.team());
        let row = match ended_by {
            // A caller alone can make its deadline short.
            EndedBy::Deadline => row,
            EndedBy::Shutdown | EndedBy::LostResponse => row.warn(),
            EndedBy::UnclearResponse(cause) => row.upstream(cause.http_status()).warn(),
        };
        match self.request_id {
            Some(id) if long_ago => row.with("request_id", id),
            Some(id) => row.with("request_id", id).retry_in(UNKNOWN_RETRY),
            None => row,
        }
    }

    /// The connection exists: the code must not be one that says otherwise.
    fn files_row(&self, connection_id: i32, cause: &delivery::Error) -> Row {
        let because = self.delivery_row(cause);
        let code = match because.code {
            code @ (Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound) => code,
            _ => Code::FailedPrecondition,
        };
        // The texts of the others say that nothing was created.
        let why = match code {
            Code::FailedPrecondition => cause.to_string(),
            _ => because.message,
        };
        let next = match (cause, self.request_id) {
            (delivery::Error::StillUnderWay, Some(_)) => {
                "repeat the call with the same request_id: it waits for the upload under way"
            }
            (delivery::Error::StillUnderWay, None) => {
                "the upload under way is carried to its end: look at the connection before you \
                 upload again, and do not create it again"
            }
            (delivery::Error::TooLittleTime { .. }, Some(_)) => {
                "repeat the call with the same request_id and a longer deadline"
            }
            (_, Some(_)) => "repeat the call with the same request_id to upload them",
            (_, None) => "upload them to that connection; do not create it again",
        };
        let message = format!(
            "connection {connection_id} was created but its files were not uploaded: {why}; {next}"
        );
        let mut row = Row::new(code, "FILES_NOT_UPLOADED", message)
            .with("connection_id", connection_id)
            .with("cause", because.reason);
        row.violations = because.violations;
        row.upstream_status = because.upstream_status;
        row.level = because.level;
        match self.request_id {
            Some(_) => row.retry_in(UNKNOWN_RETRY),
            None => row,
        }
    }

    fn not_readable_row(&self, connection_id: i32, cause: &delivery::Error) -> Row {
        let mut row = self
            .delivery_row(cause)
            .with("connection_id", connection_id);
        // What these codes say, that nothing was created, would not be true.
        if matches!(row.code, Code::Unavailable | Code::ResourceExhausted) {
            row.message = cause.to_string();
            row.code = Code::Unknown;
            row.reason = "OUTCOME_UNKNOWN";
        }
        row.retry = None;
        row.message = format!(
            "connection {connection_id} was created, but it cannot be read now: {}",
            row.message
        );
        match self.request_id {
            Some(id) if row.reason == "OUTCOME_UNKNOWN" => row
                .with("request_id", id)
                .with("team_id", self.team())
                .retry_in(UNKNOWN_RETRY),
            _ => row,
        }
    }

    fn team(&self) -> i32 {
        self.team_id.unwrap_or_default()
    }

    fn status(&self, row: Row) -> Status {
        self.record
            .failed(row.reason, row.level, row.upstream_status);
        row.into_status(self.record.request_id())
    }
}

#[rustfmt::skip]
fn unavailable_row(cause: &Unavailable) -> Row {
    let row = |message: &str| Row::new(Code::Unavailable, "UPSTREAM_UNAVAILABLE",
        format!("{message}; nothing was created"));
    match cause {
        Unavailable::NotSent(NotSent::Tls) => row("TLS with Chartbrew failed: its certificate \
            does not verify, or CHARTBREW_URL names the wrong host or scheme").error(),
        Unavailable::NotSent(NotSent::Request) => Row::new(Code::Internal, "UPSTREAM_MISCONFIGURED",
            "the request to Chartbrew could not be built; look at CHARTBREW_URL").error(),
        Unavailable::NotSent(cause @ (NotSent::Dns | NotSent::Connect | NotSent::ConnectTimeout)) =>
            row(&format!("Chartbrew cannot be reached: {cause}")).warn(),
        Unavailable::Rejected(Rejection::StoreUnavailable) =>
            row("Chartbrew cannot reach its own database").upstream(400).warn(),
        Unavailable::Rejected(rejection) => row(&format!("Chartbrew is not ready: {rejection}"))
            .upstream(rejection.http_status()).warn(),
        Unavailable::CircuitOpen =>
            row("Chartbrew could not be reached several times in a row; the circuit is open").warn(),
        Unavailable::DeadlineBeforeSending | Unavailable::NotSent(NotSent::Withheld) =>
            row("the call's time was over before the request could be sent"),
    }
}

/// What ended the wait for an outcome, to follow "the request was sent and".
fn ended_text(ended_by: EndedBy) -> String {
    let cause = match ended_by {
        EndedBy::Deadline => return "the deadline passed before its outcome was known".to_owned(),
        EndedBy::Shutdown => return "the gateway stopped before its outcome was known".to_owned(),
        EndedBy::LostResponse => Unknown::NoResponse,
        EndedBy::UnclearResponse(cause) => cause,
    };
    match cause {
        Unknown::NoResponse => "the response was lost before its outcome was known".to_owned(),
        Unknown::GatewayError(status) => format!(
            "a proxy before Chartbrew responded with HTTP {status}, which does not tell whether \
             Chartbrew executed it"
        ),
        Unknown::ServerError(status) => format!(
            "Chartbrew responded with HTTP {status}, and whether it created the connection could \
             not be determined"
        ),
        Unknown::StoreLost => {
            "Chartbrew lost its database before the outcome was known (HTTP 400)".to_owned()
        }
        Unknown::Unreadable | Unknown::NotJson | Unknown::TooLarge => {
            "the response could not be read, so that its outcome is not known".to_owned()
        }
    }
}

fn misconfigured_row(status: u16) -> Row {
    let what = match status {
        200..=299 => "responded with something that is not Chartbrew's JSON".to_owned(),
        300..=399 => format!("responded with HTTP {status}, a redirect, which is not followed"),
        _ => format!("responded with HTTP {status}: it does not know the route"),
    };
    let message =
        format!("what CHARTBREW_URL points at {what}; set it to the address of Chartbrew's API");
    Row::new(Code::Internal, "UPSTREAM_MISCONFIGURED", message)
        .upstream(status)
        .error()
}

fn fields_row(fields: &[FieldError]) -> Row {
    let violations: Vec<_> = fields
        .iter()
        .map(|error| {
            let field = convert::proto_field(error.field).unwrap_or("connection");
            FieldViolation::new(field, problem_text(error.problem))
        })
        .collect();
    let message = summary("Chartbrew refused the request", &violations);
    let mut row = Row::new(Code::InvalidArgument, "REJECTED_BY_CHARTBREW", message);
    row.violations = violations;
    row
}

fn problem_text(problem: Problem) -> &'static str {
    match problem {
        Problem::NotText => "must be a text",
        Problem::Missing => "is required by Chartbrew",
        Problem::TooLong => "is too long for Chartbrew's database",
        Problem::WrongType => "has a value of the wrong type for Chartbrew's database",
        Problem::OutOfRange => "is out of the range of Chartbrew's database",
        Problem::NotUnique => "must be unique and is taken",
        Problem::NoSuchReference => "refers to something that does not exist",
        Problem::Invalid => "was refused by Chartbrew",
    }
}
