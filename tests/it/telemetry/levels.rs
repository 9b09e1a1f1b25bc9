//! Nothing that a caller alone can do is logged above INFO: else any of them could page an
//! operator.

use std::time::Duration;

use bytes::Bytes;
use chartbrew_gateway::proto::CreateRequest;
use chartbrew_sandbox::Fault;
use tonic::{Code, Request, metadata::MetadataValue};

use crate::support::{
    gateway::{authorized, channel, minimal, sandbox, with_id},
    process::Process,
    time::soon,
    wire::{self, CREATE, PREFACE, SETTINGS, Wire, stalled, streamed},
};

const TOKEN: (&str, &str) = ("authorization", "Bearer sandbox-token");

/// What no HTTP/2 client would send after its preface.
const BAD_FRAMES: [(&str, &[u8]); 5] = [
    ("data of no stream", &[0, 0, 1, 0, 0, 0, 0, 0, 0, 7]),
    (
        "headers that cannot be decoded",
        &[0, 0, 2, 1, 5, 0, 0, 0, 1, 0xff, 0xff],
    ),
    (
        "headers of an even stream",
        &[0, 0, 1, 1, 5, 0, 0, 0, 2, 0x82],
    ),
    (
        "a frame that is too large",
        &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
    ),
    ("a ping of the wrong size", &[0, 0, 1, 6, 0, 0, 0, 0, 0, 1]),
];

fn text(text: &'static str) -> tonic::body::Body {
    streamed(futures_util::stream::iter([Bytes::from_static(
        text.as_bytes(),
    )]))
}

/// Connections that do not speak the protocol.
async fn junk_connections(gateway: &Process) {
    let mut all = vec![("HTTP/1.1", b"GET / HTTP/1.1\r\nhost: h\r\n\r\n".to_vec())];
    all.push(("noise", vec![0xa5; 4096]));
    for (case, frame) in BAD_FRAMES {
        all.push((case, [PREFACE, SETTINGS, frame].concat()));
    }
    for (case, bytes) in all {
        eprintln!("{case}");
        Wire::open(gateway.addr, &bytes).await.closed().await;
    }
    // One that is silent until it is closed, and one that ends at once.
    Wire::open(gateway.addr, b"").await.closed().await;
    drop(Wire::open(gateway.addr, PREFACE).await);
}

/// Calls that do not follow the protocol. Returns how many.
async fn junk_calls(gateway: &Process) -> usize {
    let path = [
        "/chartbrew.connection.v1.ConnectionService/Nope",
        "/no.such/Method",
        "/",
    ];
    let requests = [
        // (method, path, content type, body)
        ("POST", path[0], "application/grpc", text("")),
        ("POST", path[1], "application/grpc", text("x")),
        ("POST", path[2], "application/grpc", text("")),
        ("GET", CREATE, "application/grpc", text("")),
        ("PUT", CREATE, "application/grpc", text("")),
        ("POST", CREATE, "application/json", text("{}")),
        ("POST", CREATE, "text/html", text("<html>")),
        ("POST", CREATE, "application/grpc", text("")),
        ("POST", CREATE, "application/grpc", text("abc")),
        (
            "POST",
            CREATE,
            "application/grpc",
            text("\0\0\0\0\x04\x7f\x7f\x7f\x7f"),
        ),
        ("POST", CREATE, "application/grpc", text("\x01\0\0\0\x01x")),
        ("POST", CREATE, "application/grpc", text("\x07\0\0\0\0")),
        ("POST", CREATE, "application/grpc", text("\0\x7f\0\0\0")),
    ];
    let calls = requests.len();
    let channel = channel(gateway.addr).await;
    for (method, path, content_type, body) in requests {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .header("te", "trailers")
            .header(TOKEN.0, TOKEN.1)
            .body(body)
            .unwrap();
        let response = tower::ServiceExt::oneshot(channel.clone(), request);
        soon(response).await.unwrap();
    }
    let compressed = [TOKEN, ("grpc-encoding", "gzip")];
    let statuses = [
        wire::call(channel.clone(), &[], stalled(b"")).await,
        wire::call(channel.clone(), &[TOKEN], stalled(b"")).await,
        wire::call(channel.clone(), &compressed, text("\x01\0\0\0\x04junk")).await,
        wire::call(
            channel,
            &[TOKEN, ("grpc-encoding", "br")],
            text("\x01\0\0\0\x01x"),
        )
        .await,
    ];
    for status in &statuses {
        assert_ne!(status.code(), Code::Ok);
    }
    calls + statuses.len()
}

/// Calls that are wrong, or whose callers have no rights, no time, or that leave early. Returns how
/// many.
async fn wrong_calls(gateway: &Process, silent: impl Fn()) -> usize {
    let unauthorized = |token: &str| {
        let mut request = Request::new(minimal("m"));
        let token = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
        request.metadata_mut().insert("authorization", token);
        request
    };
    let elsewhere = CreateRequest {
        team_id: 9999,
        ..minimal("m")
    };
    let large = minimal(&"n".repeat(6 * 1024 * 1024));
    let first = with_id("first");
    gateway.create(authorized(first.clone())).await.unwrap();
    let other = CreateRequest {
        connection: minimal("other").connection,
        ..first
    };
    let requests = vec![
        Request::new(minimal("without a token")),
        unauthorized("wrong"),
        authorized(CreateRequest::default()),
        authorized(elsewhere),
        authorized(large),
        authorized(other),
    ];
    let calls = requests.len();
    for request in requests {
        soon(gateway.create(request)).await.unwrap_err();
    }
    silent();
    let mut hasty = authorized(minimal("m"));
    hasty.set_timeout(Duration::from_millis(300));
    gateway.create(hasty).await.unwrap_err();
    silent();
    let mut client = gateway.client.clone();
    let left = tokio::spawn(async move { client.create(authorized(minimal("m"))).await });
    tokio::task::yield_now().await;
    left.abort();
    calls + 2
}

#[tokio::test]
async fn no_caller_can_make_the_log_louder_than_info() {
    let sandbox = sandbox().await;
    let settings = [
        ("GATEWAY_LOG", "info"),
        ("GATEWAY_HANDSHAKE_TIMEOUT", "200ms"),
        ("GATEWAY_MESSAGE_TIMEOUT", "200ms"),
        ("GATEWAY_MAX_CONNECTIONS", "40"),
    ];
    let mut gateway = Process::start(&sandbox.url(), &settings).await;
    junk_connections(&gateway).await;
    let junk = junk_calls(&gateway).await;
    let wrong = wrong_calls(&gateway, || sandbox.script([Fault::create().silent()])).await;
    gateway.terminate().await;
    assert!(gateway.ended().await);
    gateway.line("stopped").await;
    for level in ["WARN", "ERROR"] {
        assert!(
            gateway.lines(level).is_empty(),
            "{:#?}",
            gateway.lines(level)
        );
    }
    let lines = gateway.lines("INFO");
    let calls = lines
        .iter()
        .filter(|line| line["message"] == "call")
        .count();
    // The one that its caller left may not have been begun.
    assert!(calls >= junk + wrong - 1, "{calls} of {junk} and {wrong}");
}
