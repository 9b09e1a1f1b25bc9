//! Connections that have grown old.

use std::{net::SocketAddr, time::Duration};

use chartbrew_gateway::proto::connection_service_client::ConnectionServiceClient;
use chartbrew_sandbox::{Fault, Gate};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    gateway::{authorized, channel, gateway, minimal, sandbox},
    time::{hastened, soon},
    wire::{
        CREATE, END_HEADERS, GOAWAY, HEADERS, PREFACE, Received, SETTINGS, frame, headers,
        next_frame,
    },
};

/// What was seen of the connections through a relay.
#[derive(Clone, Default)]
struct Seen {
    begun: usize,
    told_to_go: usize,
    ended: usize,
}

/// Passes connections on to the gateway, and notes when it ends them.
async fn relay(gateway: SocketAddr) -> (SocketAddr, watch::Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (note, seen) = watch::channel(Seen::default());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            note.send_modify(|seen| seen.begun += 1);
            let note = note.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(gateway).await.unwrap();
                let (mut from_client, to_client) = client.into_split();
                let (from_server, mut to_server) = server.into_split();
                let up = copy(&mut from_client, &mut to_server);
                let down = async {
                    frames(from_server, to_client, &note).await;
                    note.send_modify(|seen| seen.ended += 1);
                };
                tokio::join!(up, down)
            });
        }
    });
    (addr, seen)
}

/// Passes frames of HTTP/2 on.
async fn frames(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    note: &watch::Sender<Seen>,
) {
    let mut told_to_go = false;
    while let Some(Received {
        kind,
        flags,
        stream,
        payload,
    }) = next_frame(&mut from).await
    {
        drop(to.write_all(&frame(kind, flags, stream, &payload)).await);
        if kind == GOAWAY && !told_to_go {
            told_to_go = true;
            note.send_modify(|seen| seen.told_to_go += 1);
        }
    }
}

async fn until(seen: &mut watch::Receiver<Seen>, holds: impl FnMut(&Seen) -> bool) {
    drop(soon(seen.wait_for(holds)).await.unwrap());
}

#[tokio::test]
async fn an_old_connection_takes_no_more_calls_and_lets_its_calls_end() {
    let sandbox = sandbox().await;
    let gate = Gate::new();
    sandbox.script([Fault::create().hold_before_storing(&gate)]);
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.max_connection_age = Duration::from_millis(500))
        .start_without_client()
        .await;
    let (addr, mut seen) = relay(gateway.addr).await;
    let client = ConnectionServiceClient::new(channel(addr).await);
    let mut first = client.clone();
    let long = tokio::spawn(async move { first.create(authorized(minimal("long"))).await });
    soon(gate.reached()).await;
    until(&mut seen, |seen| seen.told_to_go > 0).await;
    assert_eq!(seen.borrow().ended, 0, "a call is under way");
    gate.open();
    soon(long).await.unwrap().unwrap();
    until(&mut seen, |seen| seen.ended > 0).await;
    // The same client's next call takes another connection.
    soon(client.clone().create(authorized(minimal("next"))))
        .await
        .unwrap();
    assert!(seen.borrow().begun > 1);
}

#[tokio::test]
async fn a_stream_without_end_does_not_keep_an_old_connection() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.max_connection_age = Duration::from_millis(50))
        .start_without_client()
        .await;
    let mut health = HealthClient::new(channel(gateway.addr).await);
    let watched = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watched = watched.into_inner();
    assert!(watched.message().await.unwrap().is_some());
    let ended = hastened(Duration::from_secs(1), watched.message()).await;
    assert!(ended.is_err());
}

#[tokio::test]
async fn an_old_connection_ends_though_its_caller_begins_calls_as_if_nothing_had_been_said() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.max_connection_age = Duration::from_millis(50))
        .start_without_client()
        .await;
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    stream
        .write_all(&[PREFACE, SETTINGS].concat())
        .await
        .unwrap();
    // It answers nothing, and has always a call whose message is still to come.
    let ended = async {
        let mut read = [0; 4096];
        for id in (1..).step_by(2) {
            let begin = frame(HEADERS, END_HEADERS, id, &headers(CREATE));
            if stream.write_all(&begin).await.is_err() {
                return;
            }
            let second = Duration::from_secs(1);
            if let Ok(Ok(0) | Err(_)) = timeout(second, stream.read(&mut read)).await {
                return;
            }
        }
    };
    hastened(Duration::from_secs(1), ended).await;
    assert!(sandbox.requests().is_empty());
}
