//! Readiness is about this process: what it alone cannot do takes it out of service, an outage that
//! all replicas share does not.

use std::time::Duration;

use chartbrew_gateway::{chartbrew::Token, delivery::request_id::StoreSettings, grpc::OwnToken};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    gateway::{Builder, Gateway, failure, gateway, minimal, sandbox, with_id},
    process::ask,
    raw::nobody,
    time::{hastened, soon},
};

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

fn with_admin(upstream: &str) -> Builder {
    gateway(upstream).with(|settings| {
        settings.admin.listen = Some("127.0.0.1:0".parse().unwrap());
    })
}

async fn ready(gateway: &Gateway) -> (u16, String) {
    let response = ask(gateway.admin.unwrap(), "GET", "/readyz", "", "").await;
    (response.status, response.body)
}

async fn health(gateway: &Gateway) -> i32 {
    let mut health = HealthClient::new(gateway.channel().await);
    let status = health.check(HealthCheckRequest::default()).await;
    status.unwrap().into_inner().status
}

#[tokio::test]
async fn a_rejection_of_its_own_token_is_forgotten_after_a_while() {
    let sandbox = sandbox().await;
    let gateway = with_admin(&sandbox.url())
        .with(|settings| {
            settings.grpc.own_token = Some(OwnToken::Fixed(Token::parse("wrong").unwrap()))
        })
        .start()
        .await;
    let rejected = failure(gateway.create(minimal("m")).await);
    assert_eq!(rejected.reason, "GATEWAY_TOKEN_REJECTED");
    let problem = "gateway token rejected by Chartbrew\n".to_owned();
    assert_eq!(ready(&gateway).await, (503, problem));
    soon(async { while health(&gateway).await != NOT_SERVING {} }).await;
    // No call comes any more that could show that the token is valid now.
    let again = async { while health(&gateway).await != SERVING {} };
    hastened(Duration::from_secs(5), again).await;
    assert_eq!(ready(&gateway).await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn an_unreachable_store_is_reported_and_takes_no_replica_out_of_service() {
    let sandbox = sandbox().await;
    let store = nobody().await.replace("http:", "redis:");
    let gateway = with_admin(&sandbox.url())
        .with(|settings| settings.request_id_store = StoreSettings::parse(&store).unwrap())
        .start()
        .await;
    let told = (200, "ok\nrequest_id store unreachable\n".to_owned());
    soon(async { while ready(&gateway).await != told {} }).await;
    assert_eq!(health(&gateway).await, SERVING);
    let refused = failure(soon(gateway.create(with_id("m"))).await);
    assert_eq!(refused.reason, "REQUEST_ID_STORE_UNAVAILABLE");
    assert_eq!(health(&gateway).await, SERVING);
    soon(gateway.create(minimal("without an id")))
        .await
        .unwrap();
}
