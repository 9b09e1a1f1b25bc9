//! What callers see of a gateway that stops: health first, then the port, and a response in any
//! case.

use std::time::Duration;

use chartbrew_gateway::proto::{
    ConnectionFiles, CreateRequest, CreateResponse,
    connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox::{Fault, Gate};
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    gateway::{Builder, Gateway, authorized, failure, gateway, minimal, sandbox, trailer, with_id},
    raw::Raw,
    time::soon,
};

const HOUR: Duration = Duration::from_secs(3600);

type Call = JoinHandle<Result<Response<CreateResponse>, Status>>;

fn short_grace(upstream: &str) -> Builder {
    let short = Duration::from_millis(100);
    gateway(upstream).with(|settings| settings.grpc.shutdown_grace = short)
}

fn begin(gateway: &Gateway, message: CreateRequest) -> Call {
    let mut client = gateway.client.clone();
    tokio::spawn(async move { client.create(authorized(message)).await })
}

#[tokio::test]
async fn new_callers_are_served_until_balancers_have_learned_of_the_stop() {
    const NOT_SERVING: i32 = 2;
    let sandbox = sandbox().await;
    let mut gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.shutdown_delay = HOUR)
        .start()
        .await;
    let mut health = HealthClient::new(gateway.channel().await);
    let watch = health.watch(HealthCheckRequest::default()).await;
    let mut watch = watch.unwrap().into_inner();
    gateway.stop();
    soon(async { while watch.message().await.unwrap().unwrap().status != NOT_SERVING {} }).await;
    for _ in 0..3 {
        let mut client = ConnectionServiceClient::new(gateway.channel().await);
        client.create(authorized(minimal("m"))).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_whose_request_was_sent_is_told_so_at_the_end_of_the_grace_period() {
    for message in [minimal("m"), with_id("m")] {
        let sandbox = sandbox().await;
        let gate = Gate::new();
        sandbox.script([Fault::create().hold_before_storing(&gate)]);
        let mut gateway = short_grace(&sandbox.url()).start().await;
        let has_id = message.request_id.is_some();
        let call = begin(&gateway, message);
        soon(gate.reached()).await;
        gateway.stop();
        let failed = failure(soon(call).await.unwrap());
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::Unknown, "OUTCOME_UNKNOWN"));
        let told = failed.status.message();
        assert!(told.contains("the request was sent"), "{told}");
        // Its ids end with the process: nobody is to repeat the call with one.
        assert_eq!(told.contains("forgets request_ids"), has_id, "{told}");
        let pushback = trailer(failed.status.metadata(), "grpc-retry-pushback-ms");
        assert_eq!(pushback, Some("-1"));
        assert!(!failed.has_retry_info());
        assert!(!soon(gateway.stopped()).await);
    }
}

#[tokio::test]
async fn a_call_for_which_nothing_was_sent_is_told_so_at_the_end_of_the_grace_period() {
    for message in [minimal("m"), with_id("m")] {
        let (upstream, connected) = Raw::without_tls_handshake().await;
        let mut gateway = short_grace(&upstream.url)
            .with(|settings| settings.chartbrew.connect_timeout = HOUR)
            .start()
            .await;
        let call = begin(&gateway, message);
        soon(connected.notified()).await;
        gateway.stop();
        let failed = failure(soon(call).await.unwrap());
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::Unavailable, "UPSTREAM_UNAVAILABLE"));
        assert!(failed.status.message().contains("nothing was created"));
        assert!(!soon(gateway.stopped()).await);
    }
}

#[tokio::test]
async fn an_upload_under_way_outlasts_the_grace_period_and_its_caller_gets_a_status() {
    let sandbox = sandbox().await;
    let gate = Gate::new();
    sandbox.script([Fault::files().hold_before_storing(&gate)]);
    let mut gateway = short_grace(&sandbox.url()).start().await;
    let files = ConnectionFiles {
        ssl_ca: Some("CA".into()),
        ..ConnectionFiles::default()
    };
    let message = CreateRequest {
        files: Some(files),
        ..minimal("m")
    };
    let call = begin(&gateway, message);
    soon(gate.reached()).await;
    gateway.stop();
    // The gate is shut: the upload is under way still.
    let failed = failure(soon(call).await.unwrap());
    assert_eq!(failed.reason, "FILES_NOT_UPLOADED");
    assert_eq!(failed.metadata("connection_id"), Some("1"));
    gate.open();
    assert!(!soon(gateway.stopped()).await);
    assert_eq!(sandbox.cut_off(), 0);
    assert!(sandbox.rows(1)[0]["sslCa"].is_string());
}
