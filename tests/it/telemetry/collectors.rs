//! Collectors that fail: calls are not affected.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{
    gateway::{authorized, minimal, sandbox},
    process::Process,
    raw::{Raw, nobody},
};

/// Far more than these calls take, far less than what any export waits for.
const IN_TIME: Duration = Duration::from_secs(5);

async fn no_call_is_the_worse(collector: &str, protocol: &str) {
    let sandbox = sandbox().await;
    let settings = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "100"),
        // A delivery is tried again and again, and the queue is full long before the end.
        ("OTEL_BSP_SCHEDULE_DELAY", "5"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "16"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=marker"),
        ("GATEWAY_LOG", "trace"),
    ];
    let mut gateway = Process::start(&sandbox.url(), &settings).await;
    let began = Instant::now();
    for _ in 0..100 {
        gateway.create(authorized(minimal("a"))).await.unwrap();
    }
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    let failures = "chartbrew_gateway_telemetry_export_failures_total{signal=\"traces\"}";
    for tries in 1..=3 {
        gateway.create(authorized(minimal("a"))).await.unwrap();
        gateway.reaches(failures, f64::from(tries)).await;
    }
    let warnings = gateway.lines("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert_eq!(warnings[0]["signal"], "traces");

    let began = Instant::now();
    gateway.terminate().await;
    assert!(gateway.ended().await);
    assert!(
        began.elapsed() < IN_TIME,
        "the end does not wait for it either"
    );
    assert!(!gateway.log().contains("marker"), "the key is secret");
}

#[tokio::test]
async fn one_that_is_down() {
    no_call_is_the_worse(&nobody().await, "http/protobuf").await;
    no_call_is_the_worse(&nobody().await, "grpc").await;
}

#[tokio::test]
async fn one_that_never_responds() {
    let silent = Raw::start(|mut peer, _| async move {
        while peer.request().await.is_some() {}
        std::future::pending::<()>().await;
    })
    .await;
    no_call_is_the_worse(&silent.url, "http/protobuf").await;
    no_call_is_the_worse(&silent.url, "grpc").await;
}

#[tokio::test]
async fn one_that_refuses() {
    let refusing = Raw::start(|mut peer, _| async move {
        while peer.request().await.is_some() {
            peer.response("403 Forbidden", "", "no").await;
        }
    })
    .await;
    no_call_is_the_worse(&refusing.url, "http/protobuf").await;
}

#[tokio::test]
async fn one_that_hangs_up() {
    let rude = Raw::start(|peer, _| async move { peer.reset() }).await;
    no_call_is_the_worse(&rude.url, "grpc").await;
}

#[tokio::test]
async fn a_silent_collector_with_default_timeouts_does_not_delay_the_stop() {
    let silent = Raw::start(|_, _| std::future::pending()).await;
    let sandbox = sandbox().await;
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", silent.url.as_str())];
    let mut gateway = Process::start(&sandbox.url(), &settings).await;
    gateway.create(authorized(minimal("a"))).await.unwrap();
    let began = Instant::now();
    gateway.terminate().await;
    assert!(gateway.ended().await);
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_that_redirects_is_not_followed() {
    for status in ["302 Found", "307 Temporary Redirect"] {
        let elsewhere = Raw::start(|mut peer, _| async move {
            while peer.request().await.is_some() {
                peer.response("200 OK", "", "").await;
            }
        })
        .await;
        let location = format!("location: {}/v1/traces\r\n", elsewhere.url);
        let redirecting = Raw::start(move |mut peer, _| {
            let location = location.clone();
            async move {
                while peer.request().await.is_some() {
                    peer.response(status, &location, "").await;
                }
            }
        })
        .await;
        no_call_is_the_worse(&redirecting.url, "http/protobuf").await;
        assert_eq!(elsewhere.connections(), 0, "{status}");
    }
}
