//! The store keeps what stores promise, and what only a shared one can: leases and fencing, one
//! truth for several gateways, and no secret in it.

use std::time::Duration;

use chartbrew_gateway::delivery::request_id::{Identity, Key, Next, Store, StoreSettings};
use redis::AsyncCommands;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    server::{self, Server, UPSTREAM, wanted},
    store_suite::{Stage, WAIT, any, holder, test_all_promises},
};

/// Short enough to wait for, long enough for a slow machine to do something within it.
const LEASE: Duration = Duration::from_millis(300);
const SHORT_RETENTION: Duration = Duration::from_millis(500);

struct InRedis {
    _server: Server,
    store: Store,
}

impl Stage for InRedis {
    async fn start(forgetful: bool) -> Self {
        let server = Server::start();
        let settings = match forgetful {
            true => server.settings().with_retention(SHORT_RETENTION),
            false => server.settings(),
        };
        Self {
            _server: server,
            store: server::open(settings),
        }
    }

    fn store(&self) -> &Store {
        &self.store
    }

    async fn outlast_retention(&self) {
        sleep(SHORT_RETENTION + Duration::from_millis(50)).await;
    }
}

test_all_promises!(tokio::test, InRedis, wanted());

#[tokio::test]
async fn a_connection_belongs_to_one_create() {
    if !wanted() {
        return;
    }
    let server = Server::start();
    let store = server.store();
    let (a, b) = (any(), any());
    let nobody = Key::unique();
    assert!(store.assign(1, 1, &a.key).await.unwrap());
    assert!(store.assign(1, 2, &nobody).await.unwrap());
    // (who asks, whether row 1, row 2 and a row of nobody's are theirs)
    let cases = [
        (&a.key, [true, false, true]),
        (&b.key, [false, false, true]),
        (&nobody, [false, true, true]),
        (&Key::unique(), [false, false, true]),
    ];
    for (owner, free) in cases {
        for (id, free) in (1..).zip(free) {
            assert_eq!(store.is_free(1, id, owner).await.unwrap(), free, "{id}");
            if id < 3 {
                assert_eq!(store.assign(1, id, owner).await.unwrap(), free, "{id}");
            }
        }
    }
    assert!(store.is_free(2, 1, &b.key).await.unwrap());
}

/// Waits for the claim that somebody holds to lapse.
async fn lapse(store: &Store, name: &Identity) {
    let lapsed = timeout(LEASE * 10, store.changed(&name.key)).await;
    lapsed.expect("a lease lapses");
}

#[tokio::test]
async fn a_lapsed_claim_is_free_and_its_holder_must_not_send() {
    if !wanted() {
        return;
    }
    let server = Server::start();
    let store = server::open(server.settings().with_lease(LEASE));
    let (a, first, second) = (any(), holder(), holder());
    assert_eq!(store.claim(&a, first).await.unwrap(), Next::Run);
    assert_eq!(store.claim(&a, second).await.unwrap(), WAIT);
    let start = Instant::now();
    lapse(&store, &a).await;
    assert!(start.elapsed() > LEASE / 2);
    // Lapsed and not taken: still the first's.
    store.sending(&a.key, first).await.unwrap();
    store.release(&a.key, first).await.unwrap();

    assert_eq!(store.claim(&a, first).await.unwrap(), Next::Run);
    lapse(&store, &a).await;
    assert_eq!(store.claim(&a, second).await.unwrap(), Next::Run);
    assert!(store.sending(&a.key, first).await.is_err());
    assert!(store.created(&a.key, first, 7, true).await.is_err());
    store.sending(&a.key, second).await.unwrap();
    assert!(store.release(&a.key, first).await.is_err());
    assert!(store.abandon(&a.key, first).await.is_err());
    store.created(&a.key, second, 8, true).await.unwrap();
}

#[tokio::test]
async fn a_request_sent_under_a_lapsed_lease_is_recovered_or_reported_by_its_sender() {
    if !wanted() {
        return;
    }
    let server = Server::start();
    let store = server::open(server.settings().with_lease(LEASE));
    let (a, first, second) = (any(), holder(), holder());
    store.claim(&a, first).await.unwrap();
    store.sending(&a.key, first).await.unwrap();
    lapse(&store, &a).await;
    let next = store.claim(&a, second).await.unwrap();
    assert!(
        matches!(next, Next::Recover { sent } if sent >= LEASE),
        "{next:?}"
    );
    assert!(store.sending(&a.key, first).await.is_err());
    // The response came after all.
    store.created(&a.key, first, 7, true).await.unwrap();
    let replay = Next::Replay {
        id: 7,
        complete: true,
    };
    assert_eq!(store.claim(&a, holder()).await.unwrap(), replay);
    assert!(store.created(&a.key, second, 8, true).await.is_err());
}

#[tokio::test]
async fn a_lease_keeps_a_claim_for_as_long_as_it_is_held() {
    if !wanted() {
        return;
    }
    let server = Server::start();
    let store = server::open(server.settings().with_lease(LEASE));
    let (a, first) = (any(), holder());
    store.claim(&a, first).await.unwrap();
    let lease = store.lease(&a.key, first);
    sleep(LEASE * 3).await;
    assert_eq!(store.claim(&a, holder()).await.unwrap(), WAIT);
    drop(lease);
    sleep(LEASE * 2).await;
    assert_eq!(store.claim(&a, holder()).await.unwrap(), Next::Run);
}

#[tokio::test]
async fn two_gateways_share_one_record() {
    if !wanted() {
        return;
    }
    let server = Server::start();
    let (here, there) = (server.store(), server.store());
    let (a, first) = (any(), holder());
    assert_eq!(here.claim(&a, first).await.unwrap(), Next::Run);
    assert_eq!(there.claim(&a, holder()).await.unwrap(), WAIT);
    let finish = async {
        sleep(Duration::from_millis(50)).await;
        here.created(&a.key, first, 7, true).await.unwrap();
    };
    tokio::join!(finish, there.changed(&a.key));
    let replay = Next::Replay {
        id: 7,
        complete: true,
    };
    assert_eq!(there.claim(&a, holder()).await.unwrap(), replay);

    assert!(here.assign(1, 7, &a.key).await.unwrap());
    assert!(!there.is_free(1, 7, &Key::unique()).await.unwrap());
    assert!(there.assign(1, 7, &a.key).await.unwrap());
    // Ids of another Chartbrew are other connections.
    let settings = StoreSettings::Redis(server.settings());
    let other = Store::open(&settings, "http://other").unwrap();
    assert!(other.is_free(1, 7, &Key::unique()).await.unwrap());
}

#[tokio::test]
async fn keys_and_values_hold_no_secret_and_expire() {
    if !wanted() {
        return;
    }
    let server = Server::start();
    let store = server.store();
    let (a, b, c) = (any(), any(), any());
    for name in [&a, &b, &c] {
        store.claim(name, holder()).await.unwrap();
    }
    let first = holder();
    let d = any();
    store.claim(&d, first).await.unwrap();
    store.sending(&d.key, first).await.unwrap();
    store.created(&d.key, first, 7, false).await.unwrap();
    store.assign(1, 7, &d.key).await.unwrap();
    store.assign(1, 8, &Key::unique()).await.unwrap();

    let mut connection = server.connection().await;
    let dump = dump(&mut connection).await;
    assert_eq!(dump.len(), 6, "{dump:?}");
    for (key, content) in dump {
        for text in [&key, &content] {
            assert!(!text.contains("marker"), "{text}");
            assert!(!text.contains(UPSTREAM), "{text}");
        }
        let ttl: i64 = connection.ttl(&key).await.unwrap();
        assert!((86_000..=86_400).contains(&ttl), "{key}: {ttl}");
    }
}

/// All keys and what they hold, but that of the ping.
pub(crate) async fn dump(
    connection: &mut redis::aio::MultiplexedConnection,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let keys: Vec<String> = connection.keys("*").await.unwrap();
    for key in keys.into_iter().filter(|key| !key.ends_with(":ping")) {
        assert!(key.starts_with("chartbrew-gateway:{"), "{key}");
        let content = if key.ends_with(":owner") {
            connection.get(&key).await.unwrap()
        } else {
            let fields: Vec<String> = connection.hgetall(&key).await.unwrap();
            fields.join(" ")
        };
        found.push((key, content));
    }
    found
}
