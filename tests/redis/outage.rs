//! A server that is gone, silent or closed to us: an error in time, without a word that is secret,
//! and everything works again once it is back.

use std::time::Duration;

use chartbrew_gateway::delivery::request_id::{Next, RedisSettings, Store};
use tokio::time::{Instant, timeout};

use crate::{
    server::{self, Server, wanted},
    store_suite::{any, holder},
};

/// The limit of an operation, and what a slow machine needs on top of it.
const SOON: Duration = Duration::from_millis(500 + 400);
/// Two pings, and what they wait for.
const NOTICED: Duration = Duration::from_secs(8);

/// Whether every operation fails, each within its limit.
async fn fails_soon(store: &Store) {
    let (a, holder) = (any(), holder());
    for operation in 0..7 {
        let start = Instant::now();
        let failed = match operation {
            0 => store.claim(&a, holder).await.is_err(),
            1 => store.sending(&a.key, holder).await.is_err(),
            2 => store.created(&a.key, holder, 1, true).await.is_err(),
            3 => store.release(&a.key, holder).await.is_err(),
            4 => store.abandon(&a.key, holder).await.is_err(),
            5 => store.is_free(1, 1, &a.key).await.is_err(),
            _ => store.assign(1, 1, &a.key).await.is_err(),
        };
        assert!(failed, "{operation}");
        assert!(start.elapsed() < SOON, "{operation}: {:?}", start.elapsed());
    }
    // Does not wait for what it cannot see.
    timeout(SOON, store.changed(&a.key)).await.unwrap();
}

async fn becomes(store: &Store, reachable: bool) {
    let mut watch = store.watch_reachable();
    let changed = watch.wait_for(|now| *now == reachable);
    timeout(NOTICED, changed).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_lost_server_is_reported_and_reconnected() {
    if !wanted() {
        return;
    }
    let mut server = Server::start();
    let store = server.store();
    becomes(&store, true).await;
    assert_eq!(store.claim(&any(), holder()).await.unwrap(), Next::Run);
    server.stop();
    fails_soon(&store).await;
    becomes(&store, false).await;
    let error = store.claim(&any(), holder()).await.unwrap_err();
    assert!(
        error.to_string().ends_with(": connection refused"),
        "{error}"
    );
    fails_soon(&store).await;

    // At once, not only when a ping has found it; and the scripts, which it has lost, too.
    server.start_again();
    assert_eq!(store.claim(&any(), holder()).await.unwrap(), Next::Run);
    becomes(&store, true).await;
}

#[tokio::test]
async fn a_silent_server_is_reported_and_reconnected() {
    if !wanted() {
        return;
    }
    let server = Server::start();
    let store = server.store();
    becomes(&store, true).await;
    server.freeze();
    fails_soon(&store).await;
    becomes(&store, false).await;
    server.thaw();
    becomes(&store, true).await;
    assert_eq!(store.claim(&any(), holder()).await.unwrap(), Next::Run);
}

#[tokio::test]
async fn a_server_may_start_after_the_gateway() {
    if !wanted() {
        return;
    }
    let mut server = Server::start();
    server.stop();
    let store = server.store();
    assert!(!*store.watch_reachable().borrow());
    fails_soon(&store).await;
    server.start_again();
    becomes(&store, true).await;
    assert_eq!(store.claim(&any(), holder()).await.unwrap(), Next::Run);
}

#[tokio::test]
async fn a_password_is_used_and_never_shown() {
    if !wanted() {
        return;
    }
    let server = Server::start_with(&["--requirepass", "marker"]);
    let with = |user: &str| {
        let url = server.url().replace("//", &format!("//{user}"));
        server::open(RedisSettings::parse(&url).unwrap())
    };
    let store = with("default:marker@");
    assert_eq!(store.claim(&any(), holder()).await.unwrap(), Next::Run);
    let store = with(":marker@");
    assert_eq!(store.claim(&any(), holder()).await.unwrap(), Next::Run);
    for user in ["", ":marker-wrong@", "marker-user:marker-wrong@"] {
        let store = with(user);
        let error = store.claim(&any(), holder()).await.unwrap_err();
        for text in [error.to_string(), format!("{error:?} {store:?}")] {
            assert!(!text.contains("marker"), "{text}");
            assert!(!text.contains("127.0.0.1"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_replica_that_cannot_be_written_to_is_not_reachable() {
    if !wanted() {
        return;
    }
    let primary = Server::start();
    let port = primary.url().rsplit(':').next().unwrap().to_owned();
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &port]);
    let store = replica.store();
    let error = store.claim(&any(), holder()).await.unwrap_err();
    assert!(
        error.to_string().ends_with("it responded with READONLY"),
        "{error}"
    );
    becomes(&store, false).await;
}
