//! A method has one spelling, and a call one form: no other gets past what a caller may not call.

use std::net::SocketAddr;

use chartbrew_sandbox as sandbox;
use prost::Message;

use super::callers::{entry, for_callers};
use crate::support::{
    gateway::{gateway, minimal, sandbox},
    pki::Directory,
    wire::{
        CREATE, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS,
        Wire, frame, header,
    },
};

type Header<'a> = (&'a str, &'a str);

const POST: [Header<'_>; 3] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "gateway"),
];
const GRPC: Header<'_> = ("content-type", "application/grpc");

/// Creates a connection by frames with exactly these headers, and waits for the end of the call or
/// of the connection. No library corrects what is sent.
async fn create(addr: SocketAddr, headers: &[Header<'_>]) {
    let message = minimal("m").encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let message = [&[0], &length[..], &message].concat();
    let headers: Vec<u8> = headers
        .iter()
        .flat_map(|(name, value)| header(name, value))
        .collect();
    let frames = [
        frame(HEADERS, END_HEADERS, 1, &headers),
        frame(DATA, END_STREAM, 1, &message),
    ];
    let mut wire = Wire::open(addr, &[PREFACE, SETTINGS, &frames.concat()].concat()).await;
    while let Some(frame) = wire.receive(&[HEADERS, RST_STREAM, GOAWAY]).await {
        if frame.kind != HEADERS || frame.flags & END_STREAM != 0 {
            return;
        }
    }
}

#[tokio::test]
async fn a_method_that_is_not_allowed_has_no_other_spelling() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let callers =
        entry("reader", &["reader"], "methods = [\"Get\"]") + &entry("writer", &["writer"], "");
    let gateway = for_callers(&sandbox.url(), &directory, &callers)
        .start()
        .await;
    let path = CREATE.trim_start_matches('/');
    let (service, method) = path.split_once('/').unwrap();
    let spellings = [
        CREATE.to_owned(),
        path.to_owned(),
        format!("//{path}"),
        format!("///{path}"),
        format!("\\{path}"),
        format!("/{service}//{method}"),
        format!("/{service}/{method}/"),
        format!("/{service}/{method}?"),
        format!("/{service}/{method}?/grpc.health.v1.Health/Check"),
        format!("/{service}/{method}#"),
        format!("/{service}/{method};"),
        format!("/{service}/{method}%00"),
        format!("/{service}/{method}%20"),
        format!("/{service}/{method} "),
        format!("/{service}/%43reate"),
        format!("/{service}/%2543reate"),
        format!("/{service}%2F{method}"),
        format!("/%63hartbrew.connection.v1.ConnectionService/{method}"),
        format!("/{service}/create"),
        format!("/{service}/CREATE"),
        format!("/{}", path.to_uppercase()),
        format!("/./{path}"),
        format!("/x/../{path}"),
        format!("/grpc.health.v1.Health/../{path}"),
        format!("/grpc.health.v1.Health/Check/../../{path}"),
        format!("/grpc.{path}"),
        format!("http://gateway/{path}"),
        format!("http://gateway//{path}"),
        format!("//gateway/{path}"),
        "*".to_owned(),
    ];
    let as_is = |path| [&POST[..], &[(":path", path), GRPC]].concat();
    let unnamed = as_is("/");
    let mut ways: Vec<Vec<Header<'_>>> = spellings.iter().map(|path| as_is(path)).collect();
    for more in [
        (":path", CREATE),
        ("path", CREATE),
        ("x-original-url", CREATE),
        ("x-rewrite-url", CREATE),
        ("x-http-method-override", "POST"),
    ] {
        ways.push([&unnamed[..], &[more]].concat());
        ways.push([&as_is(CREATE)[..], &[more]].concat());
    }
    for way in ways {
        for token in [Some("Bearer reader"), None] {
            let token = token.map(|token| ("authorization", token));
            let headers: Vec<_> = way.iter().copied().chain(token).collect();
            create(gateway.addr, &headers).await;
            assert!(sandbox.requests().is_empty(), "{headers:?}");
        }
    }
    // The frames are in order.
    let allowed = [&as_is(CREATE)[..], &[("authorization", "Bearer writer")]].concat();
    create(gateway.addr, &allowed).await;
    assert_eq!(sandbox.rows(1).len(), 1);
}

/// What a page may send to any server without being asked has another content type, or none
/// (Fetch, "CORS-safelisted request-header"). A browser adds its client certificate by itself.
#[tokio::test]
async fn a_page_in_a_browser_makes_no_call() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let token = format!("Bearer {}", sandbox::TOKEN);
    let call = [&POST[..], &[(":path", CREATE), ("authorization", &token)]].concat();
    for content_type in [
        None,
        Some(""),
        Some("text/plain"),
        Some("text/plain;application/grpc"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=application/grpc"),
        Some("application/json"),
        Some("application/grpcx"),
        Some("application/grpc-web+proto"),
    ] {
        let content_type = content_type.map(|text| ("content-type", text));
        let headers: Vec<_> = call.iter().copied().chain(content_type).collect();
        create(gateway.addr, &headers).await;
        assert!(sandbox.requests().is_empty(), "{content_type:?}");
    }
    let of_grpc = [
        "application/grpc",
        "application/grpc+proto",
        "Application/gRPC; charset=utf-8",
    ];
    for (made, content_type) in (1..).zip(of_grpc) {
        let headers = [&call[..], &[("content-type", content_type)]].concat();
        create(gateway.addr, &headers).await;
        assert_eq!(sandbox.rows(1).len(), made, "{content_type}");
    }
}
