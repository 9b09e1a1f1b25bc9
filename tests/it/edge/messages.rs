//! Messages that do not come, come slowly, or take up too much memory together.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    gateway::{Builder, Failure, Gateway, failure, gateway, minimal, sandbox},
    time::soon,
    wire::{call, stalled, streamed},
};

const HOUR: Duration = Duration::from_secs(3600);
const TOKEN: (&str, &str) = ("authorization", "Bearer sandbox-token");
/// The head of a message of 16 bytes, and two of them.
const PART: &[u8] = &[0, 0, 0, 0, 16, 8, 1];

async fn refusal(gateway: &Gateway, headers: &[(&str, &str)], body: tonic::body::Body) -> Failure {
    let call = call(gateway.channel().await, headers, body);
    failure::<()>(Err(soon(call).await))
}

#[tokio::test]
async fn a_call_without_a_token_is_refused_before_its_message_is_read() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.message_timeout = HOUR)
        .start()
        .await;
    let malformed = ("authorization", "sandbox-token");
    for headers in [&[][..], &[malformed], &[TOKEN, TOKEN]] {
        let refused = refusal(&gateway, headers, stalled(b"")).await;
        let got = (refused.code, &*refused.reason);
        assert_eq!(got, (Code::Unauthenticated, "TOKEN_MISSING"), "{headers:?}");
    }
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn a_message_that_does_not_arrive_in_time_ends_its_call() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.message_timeout = Duration::from_millis(200))
        .start()
        .await;
    // A byte now and then is no reason to wait longer.
    let drip = stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Bytes::from_static(&[0]), ()))
    });
    let messages = [
        ("nothing", stalled(b"")),
        ("a part of its head", stalled(&PART[..3])),
        ("a part of it", stalled(PART)),
        ("a byte at a time", streamed(Box::pin(drip))),
    ];
    for (case, message) in messages {
        let refused = refusal(&gateway, &[TOKEN], message).await;
        let got = (refused.code, &*refused.reason);
        assert_eq!(got, (Code::DeadlineExceeded, "BAD_CALL"), "{case}");
    }
    gateway.create(minimal("m")).await.unwrap();
    assert_eq!(sandbox.requests().len(), 1);
}

#[tokio::test]
async fn messages_that_are_read_take_up_no_more_memory_than_they_may() {
    let sandbox = sandbox().await;
    // What two compressed messages may become is all that there is for all of them.
    let gateway = gateway(&sandbox.url())
        .with(|settings| {
            settings.grpc.message_timeout = HOUR;
            settings.grpc.max_message_bytes = 64 * 1024 * 1024;
        })
        .start()
        .await;
    let compressed = [TOKEN, ("grpc-encoding", "gzip")];
    let channel = gateway.channel().await;
    let calls = [(); 2].map(|()| {
        let channel = channel.clone();
        tokio::spawn(async move { call(channel, &compressed, stalled(PART)).await })
    });
    let refused = soon(async {
        loop {
            if let Err(status) = gateway.create(minimal("m")).await {
                return failure::<()>(Err(status));
            }
        }
    });
    let refused = refused.await;
    let got = (refused.code, &*refused.reason);
    assert_eq!(got, (Code::ResourceExhausted, "OVERLOADED"));
    assert!(refused.has_retry_info());
    // Their memory is free again as soon as their callers leave.
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    soon(async { while gateway.create(minimal("m")).await.is_err() {} }).await;
}

/// A gateway that is told to stop while it waits for a message.
async fn stopped(builder: Builder) -> (Failure, bool) {
    let mut gateway = builder.start().await;
    let channel = gateway.channel().await;
    let waiting = tokio::spawn({
        let channel = channel.clone();
        async move { call(channel, &[TOKEN], stalled(PART)).await }
    });
    // A connection's calls are begun in their order: the one before this was.
    tokio::task::yield_now().await;
    let mut health = HealthClient::new(channel);
    health.check(HealthCheckRequest::default()).await.unwrap();
    gateway.stop();
    let refused = failure::<()>(Err(soon(waiting).await.unwrap()));
    (refused, soon(gateway.stopped()).await)
}

#[tokio::test]
async fn a_message_that_stalls_does_not_stretch_the_stop_to_the_whole_grace_period() {
    let sandbox = sandbox().await;
    let stalls = gateway(&sandbox.url()).with(|settings| {
        settings.grpc.message_timeout = Duration::from_millis(300);
        settings.grpc.shutdown_grace = HOUR;
    });
    let (refused, all_ended) = stopped(stalls).await;
    let got = (refused.code, &*refused.reason, all_ended);
    assert_eq!(got, (Code::DeadlineExceeded, "BAD_CALL", true));
}

#[tokio::test]
async fn a_message_that_stalls_ends_with_the_grace_period() {
    let sandbox = sandbox().await;
    let stalls = gateway(&sandbox.url()).with(|settings| {
        settings.grpc.message_timeout = HOUR;
        settings.grpc.shutdown_grace = Duration::from_millis(100);
    });
    let (refused, all_ended) = stopped(stalls).await;
    let got = (refused.code, &*refused.reason, all_ended);
    assert_eq!(got, (Code::Unavailable, "UPSTREAM_UNAVAILABLE", false));
    assert!(refused.status.message().contains("nothing was sent"));
}
