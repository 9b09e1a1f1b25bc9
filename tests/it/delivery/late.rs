//! What goes on when its caller has left, and what the repeat of the call returns.

use std::time::Duration;

use chartbrew_gateway::proto::{ConnectionFiles, CreateRequest};
use tonic::Code;

use super::{Fault, Gate, Outcome, call, outcome};
use crate::support::{
    gateway::{Failure, Gateway, authorized, failure, gateway, sandbox, trailer, with_id},
    time::soon,
};

/// Long enough to be reached by a request, and over soon.
const HASTY: Duration = Duration::from_secs(2);

/// How a caller leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Deadline,
    HangUp,
}

async fn hasty(gateway: &Gateway, message: CreateRequest) -> Failure {
    let mut request = authorized(message);
    request.set_timeout(HASTY);
    failure(soon(gateway.client.clone().create(request)).await)
}

/// Makes a call that is held at the gate, and leaves it.
async fn leave(gateway: &Gateway, message: CreateRequest, gate: &Gate, how: Leave) {
    match how {
        Leave::Deadline => {
            let left = hasty(gateway, message).await;
            let got = (left.code, &*left.reason);
            assert_eq!(got, (Code::DeadlineExceeded, "OUTCOME_UNKNOWN"));
            soon(gate.reached()).await;
        }
        Leave::HangUp => {
            let mut client = gateway.client.clone();
            let call = tokio::spawn(async move { client.create(authorized(message)).await });
            soon(gate.reached()).await;
            call.abort();
            assert!(call.await.is_err());
        }
    }
}

#[tokio::test]
async fn a_repeat_returns_the_response_that_came_after_the_caller_had_left() {
    let refusal = || Fault::create().body(403, "application/json", "{}");
    for how in [Leave::Deadline, Leave::HangUp] {
        for (fault, refused) in [(Fault::create(), false), (refusal(), true)] {
            let case = format!("{how:?}, refused: {refused}");
            let sandbox = sandbox().await;
            let gate = Gate::new();
            // A call that waits for the first goes on too when its caller leaves.
            sandbox.script([fault.hold_before_storing(&gate), refusal().times(2)]);
            // Too short for a search to find what is stored when the gate is opened.
            let gateway = gateway(&sandbox.url())
                .with(|settings| settings.delivery.recovery_window = Duration::from_millis(1))
                .start()
                .await;
            let message = with_id("m");
            leave(&gateway, message.clone(), &gate, how).await;
            let waits = hasty(&gateway, message.clone()).await;
            let got = (waits.code, &*waits.reason);
            assert_eq!(got, (Code::DeadlineExceeded, "OUTCOME_UNKNOWN"), "{case}");
            gate.open();
            let response = soon(gateway.create(message)).await;
            if refused {
                let refused = failure(response);
                assert_eq!(refused.reason, "ACCESS_DENIED", "{case}");
            } else {
                let response = response.unwrap();
                let origin = trailer(response.metadata(), "x-outcome");
                assert_eq!(origin, Some("replayed"), "{case}");
                assert_eq!(outcome(&Ok(response)), Outcome::Created(1), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_response_is_waited_for_only_so_long_when_its_caller_has_left() {
    let sandbox = sandbox().await;
    let gate = Gate::new();
    sandbox.script([Fault::create().hold_before_storing(&gate)]);
    let gateway = gateway(&sandbox.url())
        .with(|settings| {
            settings.delivery.abandoned_after = Duration::from_millis(100);
            settings.delivery.recovery_window = Duration::from_millis(100);
        })
        .start()
        .await;
    let message = with_id("m");
    // It leaves long before its deadline.
    leave(&gateway, message.clone(), &gate, Leave::HangUp).await;
    // Not the deadline: the wait was given up, and the connection looked for.
    let given_up = failure(soon(gateway.create(message)).await);
    let got = (given_up.code, &*given_up.reason);
    assert_eq!(got, (Code::Unknown, "OUTCOME_UNKNOWN"));
}

#[tokio::test]
async fn an_upload_that_goes_on_is_waited_for_and_not_begun_again() {
    let sandbox = sandbox().await;
    let gate = Gate::new();
    sandbox.script([Fault::files().hold_before_storing(&gate)]);
    let gateway = gateway(&sandbox.url()).start().await;
    let files = ConnectionFiles {
        ssl_ca: Some("CA".into()),
        ..ConnectionFiles::default()
    };
    let message = CreateRequest {
        files: Some(files),
        ..with_id("m")
    };
    let uploads = || {
        let seen = sandbox.requests();
        seen.iter()
            .filter(|seen| seen.path.ends_with("/files"))
            .count()
    };
    for _ in 0..2 {
        let missing = hasty(&gateway, message.clone()).await;
        assert_eq!(missing.reason, "FILES_NOT_UPLOADED");
        let message = missing.status.message();
        assert!(
            message.contains("it waits for the upload under way"),
            "{message}"
        );
        assert_eq!(uploads(), 1);
    }
    gate.open();
    let response = soon(gateway.create(message)).await.unwrap();
    assert_eq!(trailer(response.metadata(), "x-outcome"), Some("replayed"));
    assert!(response.into_inner().connection.unwrap().ssl_ca.is_some());
    assert_eq!(uploads(), 1);
}

/// A call that waits for another one with the same id, and is over before that one, sends nothing
/// afterwards: the other one says that nothing was created, and there must be nobody left to do it.
#[tokio::test]
async fn a_call_that_is_over_sends_nothing_any_more() {
    for leaves in [true, false] {
        let sandbox = sandbox().await;
        let gate = Gate::new();
        let denied = Fault::create().body(403, "application/json", "{}");
        sandbox.script([denied.hold_before_storing(&gate)]);
        let mut gateway = gateway(&sandbox.url()).start().await;
        let message = with_id("m");
        let first = tokio::spawn({
            let (mut client, request) = (gateway.client.clone(), authorized(message.clone()));
            async move { client.create(request).await }
        });
        gate.reached().await;
        // Long enough to find that the first is at it.
        let time = Duration::from_millis(300);
        match leaves {
            true => {
                let second = gateway.create(message);
                assert!(tokio::time::timeout(time, second).await.is_err());
                // The gateway hears of the end of one call before it hears of another.
                failure(gateway.create(CreateRequest::default()).await);
            }
            false => assert_eq!(call(&gateway, message, time).await, Outcome::Unknown),
        }
        gate.open();
        let first = failure(first.await.unwrap());
        assert_eq!(first.reason, "ACCESS_DENIED");
        gateway.stop();
        assert!(gateway.stopped().await);
        assert!(sandbox.rows(1).is_empty(), "leaves: {leaves}");
    }
}
