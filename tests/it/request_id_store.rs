//! The store of request ids in this process keeps what stores promise. `tests/redis.rs` says the
//! same of the other one.

use chartbrew_gateway::delivery::request_id::{MemoryStore, RETENTION, Store, StoreSettings};
use tonic::Code;

use crate::{
    store_suite::{Stage, test_all_promises},
    support::{
        gateway::{failure, gateway, sandbox, with_id},
        raw::nobody,
        time::soon,
    },
};

struct InMemory(Store);

impl Stage for InMemory {
    async fn start(_forgetful: bool) -> Self {
        Self(Store::Memory(MemoryStore::default()))
    }

    fn store(&self) -> &Store {
        &self.0
    }

    async fn outlast_retention(&self) {
        tokio::time::advance(RETENTION).await;
    }
}

test_all_promises!(tokio::test(start_paused = true), InMemory, true);

#[tokio::test]
async fn a_store_in_this_process_is_always_reachable() {
    let store = Store::Memory(MemoryStore::default());
    assert!(*store.watch_reachable().borrow());
}

#[tokio::test]
async fn without_the_store_nothing_is_said_of_what_an_earlier_call_created() {
    let sandbox = sandbox().await;
    let store = nobody().await.replace("http:", "redis:");
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.request_id_store = StoreSettings::parse(&store).unwrap())
        .start()
        .await;
    let failed = failure(soon(gateway.create(with_id("m"))).await);
    let got = (failed.code, &*failed.reason);
    assert_eq!(got, (Code::Unavailable, "REQUEST_ID_STORE_UNAVAILABLE"));
    let message = failed.status.message();
    assert!(!message.contains("nothing was created"), "{message}");
    assert!(message.contains("may have created"), "{message}");
    assert!(
        message.contains("repeat it with the same request_id"),
        "{message}"
    );
    assert!(failed.has_retry_info());
    assert!(sandbox.requests().is_empty());
}

#[test]
fn check_shows_the_url_without_its_password() {
    let gateway = env!("CARGO_BIN_EXE_chartbrew-gateway");
    let check = |url: &str| {
        let mut command = std::process::Command::new(gateway);
        command.arg("check").env("GATEWAY_REQUEST_ID_STORE", url);
        let output = command.output().unwrap();
        let shown = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(shown).unwrap())
    };
    let (code, shown) = check("rediss://user:marker@h:1/2");
    assert_eq!(code, Some(0), "{shown}");
    let line = "GATEWAY_REQUEST_ID_STORE=rediss://user:(hidden)@h:1/2";
    assert!(shown.lines().any(|shown| shown == line), "{shown}");
    assert!(!shown.contains("marker"));

    let (code, shown) = check("redis://user:marker@h:port");
    assert_eq!(code, Some(2), "{shown}");
    assert!(shown.contains("GATEWAY_REQUEST_ID_STORE: "), "{shown}");
    assert!(!shown.contains("marker"));
}
