//! What a caller was told, and what that proves.

use chartbrew_gateway::proto::CreateResponse;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

/// The domain of the gateway's own failures.
const DOMAIN: &str = "gateway.chartbrew.com";

/// What one call was told.
#[derive(Debug)]
pub(crate) enum Told {
    /// This connection.
    Created(i32),
    /// A reason by which this call created nothing, nor will.
    Nothing(String),
    /// A reason that leaves open what became of the request, and the connection if that is known.
    Open(String, Option<i32>),
    /// An UNAVAILABLE of the caller's own library: the connection to the gateway broke.
    Broken,
    /// Another failure of the caller's own library, such as its clock.
    Own(Code),
    /// Nothing: the caller hung up.
    HungUp,
}

impl Told {
    pub(crate) fn by(result: Result<Response<CreateResponse>, Status>) -> Self {
        let status = match result {
            Ok(response) => return Self::Created(response.into_inner().connection.unwrap().id),
            Err(status) => status,
        };
        let details = status.get_error_details();
        match details.error_info().filter(|info| info.domain == DOMAIN) {
            Some(info) if proves_that_nothing_was_created(&info.reason) => {
                Self::Nothing(info.reason.clone())
            }
            Some(info) => {
                let id = info.metadata.get("connection_id");
                Self::Open(info.reason.clone(), id.map(|id| id.parse().unwrap()))
            }
            // UNKNOWN is what tonic says where other libraries say UNAVAILABLE: under way.
            None if matches!(status.code(), Code::Unavailable | Code::Unknown) => Self::Broken,
            None => Self::Own(status.code()),
        }
    }

    /// The connection, if it was named.
    pub(crate) fn id(&self) -> Option<i32> {
        match self {
            Self::Created(id) => Some(*id),
            Self::Open(_, id) => *id,
            Self::Nothing(_) | Self::Broken | Self::Own(_) | Self::HungUp => None,
        }
    }

    /// Its name in the report.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Created(_) => "OK".to_owned(),
            Self::Nothing(reason) | Self::Open(reason, _) => reason.clone(),
            Self::Broken => "(UNAVAILABLE of the library)".to_owned(),
            Self::Own(code) => format!("({code:?} of the library)"),
            Self::HungUp => "(hung up)".to_owned(),
        }
    }
}

/// The column "retry" of docs/errors.md. A reason that is not expected here fails the test: it must
/// be decided what it proves.
fn proves_that_nothing_was_created(reason: &str) -> bool {
    match reason {
        "UPSTREAM_UNAVAILABLE"
        | "UPSTREAM_RATE_LIMITED"
        | "UPSTREAM_ERROR"
        | "REJECTED_BY_CHARTBREW"
        | "ACCESS_DENIED"
        | "OVERLOADED"
        | "REQUEST_ID_STORE_UNAVAILABLE" => true,
        "OUTCOME_UNKNOWN" | "UPSTREAM_MISCONFIGURED" => false,
        other => panic!("what does {other} prove?"),
    }
}
