//! What the store in memory keeps and forgets, and whom it wakes.

use std::time::Duration;

use futures_util::FutureExt;
use uuid::Uuid;

use super::*;
use crate::{
    chartbrew::types::{CreateBody, Files, NewConnection},
    delivery::Create,
};

fn store_of(limit: usize) -> MemoryStore {
    let records = Records {
        limit,
        ..Records::default()
    };
    MemoryStore {
        records: Mutex::new(records),
    }
}

fn identity() -> Identity {
    let body = NewConnection {
        name: "m".to_owned(),
        kind: "mongodb",
        ..NewConnection::default()
    };
    let create = Create {
        team: 1,
        body: CreateBody::try_new(body).unwrap(),
        request_id: None,
        files: Files::default(),
    };
    Identity::new("http://h/", Uuid::new_v4(), &create)
}

fn created(store: &MemoryStore, id: i32) -> Identity {
    let (identity, holder) = (identity(), Uuid::new_v4());
    assert_eq!(store.claim(&identity, holder), Next::Run);
    store.sending(&identity.key, holder).unwrap();
    store.created(&identity.key, holder, id, true).unwrap();
    identity
}

#[tokio::test(start_paused = true)]
async fn a_full_store_forgets_the_oldest_and_keeps_the_newest() {
    const LIMIT: i32 = 100;
    let store = store_of(LIMIT.try_into().unwrap());
    let mut all = Vec::new();
    for id in 1..=LIMIT * 3 {
        all.push(created(&store, id));
        tokio::time::advance(Duration::from_secs(1)).await;
        let records = store.records();
        assert!(records.by_key.len() <= records.limit, "{id}");
        assert_eq!(records.by_key.len(), records.turns.len(), "{id}");
    }
    let newest = all.pop().unwrap();
    let replay = Next::Replay {
        id: LIMIT * 3,
        complete: true,
    };
    assert_eq!(store.claim(&newest, Uuid::new_v4()), replay);
    assert_eq!(store.claim(&all[0], Uuid::new_v4()), Next::Run);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_what_was_released_or_is_over() {
    let store = MemoryStore::default();
    for id in 1..=100 {
        created(&store, id);
        let (refused, holder) = (identity(), Uuid::new_v4());
        store.claim(&refused, holder);
        store.release(&refused.key, holder).unwrap();
    }
    assert_eq!(store.records().by_key.len(), 100);
    tokio::time::advance(RETENTION).await;
    created(&store, 101);
    let records = store.records();
    assert_eq!((records.by_key.len(), records.turns.len()), (1, 1));
}

#[tokio::test]
async fn a_waiter_is_woken_even_if_the_claim_is_taken_again() {
    let store = MemoryStore::default();
    let (identity, holders) = (identity(), [(); 3].map(|()| Uuid::new_v4()));
    let key = &identity.key;
    store.claim(&identity, holders[0]);
    // Each holder gives the claim up and the next has it before the waiter can look.
    for pair in holders.windows(2) {
        store.sending(key, pair[0]).unwrap();
        let mut early = Box::pin(store.changed(key));
        assert!(early.as_mut().now_or_never().is_none());
        store.abandon(key, pair[0]).unwrap();
        assert!(matches!(
            store.claim(&identity, pair[1]),
            Next::Recover { .. }
        ));
        assert!(early.now_or_never().is_some(), "the claim has changed");
    }
    let mut late = Box::pin(store.changed(key));
    assert!(late.as_mut().now_or_never().is_none());
    store.created(key, holders[2], 7, true).unwrap();
    assert!(late.now_or_never().is_some(), "it has an outcome");
}
