//! Frames that a client may send and no good client does: too many, too large, for nothing.

use chartbrew_gateway::proto::CreateResponse;
use chartbrew_sandbox::Handle;
use prost::Message;

use crate::support::{
    gateway::{Builder, Gateway, gateway, minimal, sandbox},
    process::Process,
    time::soon,
    wire::{
        CONTINUATION, CREATE, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS,
        PREFACE, REFUSED_STREAM, RST_STREAM, SETTINGS, Wire, frame, header, headers, window_update,
    },
};

const MIB: usize = 1024 * 1024;

async fn start(change: impl FnOnce(Builder) -> Builder) -> (Handle, Gateway) {
    let sandbox = sandbox().await;
    let gateway = change(gateway(&sandbox.url())).start().await;
    (sandbox, gateway)
}

async fn open(gateway: &Gateway) -> Wire {
    Wire::open(gateway.addr, &[PREFACE, SETTINGS].concat()).await
}

/// The ids of streams, the first ones.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|n| 2 * n + 1)
}

/// A call's headers, with its message to come.
fn begin(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &headers(CREATE))
}

/// A message with its head.
fn message() -> Vec<u8> {
    let message = minimal("m").encode_to_vec();
    [&[0, 0, 0, 0, message.len().try_into().unwrap()], &*message].concat()
}

/// Sends this and expects that the gateway ends the connection as it does with a client that does too much,
/// and serves others.
async fn assert_too_much(gateway: &Gateway, case: &str, bytes: &[u8]) {
    let mut wire = open(gateway).await;
    wire.send(bytes).await;
    let end = wire.receive(&[GOAWAY]).await.map(|end| end.error());
    assert_eq!(end, Some(ENHANCE_YOUR_CALM), "{case}");
    wire.closed().await;
    gateway.create(minimal("m")).await.unwrap();
}

#[tokio::test]
async fn all_calls_that_a_connection_may_have_can_come_at_once() {
    let (_sandbox, gateway) = start(|builder| builder).await;
    let mut wire = open(&gateway).await;
    // Small messages, and the end of each stream in a frame of its own, as tonic's client sends it. They
    // are refused for what they lack.
    let empty = [0; 5];
    let calls = streams(256).flat_map(|stream| {
        let end = frame(DATA, END_STREAM, stream, &[]);
        [begin(stream), frame(DATA, 0, stream, &empty), end].concat()
    });
    wire.send(&calls.collect::<Vec<u8>>()).await;
    for _ in 0..256 {
        let response = wire.receive(&[HEADERS, RST_STREAM, GOAWAY]).await.unwrap();
        assert_eq!(response.kind, HEADERS);
        assert_ne!(response.flags & END_STREAM, 0);
    }
}

#[tokio::test]
async fn a_call_above_the_limit_of_a_connection_is_refused_and_the_others_go_on() {
    let (_sandbox, gateway) = start(|builder| builder.with(|s| s.grpc.max_streams = 2)).await;
    let mut wire = open(&gateway).await;
    wire.send(&streams(3).flat_map(begin).collect::<Vec<u8>>())
        .await;
    let refused = wire.receive(&[RST_STREAM]).await.unwrap();
    assert_eq!((refused.stream, refused.error()), (5, REFUSED_STREAM));
    wire.send(&frame(DATA, END_STREAM, 3, &message())).await;
    assert_eq!(wire.receive(&[HEADERS]).await.unwrap().stream, 3);
}

#[tokio::test]
async fn a_header_list_that_is_too_large_is_not_a_call() {
    let (sandbox, gateway) = start(|builder| builder).await;
    let mut wire = open(&gateway).await;
    let large = header("x", &"y".repeat(8_000));
    for (stream, count) in [(1, 1), (3, 3)] {
        let first = frame(HEADERS, 0, stream, &headers(CREATE));
        let more = frame(CONTINUATION, 0, stream, &large).repeat(count);
        let end = frame(CONTINUATION, END_HEADERS, stream, &[]);
        let body = frame(DATA, END_STREAM, stream, &message());
        wire.send(&[first, more, end, body].concat()).await;
        while wire.receive(&[HEADERS]).await.unwrap().flags & END_STREAM == 0 {}
    }
    assert_eq!(sandbox.requests().len(), 1);
    assert!(wire.is_alive().await);
}

#[tokio::test]
async fn headers_without_end_end_their_connection() {
    let (_sandbox, gateway) = start(|builder| builder).await;
    let first = frame(HEADERS, 0, 1, &headers(CREATE));
    let empty = frame(CONTINUATION, 0, 1, &[]).repeat(50);
    let full = frame(CONTINUATION, 0, 1, &header("x", &"y".repeat(8_000))).repeat(50);
    // A header of 4,000 bytes is put into the table (RFC 7541, 6.2.1), then named a thousand times.
    let mut entry = header("x", &"y".repeat(4_000));
    entry[0] = 0x40;
    let named = frame(
        CONTINUATION,
        END_HEADERS,
        1,
        &[&*entry, &[0xbe; 1_000]].concat(),
    );
    for (case, rest) in [("empty", empty), ("full", full), ("named", named)] {
        assert_too_much(&gateway, case, &[&*first, &rest].concat()).await;
    }
}

#[tokio::test]
async fn calls_that_are_taken_back_at_once_end_their_connection() {
    let (_sandbox, gateway) = start(|builder| builder).await;
    let cancel = 8_u32.to_be_bytes();
    let calls = streams(200)
        .flat_map(|stream| [begin(stream), frame(RST_STREAM, 0, stream, &cancel)].concat());
    assert_too_much(&gateway, "rapid reset", &calls.collect::<Vec<u8>>()).await;
}

#[tokio::test]
async fn a_connection_that_ends_for_what_its_peer_did_is_never_logged_above_info() {
    let sandbox = sandbox().await;
    let mut process = Process::start(&sandbox.url(), &[]).await;
    let calls = streams(200).flat_map(|stream| {
        let cancel = frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
        [begin(stream), cancel].concat()
    });
    let begun = [PREFACE, SETTINGS, &calls.collect::<Vec<u8>>()].concat();
    let mut wire = Wire::open(process.addr, &begun).await;
    assert!(wire.receive(&[GOAWAY]).await.is_some());
    process.terminate().await;
    assert!(process.ended().await);
    assert!(process.lines("WARN").is_empty(), "{}", process.log());
}

#[tokio::test]
async fn calls_that_the_gateway_has_to_reset_end_their_connection() {
    let (_sandbox, gateway) = start(|builder| builder).await;
    let one_byte = [headers(CREATE), header("content-length", "1")].concat();
    let calls = streams(2_000).flat_map(|stream| {
        let more = frame(DATA, END_STREAM, stream, b"more");
        [frame(HEADERS, END_HEADERS, stream, &one_byte), more].concat()
    });
    assert_too_much(&gateway, "made to reset", &calls.collect::<Vec<u8>>()).await;
}

#[tokio::test]
async fn data_frames_without_data_end_their_connection() {
    let (_sandbox, gateway) = start(|builder| builder).await;
    let empty = frame(DATA, 0, 1, &[]).repeat(1_000);
    assert_too_much(&gateway, "empty", &[begin(1), empty].concat()).await;
}

#[tokio::test]
async fn who_does_not_read_responses_is_not_read_either() {
    // What two sockets and the gateway keep of such frames and their responses is far less.
    const MOST: usize = 64 * MIB;
    let (_sandbox, gateway) = start(|builder| builder).await;
    let ping = frame(6, 0, 0, b"12345678");
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]);
    for piece in [ping, settings] {
        let mut wire = open(&gateway).await;
        let sent = wire.send_until_unread(&piece.repeat(1_000), MOST).await;
        assert!(sent < MOST, "{sent}");
        gateway.create(minimal("m")).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_is_decoded_when_its_stream_has_ended() {
    let (sandbox, gateway) = start(|builder| builder).await;
    let mut wire = open(&gateway).await;
    // One that cannot be decoded, and is refused for it.
    let broken = [0, 0, 0, 0, 1, 0xff];
    wire.send(&[begin(1), frame(DATA, 0, 1, &broken)].concat())
        .await;
    wire.send(&[begin(3), frame(DATA, END_STREAM, 3, &message())].concat())
        .await;
    for _headers_and_trailers in 0..2 {
        assert_eq!(wire.receive(&[HEADERS]).await.unwrap().stream, 3);
    }
    // What comes after the message is no part of it.
    wire.send(&frame(DATA, END_STREAM, 1, &message())).await;
    let refused = wire.receive(&[HEADERS]).await.unwrap();
    assert_eq!(
        (refused.stream, refused.flags & END_STREAM),
        (1, END_STREAM)
    );
    assert_eq!(sandbox.requests().len(), 1);
}

#[tokio::test]
async fn a_large_response_comes_whole_through_a_small_window() {
    const WINDOW: u16 = 1_000;
    let (_sandbox, gateway) = start(|builder| builder).await;
    let mut large = minimal("m");
    large.connection.as_mut().unwrap().host = Some("h".repeat(60_000));
    let [a, b] = WINDOW.to_be_bytes();
    let settings = frame(4, 0, 0, &[0, 4, 0, 0, a, b]);
    let mut wire = Wire::open(gateway.addr, &[PREFACE, &settings].concat()).await;
    let message = large.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let data = [&[0][..], &length, &message].concat();
    let pieces = data.chunks(16_384).map(|piece| frame(DATA, 0, 1, piece));
    let call = [
        begin(1),
        pieces.collect::<Vec<_>>().concat(),
        frame(DATA, END_STREAM, 1, &[]),
    ];
    wire.send(&call.concat()).await;
    let mut response = Vec::new();
    loop {
        let frame = wire
            .receive(&[HEADERS, DATA, RST_STREAM, GOAWAY])
            .await
            .unwrap();
        match (frame.kind, frame.flags & END_STREAM) {
            (DATA, _) => {
                assert!(frame.payload.len() <= WINDOW.into());
                response.extend_from_slice(&frame.payload);
                let read = u32::try_from(frame.payload.len()).unwrap();
                for stream in [0, 1] {
                    wire.send(&window_update(stream, read)).await;
                }
            }
            (HEADERS, 0) => {}
            other => {
                assert_eq!(other, (HEADERS, END_STREAM));
                break;
            }
        }
    }
    let made = CreateResponse::decode(&response[5..])
        .unwrap()
        .connection
        .unwrap();
    assert_eq!(made.host.unwrap().len(), 60_000);
}

/// Makes calls of the reflection service, which stay open. Returns how many of them are refused.
async fn reflect(wire: &mut Wire, calls: u32) -> usize {
    let headers = headers("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    let begin = |stream| frame(HEADERS, END_HEADERS, stream, &headers);
    let all = streams(calls).flat_map(begin);
    wire.send(&all.collect::<Vec<u8>>()).await;
    let mut refused = 0;
    for _ in 0..calls {
        let response = wire.receive(&[HEADERS]).await.unwrap();
        refused += usize::from(response.flags & END_STREAM != 0);
    }
    refused
}

#[tokio::test]
async fn reflection_has_a_limit_and_other_calls_go_on() {
    let (_sandbox, gateway) = start(|builder| builder).await;
    let mut wire = open(&gateway).await;
    assert_eq!(reflect(&mut wire, 66).await, 2);
    gateway.create(minimal("m")).await.unwrap();
    drop(wire);
    soon(async { while reflect(&mut open(&gateway).await, 1).await != 0 {} }).await;
}
