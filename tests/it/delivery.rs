//! At most once, and nothing lost: every fault against every way to ask.

mod again;
mod beside;
mod cut_off;
mod keep_alive;
mod late;
mod looks;
mod matrix;
mod recovery;
mod repeated;
mod stopping;

use std::time::Duration;

use chartbrew_gateway::proto::{CreateRequest, CreateResponse};
use chartbrew_sandbox::{Fault, Gate, Handle, Seen};
use tonic::{Response, Status};
use tonic_types::StatusExt;

use crate::support::gateway::{Gateway, authorized};

/// How long a lost response is looked for in these tests.
const WINDOW: Duration = Duration::from_millis(1_500);

/// How a call ended for its caller.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Created(i32),
    Unknown,
    /// Any failure that says that nothing was created.
    NotCreated(String),
}

fn outcome(response: &Result<Response<CreateResponse>, Status>) -> Outcome {
    let status = match response {
        Ok(response) => {
            return Outcome::Created(response.get_ref().connection.as_ref().unwrap().id);
        }
        Err(status) => status,
    };
    match status.get_error_details().error_info() {
        Some(info) if info.reason != "OUTCOME_UNKNOWN" => Outcome::NotCreated(info.reason.clone()),
        Some(_) => Outcome::Unknown,
        // The caller's own clock was faster than the response.
        None if status.message() == "Timeout expired" => Outcome::Unknown,
        None => panic!("no reason: {status:?}"),
    }
}

async fn call(gateway: &Gateway, message: CreateRequest, timeout: Duration) -> Outcome {
    let mut request = authorized(message);
    request.set_timeout(timeout);
    outcome(&gateway.client.clone().create(request).await)
}
