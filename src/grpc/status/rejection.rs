//! The rows of [`Rejection`]: Chartbrew, or a proxy before it, responded that it did not do it.

use tonic::Code;
use tonic_types::FieldViolation;

use super::{
    Context,
    row::{Row, summary},
};
use crate::{
    chartbrew::{FieldError, Problem, Rejection},
    convert,
    delivery::Operation,
};

impl Context {
    #[rustfmt::skip]
    pub(super) fn rejection_row(&self, rejection: &Rejection) -> Row {
        use Rejection::*;
        let row = match rejection {
            TokenRejected if self.own_token => Row::new(Code::FailedPrecondition, "GATEWAY_TOKEN_REJECTED",
                "Chartbrew rejected the gateway's own token; its operator must set a valid one \
                 (CHARTBREW_TOKEN or CHARTBREW_TOKEN_FILE)").error(),
            TokenRejected => Row::new(Code::Unauthenticated, "TOKEN_REJECTED",
                "Chartbrew rejected the token: it is wrong, expired or revoked, or its user is gone"),
            AccessDenied => Row::new(Code::PermissionDenied, "ACCESS_DENIED",
                format!("the token has no right to do this in team {}, or there is no such team", self.team())),
            ConnectionNotFound => self.not_found_row(),
            AlreadyExists => Row::new(Code::AlreadyExists, "ALREADY_EXISTS",
                "Chartbrew says that it exists already"),
            TooLarge => Row::new(Code::InvalidArgument, "TOO_LARGE",
                "Chartbrew, or a proxy before it, refused the request as too large"),
            Fields(fields) => fields_row(fields),
            Unexplained(status) => self.unexplained_row(*status),
            SourceDisabled => Row::new(Code::FailedPrecondition, "SOURCE_DISABLED",
                "this connection type is switched off on the Chartbrew server"),
            HostNotAllowed => Row::new(Code::FailedPrecondition, "HOST_NOT_ALLOWED",
                "Chartbrew does not connect to this host: it is in a private network, or it is \
                 no valid URL; Chartbrew's operator can allow private networks"),
            StoreUnavailable => Row::new(Code::Unavailable, "UPSTREAM_UNAVAILABLE",
                format!("Chartbrew cannot reach its own database{}", self.and_nothing())).warn(),
            RateLimited(_) => Row::new(Code::ResourceExhausted, "UPSTREAM_RATE_LIMITED",
                format!("Chartbrew limits the rate of requests{}", self.and_nothing())).warn(),
            NotForwarded(_) => Row::new(Code::Unavailable, "UPSTREAM_UNAVAILABLE",
                format!("a proxy before Chartbrew forwarded nothing (HTTP 503){}", self.and_nothing())).warn(),
            NotTheApi(status) => misconfigured_row(*status),
        };
        row.upstream(rejection.http_status())
    }

    fn not_found_row(&self) -> Row {
        let team = self.team();
        let message = match self.about.and_then(|about| about.connection_id) {
            Some(id) => format!("team {team} has no connection {id}"),
            None => format!("team {team} has no such connection"),
        };
        Row::new(Code::NotFound, "CONNECTION_NOT_FOUND", message)
    }

    fn unexplained_row(&self, status: u16) -> Row {
        let hint = match self.about.map(|about| about.operation) {
            Some(Operation::Create) => {
                "; it does so when a source's settings do not do: jira needs an atlassian.net host, \
                 a user and a token, stripeOfficial a key that Stripe accepts"
            }
            _ => "",
        };
        let message = format!("Chartbrew responded with HTTP {status} without saying why{hint}");
        Row::new(Code::FailedPrecondition, "REJECTED_BY_CHARTBREW", message)
    }
}

pub(super) fn misconfigured_row(status: u16) -> Row {
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
