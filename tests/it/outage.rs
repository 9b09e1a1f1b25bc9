//! An upstream that is gone, under load: what reaches it, what callers get, and how it comes back.
//!
//! Short here; `OUTAGE_SECONDS=30 OUTAGE_RATE=1000` makes it the full one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::Code;

use crate::support::{
    gateway::{authorized, minimal, sandbox},
    process::Process,
    raw::Raw,
};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_costs_refusals_and_little_else() {
    let seconds = setting("OUTAGE_SECONDS", 4);
    let rate = setting("OUTAGE_RATE", 300);
    let probe_after = Duration::from_millis(setting("OUTAGE_PROBE_MS", 500));

    let sandbox = sandbox().await;
    let addr = sandbox.addr();
    let down = Arc::new(AtomicBool::new(true));
    let reached = Arc::new(AtomicUsize::new(0));
    let (is_down, count) = (down.clone(), reached.clone());
    // While it is down it answers 503, so that what reaches it can be counted.
    let upstream = Raw::start(move |mut peer, _| {
        let (is_down, count) = (is_down.clone(), count.clone());
        async move {
            if is_down.load(Ordering::SeqCst) {
                count.fetch_add(1, Ordering::SeqCst);
                peer.request().await;
                peer.write("HTTP/1.1 503 Down\r\ncontent-length: 19\r\n\r\nno healthy upstream")
                    .await;
            } else {
                let mut server = tokio::net::TcpStream::connect(addr).await.unwrap();
                let copied = tokio::io::copy_bidirectional(&mut peer.0, &mut server).await;
                copied.map(drop).unwrap_or_default();
            }
        }
    })
    .await;
    let probe = format!("{}ms", probe_after.as_millis());
    let settings = [
        ("GATEWAY_CIRCUIT_PROBE", &*probe),
        ("GATEWAY_LOG", "off,chartbrew_gateway::cli=info"),
    ];
    let gateway = Process::start(&upstream.url, &settings).await;
    let create = |name| gateway.create(authorized(minimal(name)));

    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(rate).unwrap());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = FuturesUnordered::new();
    let total = seconds * rate;
    let (mut answered, mut memory_early) = (0_u64, None);
    for sent in 0..total {
        ticks.tick().await;
        calls.push(create("m"));
        while let Some(Some(response)) = futures_util::FutureExt::now_or_never(calls.next()) {
            assert_eq!(response.unwrap_err().code(), Code::Unavailable);
            answered += 1;
        }
        if sent == total / 4 {
            memory_early = Some(gateway.resident());
        }
    }
    while let Some(response) = calls.next().await {
        assert_eq!(response.unwrap_err().code(), Code::Unavailable);
        answered += 1;
    }
    assert_eq!(answered, total);

    // Opening takes five attempts in a row, with as many again on their way; then one a probe.
    let probes = usize::try_from(seconds).unwrap() * 1000
        / usize::try_from(probe_after.as_millis()).unwrap();
    let reached = reached.load(Ordering::SeqCst);
    let grown = gateway.resident().saturating_sub(memory_early.unwrap());
    eprintln!("{total} calls, {reached} attempts reached it, memory grew by {grown} KiB");
    assert!(
        reached <= 10 + 2 * (probes + 1),
        "{reached} attempts, {probes} probes"
    );
    assert!(grown < 16 * 1024, "{grown} KiB");

    // It is back: the first call that is let through succeeds and closes the circuit.
    down.store(false, Ordering::SeqCst);
    let back = Instant::now();
    let first = loop {
        match create("back").await {
            Ok(_) => break back.elapsed(),
            Err(status) => assert_eq!(status.code(), Code::Unavailable),
        }
        tokio::task::yield_now().await;
    };
    eprintln!("the first success came after {first:?}");
    assert!(first < probe_after * 2, "{first:?}");
    for _ in 0..10 {
        create("closed again").await.unwrap();
    }
}
