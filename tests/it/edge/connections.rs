//! Connections that are begun and not used, or too many.

use std::time::Duration;

use crate::support::{
    gateway::{gateway, minimal, sandbox},
    time::soon,
    wire::{PART_OF_HEADERS, PREFACE, SETTINGS, Wire},
};

#[tokio::test]
async fn what_is_begun_and_not_ended_is_closed_and_what_is_idle_is_not() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.handshake_timeout = Duration::from_millis(200))
        .start()
        .await;
    let begun = [PREFACE, SETTINGS].concat();
    let mut idle = Wire::open(gateway.addr, &begun).await;
    let incomplete = [
        ("nothing", Vec::new()),
        ("a part of the preface", PREFACE[..10].to_vec()),
        ("the preface alone", PREFACE.to_vec()),
        ("a part of a frame's head", [&*begun, &[0, 0]].concat()),
        (
            "a part of a header block",
            [&*begun, PART_OF_HEADERS].concat(),
        ),
    ];
    for (case, bytes) in incomplete {
        eprintln!("{case}");
        Wire::open(gateway.addr, &bytes).await.closed().await;
    }
    assert!(idle.is_alive().await);
    gateway.create(minimal("m")).await.unwrap();
}

#[tokio::test]
async fn a_connection_above_the_limit_is_closed_and_one_is_taken_when_another_ends() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.max_connections = 1)
        .start()
        .await;
    gateway.create(minimal("first")).await.unwrap();
    let begun = [PREFACE, SETTINGS].concat();
    for _ in 0..3 {
        Wire::open(gateway.addr, &begun).await.closed().await;
    }
    gateway.create(minimal("still there")).await.unwrap();

    let addr = gateway.addr;
    drop(gateway.client);
    soon(async { while !Wire::open(addr, &begun).await.is_alive().await {} }).await;
}
