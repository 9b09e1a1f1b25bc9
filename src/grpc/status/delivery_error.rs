//! The rows of [`delivery::Error`]: Chartbrew, the way to it, or the gateway's own limits failed a
//! call whose request was in order.

use std::time::Duration;

use tonic::Code;

use super::{Context, OVERLOADED_RETRY, rejection::misconfigured_row, row::Row};
use crate::{
    chartbrew::{NotSent, Rejection, Unknown},
    delivery::{self, Effect, EndedBy, Operation, SentBy, Unavailable},
};

/// When to ask again for an outcome that is not known yet.
const UNKNOWN_RETRY: Duration = Duration::from_secs(2);

impl Context {
    #[rustfmt::skip]
    pub(super) fn delivery_row(&self, error: &delivery::Error) -> Row {
        use delivery::Error::*;
        match error {
            Rejected(rejection) => self.rejection_row(rejection),
            Unavailable { cause, retry_after } => self.unavailable_row(cause).retry_in(*retry_after),
            RateLimited { retry_after } => Row::new(Code::ResourceExhausted, "UPSTREAM_RATE_LIMITED",
                format!("Chartbrew limits the rate of requests, also after retries{}", self.and_nothing()))
                .retry_in(*retry_after).upstream(429).warn(),
            Overloaded => Row::new(Code::ResourceExhausted, "OVERLOADED",
                "the gateway has as many calls under way as it may have; nothing was sent")
                .retry_in(OVERLOADED_RETRY),
            OutcomeUnknown { ended_by, .. } if self.effect() == Effect::Idempotent =>
                self.repeatable_row(*ended_by),
            OutcomeUnknown { sent_by, ended_by, long_ago } =>
                self.unknown_row(*sent_by, *ended_by, *long_ago),
            UpstreamError { status } => self.upstream_error_row(*status),
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
            PartlyUploaded { cause } => self.partly_uploaded_row(cause),
            NotReadable { connection_id, cause } => self.not_readable_row(*connection_id, cause),
            NoResponse(Unknown::Unreadable | Unknown::NotJson) => misconfigured_row(200),
            NoResponse(cause @ Unknown::TooLarge) =>
                Row::new(Code::Internal, "UPSTREAM_ERROR", cause.to_string()).upstream(200).warn(),
            NoResponse(cause) => Row::new(Code::Unavailable, "UPSTREAM_UNAVAILABLE",
                format!("Chartbrew gave no usable response: {cause}"))
                .upstream(cause.http_status()).retry_in(UNKNOWN_RETRY).warn(),
            NotInTime(ended_by) => self.not_in_time_row(*ended_by),
            TooLittleTime { .. } =>
                Row::new(Code::DeadlineExceeded, "DEADLINE_TOO_SHORT", error.to_string()),
            StillUnderWay => Row::new(Code::DeadlineExceeded, "OUTCOME_UNKNOWN", error.to_string()),
        }
    }

    /// A read that had no response yet. It may be repeated at any time.
    fn not_in_time_row(&self, ended_by: EndedBy) -> Row {
        let what = self.about.map_or("response", |about| about.what());
        let (code, why) = match ended_by {
            EndedBy::Deadline => (Code::DeadlineExceeded, "the deadline passed"),
            _ => (Code::Unavailable, "the gateway stopped"),
        };
        let next = match self.about.map(|about| about.operation) {
            Some(Operation::Test) if ended_by == EndedBy::Deadline => {
                "; the test goes on, and the connection's next Test waits until it has ended: repeat \
                 the call with a longer deadline"
            }
            _ => "",
        };
        let message = format!("{why} before Chartbrew had returned the {what}{next}");
        Row::new(code, "UPSTREAM_UNAVAILABLE", message).retry_in(UNKNOWN_RETRY)
    }

    /// What became of a change that is safe to repeat is not known.
    fn repeatable_row(&self, ended_by: EndedBy) -> Row {
        let what = self.about.map_or("change", |about| about.what());
        let why = ended_text(ended_by);
        let message = format!(
            "{why}: the {what} may have been made or may still be made; repeat the call, which is safe"
        );
        let row = match ended_by {
            EndedBy::Deadline => Row::new(Code::DeadlineExceeded, "OUTCOME_UNKNOWN", message),
            EndedBy::UnclearResponse(cause) => Row::new(Code::Unknown, "OUTCOME_UNKNOWN", message)
                .upstream(cause.http_status())
                .warn(),
            EndedBy::Shutdown | EndedBy::LostResponse => {
                Row::new(Code::Unknown, "OUTCOME_UNKNOWN", message).warn()
            }
        };
        self.with_place(row).retry_in(UNKNOWN_RETRY)
    }

    fn upstream_error_row(&self, status: u16) -> Row {
        let what = match self.about.map(|about| about.operation.effect()) {
            Some(Effect::Read) => "",
            Some(Effect::Idempotent) => {
                ", and whether it did what was asked for is not known; the call is safe to repeat"
            }
            Some(Effect::Create) | None => " and nothing was found to be created",
        };
        let message = format!("Chartbrew responded with HTTP {status}{what}");
        Row::new(Code::Internal, "UPSTREAM_ERROR", message)
            .upstream(status)
            .warn()
    }

    /// Adds the team and the connection that the call names.
    pub(super) fn with_place(&self, row: Row) -> Row {
        let row = row.with("team_id", self.team());
        match self.about.and_then(|about| about.connection_id) {
            Some(id) => row.with("connection_id", id),
            None => row,
        }
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
        let (because, why) = self.no_upload(cause);
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
        let row = files_not_uploaded(because, message).with("connection_id", connection_id);
        match self.request_id {
            Some(_) => row.retry_in(UNKNOWN_RETRY),
            None => row,
        }
    }

    /// Some files are there: the code must not be one that says otherwise.
    fn partly_uploaded_row(&self, cause: &delivery::Error) -> Row {
        let (because, why) = self.no_upload(cause);
        let message = format!(
            "some of the files were uploaded, the others were not: {why}; repeat the call, which is safe"
        );
        let row = files_not_uploaded(because, message);
        self.with_place(row).retry_in(UNKNOWN_RETRY)
    }

    /// The row of what failed an upload, with a code that does not say that nothing was done, and
    /// why it failed.
    fn no_upload(&self, cause: &delivery::Error) -> (Row, String) {
        let mut because = self.delivery_row(cause);
        because.code = match because.code {
            code @ (Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::NotFound) => code,
            _ => Code::FailedPrecondition,
        };
        // The texts of the others say that nothing was done.
        let why = match because.code {
            Code::FailedPrecondition => cause.to_string(),
            _ => because.message.clone(),
        };
        (because, why)
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
        row.message = match cause {
            delivery::Error::Rejected(Rejection::ConnectionNotFound) => format!(
                "this request_id created connection {connection_id}, which is there no more; use a \
                 new request_id to create another one"
            ),
            _ => format!(
                "connection {connection_id} was created, but it cannot be read now: {}",
                row.message
            ),
        };
        match self.request_id {
            Some(id) if row.reason == "OUTCOME_UNKNOWN" => row
                .with("request_id", id)
                .with("team_id", self.team())
                .retry_in(UNKNOWN_RETRY),
            _ => row,
        }
    }

    #[rustfmt::skip]
    pub(super) fn unavailable_row(&self, cause: &Unavailable) -> Row {
        let row = |message: &str| Row::new(Code::Unavailable, "UPSTREAM_UNAVAILABLE",
            format!("{message}{}", self.and_nothing()));
        match cause {
            Unavailable::NotSent(NotSent::Tls) => row("TLS with Chartbrew failed: its certificate \
                does not verify, it does not accept the gateway's certificate, or CHARTBREW_URL names the \
                wrong host or scheme").error(),
            Unavailable::NotSent(NotSent::Request) => Row::new(Code::Internal, "UPSTREAM_MISCONFIGURED",
                "the request to Chartbrew could not be built; look at CHARTBREW_URL").error(),
            Unavailable::NotSent(cause @ (NotSent::Dns | NotSent::Connect | NotSent::ConnectTimeout)) =>
                row(&format!("Chartbrew cannot be reached: {cause}")).warn(),
            Unavailable::NotSent(cause @ NotSent::Refused) =>
                row(&format!("Chartbrew is not ready: {cause}")).warn(),
            // Chartbrew changes a row in several steps: the first ones may have been made.
            Unavailable::Rejected(Rejection::StoreUnavailable) if self.effect() == Effect::Idempotent =>
                Row::new(Code::Unavailable, "UPSTREAM_UNAVAILABLE",
                    "Chartbrew cannot reach its own database").upstream(400).warn(),
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
}

fn files_not_uploaded(because: Row, message: String) -> Row {
    let row = Row::new(because.code, "FILES_NOT_UPLOADED", message).with("cause", because.reason);
    Row {
        violations: because.violations,
        upstream_status: because.upstream_status,
        level: because.level,
        ..row
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
