//! What may be repeated, when the gateway stops in the middle of it.

use std::time::Duration;

use serde_json::json;
use tonic::Code;

use super::{Fault, Gate, Handle};
use crate::support::{
    gateway::{Failure, Gateway, failure, gateway, sandbox},
    rpc::{ALL, NEW_NAME, Rpc},
    time::soon,
};

/// A sandbox with the connection 1, and a gateway with a short grace period before it.
async fn start() -> (Handle, Gateway) {
    let sandbox = sandbox().await;
    sandbox.insert(1, json!({"name": "m"}));
    let short = Duration::from_millis(100);
    let gateway = gateway(&sandbox.url()).with(|settings| settings.grpc.shutdown_grace = short);
    let gateway = gateway.start().await;
    (sandbox, gateway)
}

/// How a call ends for its caller. It begins at once.
fn begin(gateway: &Gateway, rpc: Rpc) -> tokio::task::JoinHandle<Failure> {
    let client = gateway.client.clone();
    tokio::spawn(async move { failure(rpc.call(&client, 1, None).await) })
}

#[tokio::test]
async fn a_request_under_way_is_carried_to_its_end_and_its_caller_told_what_is_known() {
    for rpc in ALL {
        let ((sandbox, mut gateway), gate) = (start().await, Gate::new());
        sandbox.script([rpc.fault().hold_before_storing(&gate)]);
        let call = begin(&gateway, rpc);
        soon(gate.reached()).await;
        gateway.stop();
        let failed = soon(call).await.unwrap();
        let expected = match rpc.is_read() {
            true => (Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
            false => (Code::Unknown, "OUTCOME_UNKNOWN"),
        };
        assert_eq!(
            (failed.code, &*failed.reason),
            expected,
            "{}",
            failed.status
        );
        assert!(
            !failed.status.message().contains("nothing was"),
            "{}",
            failed.status
        );
        assert_eq!(sandbox.cut_off(), 0, "{rpc:?}");
        gate.open();
        soon(gateway.stopped()).await;
        assert_eq!(sandbox.cut_off(), 0, "{rpc:?}");
        let rows = sandbox.rows(1);
        match rpc {
            Rpc::Update => assert_eq!(rows[0]["name"], NEW_NAME),
            Rpc::Delete => assert!(rows.is_empty()),
            _ => assert_eq!(rows.len(), 1),
        }
    }
}

/// Its caller is told by UNAVAILABLE that nothing was uploaded: then nothing may be.
#[tokio::test]
async fn an_upload_that_waits_for_its_turn_is_not_begun_any_more() {
    let ((sandbox, mut gateway), gate) = (start().await, Gate::new());
    sandbox.script([Fault::files().hold_before_storing(&gate)]);
    let first = begin(&gateway, Rpc::UploadFiles);
    soon(gate.reached()).await;
    let second = begin(&gateway, Rpc::UploadFiles);
    // Long enough for it to be waiting.
    tokio::time::sleep(Duration::from_millis(100)).await;
    gateway.stop();
    let (first, second) = (soon(first).await.unwrap(), soon(second).await.unwrap());
    assert_eq!(
        (first.code, &*first.reason),
        (Code::Unknown, "OUTCOME_UNKNOWN")
    );
    let expected = (Code::Unavailable, "UPSTREAM_UNAVAILABLE");
    assert_eq!(
        (second.code, &*second.reason),
        expected,
        "{}",
        second.status
    );
    gate.open();
    soon(gateway.stopped()).await;
    let uploads = sandbox.requests();
    let uploads = uploads.iter().filter(|seen| seen.path.ends_with("/files"));
    assert_eq!(uploads.count(), 1);
    assert_eq!(sandbox.cut_off(), 0);
}
