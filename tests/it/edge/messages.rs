//! Messages that do not come, come slowly, or take up too much memory together.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{Either, select},
    stream,
};
use tokio::sync::mpsc::unbounded_channel;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    gateway::{Builder, Failure, Gateway, channel, failure, gateway, minimal, sandbox},
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
async fn a_message_that_is_there_is_served_however_many_others_are_waited_for() {
    const SIZE: usize = 64 * 1024 * 1024;
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url())
        .with(|settings| {
            settings.grpc.message_timeout = HOUR;
            settings.grpc.max_message_bytes = SIZE;
        })
        .start()
        .await;
    // Of two such messages all but a byte has come, which is more than may be kept.
    let (told, mut sent) = unbounded_channel();
    let calls = [(); 2].map(|()| {
        let told = told.clone();
        let piece = Bytes::from(vec![0; 1024 * 1024]);
        let head = Bytes::from_static(&[0, 4, 0, 0, 0]);
        let message = stream::iter([head, piece.slice(1..)]).chain(stream::iter(vec![piece; 63]));
        let message = message.chain(stream::once(async move {
            told.send(()).unwrap_or_default();
            std::future::pending().await
        }));
        let addr = gateway.addr;
        tokio::spawn(async move { call(channel(addr).await, &[TOKEN], streamed(message)).await })
    });
    let [first, second] = calls;
    soon(sent.recv()).await;
    gateway.create(minimal("m")).await.unwrap();
    let (refused, other) = match soon(select(first, second)).await {
        Either::Left(ended) | Either::Right(ended) => ended,
    };
    let refused = failure::<()>(Err(refused.unwrap()));
    let got = (refused.code, &*refused.reason);
    assert_eq!(got, (Code::ResourceExhausted, "OVERLOADED"));
    assert!(refused.has_retry_info());
    assert!(!other.is_finished());
    gateway.create(minimal("m")).await.unwrap();
    other.abort();
}

#[tokio::test]
async fn a_small_message_that_would_become_a_large_one_is_refused() {
    // A frame of zstd (RFC 8878) with 8,000 blocks of 128 KiB, each of which repeats one byte: 1 GiB.
    let block = (((128 * 1024_u32) << 3) | (1 << 1)).to_le_bytes();
    let blocks = [block[0], block[1], block[2], b'0'].repeat(8_000);
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x68], &*blocks, &[1, 0, 0]].concat();
    let length = u32::try_from(zstd.len()).unwrap().to_be_bytes();
    let message = Bytes::from([&[1], &length[..], &zstd].concat());
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let body = streamed(stream::iter([message]));
    let refused = refusal(&gateway, &[TOKEN, ("grpc-encoding", "zstd")], body).await;
    let got = (refused.code, &*refused.reason);
    assert_eq!(got, (Code::InvalidArgument, "TOO_LARGE"));
    assert!(sandbox.requests().is_empty());
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
