//! The soak: callers that cancel, time out and retry at random, an upstream that fails one create in
//! five in every way, a Redis that falls silent or drops its connections, and a gateway that is
//! killed and started again.
//!
//! What must hold in the end, whatever happened:
//!
//! - no logical create has two rows: **0 duplicates**;
//! - every OK named the row that is there, the same one each time: **0 false OK**;
//! - every row with a request_id that is there was told to its caller, or is found by asking again:
//!   **0 lost**;
//! - where a caller was told that nothing was created, and left it at that, there is no row, nor
//!   comes one later: **0 false "nothing was created"**. This holds for the first call of a create,
//!   and for a later one with the same request_id.
//!
//! Bounded by default. The whole of it, with Redis and five kills, needs `redis-server`:
//!
//! ```text
//! SOAK_CREATES=20000 SOAK_KILLS=5 \
//!   cargo test --release --features redis-tests --test soak -- --nocapture
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; clippy.toml sees only #[test] bodies"
)]

#[path = "soak/callers.rs"]
mod callers;
#[path = "soak/gateway.rs"]
mod gateway;
#[cfg(feature = "redis-tests")]
#[path = "soak/glitches.rs"]
mod glitches;
#[path = "it/support/port.rs"]
mod port;
#[path = "soak/report.rs"]
mod report;
#[cfg(feature = "redis-tests")]
#[path = "redis/server.rs"]
#[allow(dead_code, reason = "the tests of the store use the rest of it")]
mod server;
#[path = "soak/told.rs"]
mod told;
#[path = "soak/upstream.rs"]
mod upstream;

use tokio_util::sync::CancellationToken;

use crate::{callers::Callers, gateway::Gateway, report::Trouble};

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// One run. `disturb` makes trouble for the store until it is told that it is over.
async fn soak(
    store: String,
    creates: usize,
    kills: usize,
    disturb: impl AsyncFnOnce(CancellationToken) -> usize,
) {
    let upstream = upstream::start(creates).await;
    let mut gateway = Gateway::start(upstream.url(), store).await;
    let callers = Callers::new(gateway.channel());
    let over = CancellationToken::new();
    let calling = async {
        callers.run(creates).await;
        over.cancel();
    };
    let killing = async {
        let mut begun = callers.begun.subscribe();
        for kill in 1..=kills {
            let is_due = |begun: &usize| *begun >= creates * kill / (kills + 1);
            begun.wait_for(is_due).await.unwrap();
            gateway.kill_and_restart().await;
        }
    };
    let ((), (), glitches) = tokio::join!(calling, killing, disturb(over.clone()));

    upstream.clear_faults();
    let asked_again = callers.ask_again().await;
    gateway.stop().await;
    upstream::is_idle(&upstream).await;
    let trouble = Trouble {
        kills,
        glitches,
        asked_again,
        cut_off: upstream.cut_off(),
    };
    report::report(&callers.tally(), &upstream::rows(&upstream), &trouble);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_duplicated_or_lost_with_the_store_in_process() {
    let creates = setting("SOAK_CREATES", 1_000);
    soak("memory".to_owned(), creates, 0, async |_| 0).await;
}

#[cfg(feature = "redis-tests")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_duplicated_or_lost_with_redis_and_kills() {
    if !server::wanted() {
        return;
    }
    let redis = server::Server::start();
    let creates = setting("SOAK_CREATES", 1_000);
    let kills = setting("SOAK_KILLS", 2);
    let disturb = async |over| glitches::disturb(&redis, over).await;
    soak(redis.url(), creates, kills, disturb).await;
}
