//! Requests whose path names a connection are never cut off: that would end Chartbrew's process.

use std::time::Duration;

use super::{Fault, Gate, Seen};
use crate::support::{
    gateway::{Gateway, authorized, failure, gateway, minimal, sandbox, trailer, with_id},
    time::soon,
};

/// Waits until the gateway has learned that its only caller has left: then there is room for
/// another.
async fn is_alone(gateway: &Gateway) {
    soon(async { while gateway.create(minimal("another")).await.is_err() {} }).await;
}

#[tokio::test]
async fn nothing_that_names_a_connection_is_cut_off_when_its_caller_leaves() {
    let sandbox = sandbox().await;
    let mut gateway = gateway(&sandbox.url())
        .with(|settings| settings.delivery.max_in_flight = 1)
        .start()
        .await;
    let mut with_file = with_id("m");
    with_file.files = Some(chartbrew_gateway::proto::ConnectionFiles {
        ssl_ca: Some("CA".into()),
        ..Default::default()
    });
    // The caller leaves while its file is uploaded, and again while the row is read.
    for fault in [Fault::files(), Fault::get()] {
        let gate = Gate::new();
        sandbox.script([fault.hold_before_storing(&gate)]);
        let call = tokio::spawn({
            let (mut client, request) = (gateway.client.clone(), authorized(with_file.clone()));
            async move { client.create(request).await }
        });
        gate.reached().await;
        call.abort();
        assert!(call.await.is_err());
        is_alone(&gateway).await;
        assert_eq!(sandbox.cut_off(), 0);
        gate.open();
        let response = gateway.create(with_file.clone()).await.unwrap();
        assert_eq!(trailer(response.metadata(), "x-outcome"), Some("replayed"));
    }
    gateway.stop();
    assert!(gateway.stopped().await);
    assert_eq!(sandbox.cut_off(), 0);
    let uploads = sandbox.requests();
    let is_upload = |seen: &&Seen| seen.path.ends_with("/files");
    assert_eq!(uploads.iter().filter(is_upload).count(), 1);
    let rows = sandbox.rows(1);
    assert_eq!(rows.iter().filter(|row| row["name"] == "m").count(), 1);
}

/// A row that a recovery reads, when nobody can ask for its outcome.
#[tokio::test]
async fn a_row_that_is_read_when_the_gateway_stops_is_read_to_its_end() {
    let sandbox = sandbox().await;
    let mut gateway = gateway(&sandbox.url()).start().await;
    let gate = Gate::new();
    sandbox.script([
        Fault::create().drop_after_storing(),
        Fault::get().hold_before_storing(&gate),
    ]);
    let call = tokio::spawn({
        let (mut client, request) = (gateway.client.clone(), authorized(minimal("m")));
        async move { client.create(request).await }
    });
    gate.reached().await;
    call.abort();
    assert!(call.await.is_err());
    gateway.stop();
    let open = async {
        // Long enough for a gateway that does not wait to have ended.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        gate.open();
    };
    let (_, ()) = tokio::join!(gateway.stopped(), open);
    assert_eq!(sandbox.cut_off(), 0);
}

/// An upload is not begun if the deadline leaves too little time for it: begun, it could not be
/// given up.
#[tokio::test]
async fn an_upload_that_cannot_end_in_time_is_not_begun() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let mut message = with_id("m");
    message.files = Some(chartbrew_gateway::proto::ConnectionFiles {
        ssl_ca: Some(vec![b'x'; 1_000_000].into()),
        ..Default::default()
    });
    let mut request = authorized(message);
    request.set_timeout(Duration::from_secs(3));
    let failed = failure(gateway.client.clone().create(request).await);
    assert_eq!(failed.reason, "FILES_NOT_UPLOADED");
    assert_eq!(failed.metadata("cause"), Some("DEADLINE_TOO_SHORT"));
    let seen = sandbox.requests();
    assert!(!seen.iter().any(|seen| seen.path.ends_with("/files")));
    assert_eq!(sandbox.cut_off(), 0);
}
