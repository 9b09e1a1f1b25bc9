//! Concurrent creates: one that hangs neither delays another nor hides its row.

use std::time::Duration;

use chartbrew_gateway::proto::CreateRequest;
use tonic::Code;

use super::{Fault, Gate, Outcome, call, outcome};
use crate::support::{
    gateway::{authorized, failure, gateway, minimal, sandbox, trailer, with_id},
    raw::Raw,
    time::soon,
};

fn at(host: &str) -> CreateRequest {
    let mut message = with_id("same name");
    message.connection.as_mut().unwrap().host = Some(host.to_owned());
    message
}

/// A create that hangs holds up no other with another body, whatever its name.
#[tokio::test]
async fn a_create_that_hangs_holds_up_no_other_of_its_name() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let named = |host: &str| {
        let mut message = with_id("same name");
        message.connection.as_mut().unwrap().host = Some(host.to_owned());
        message
    };
    sandbox.script([Fault::create().silent()]);
    let hanging = call(&gateway, named("wrong"), Duration::from_millis(500)).await;
    assert_eq!(hanging, Outcome::Unknown);
    for host in ["right", "also right"] {
        let outcome = call(&gateway, named(host), Duration::from_secs(5)).await;
        assert!(matches!(outcome, Outcome::Created(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_identical_create_is_not_held_up_by_one_that_hangs() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    sandbox.script([Fault::create().silent()]);
    let hasty = Duration::from_secs(2);
    assert_eq!(call(&gateway, at("h"), hasty).await, Outcome::Unknown);
    for _ in 0..2 {
        let response = soon(gateway.create(at("h"))).await.unwrap();
        assert_eq!(trailer(response.metadata(), "x-outcome"), None);
        assert_eq!(
            trailer(response.metadata(), "x-upstream-attempts"),
            Some("1")
        );
    }
}

#[tokio::test]
async fn a_create_that_hangs_hides_no_row_from_another() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let gate = Gate::new();
    sandbox.script([
        Fault::create().hold_before_storing(&gate),
        Fault::create().drop_after_storing(),
    ]);
    let mut client = gateway.client.clone();
    let slow = tokio::spawn(async move { client.create(authorized(at("slow"))).await });
    soon(gate.reached()).await;
    let found = soon(gateway.create(at("lost"))).await.unwrap();
    assert_eq!(trailer(found.metadata(), "x-outcome"), Some("recovered"));
    gate.open();
    let slow = soon(slow).await.unwrap();
    assert!(matches!(outcome(&slow), Outcome::Created(2)), "{slow:?}");
}

#[tokio::test]
async fn a_caller_is_told_that_its_request_was_sent_only_if_it_was() {
    let (upstream, connected) = Raw::without_tls_handshake().await;
    let gateway = gateway(&upstream.url)
        .with(|settings| settings.chartbrew.connect_timeout = Duration::from_secs(3600))
        .start()
        .await;
    for message in [minimal("m"), with_id("m")] {
        let mut request = authorized(message);
        request.set_timeout(Duration::from_secs(2));
        let failed = failure(soon(gateway.client.clone().create(request)).await);
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::Unavailable, "UPSTREAM_UNAVAILABLE"));
        let message = failed.status.message();
        assert!(message.contains("nothing was created"), "{message}");
        assert!(failed.has_retry_info());
        // It was on its way.
        soon(connected.notified()).await;
    }
}
