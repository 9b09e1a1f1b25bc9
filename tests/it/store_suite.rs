//! What every store of request ids promises, whatever it is made of: a test a promise, over the
//! stage that a store's own tests give.

use std::{future::Future, time::Duration};

use chartbrew_gateway::{
    chartbrew::types::{Create, CreateBody, Files, NewConnection, OptionalFields},
    delivery::request_id::{Identity, Next, Store},
};
use tokio::time::sleep;
use uuid::Uuid;

/// A store to be tested.
pub(crate) trait Stage: Sized {
    /// A fresh one. It need not keep anything for long if it is to forget.
    fn start(forgetful: bool) -> impl Future<Output = Self>;
    /// The store.
    fn store(&self) -> &Store;
    /// Lets all the time pass for which anything is kept.
    fn outlast_retention(&self) -> impl Future<Output = ()>;
}

/// Makes a test of every promise. Takes the attribute of a test, the stage, and a condition
/// without which the tests are left out.
macro_rules! test_all_promises {
    ($test:meta, $stage:ty, $if:expr) => {
        $crate::store_suite::test_all_promises!($test, $stage, $if =>
            one_runs_and_the_others_wait_and_replay,
            of_many_at_once_one_runs,
            what_was_released_runs_again,
            what_was_sent_and_abandoned_is_recovered,
            what_was_abandoned_before_it_was_sent_runs_again,
            a_different_request_does_not_match,
            files_may_be_completed_by_another_call,
            only_the_holder_changes_a_claim,
            an_outcome_is_not_undone,
            nothing_is_kept_for_ever,
            names_do_not_meet,
            one_at_a_time_completes_the_files,
        );
    };
    ($test:meta, $stage:ty, $if:expr => $($promise:ident),+ $(,)?) => {
        $(
            #[$test]
            async fn $promise() {
                if $if {
                    $crate::store_suite::$promise::<$stage>().await;
                }
            }
        )+
    };
}
pub(crate) use test_all_promises;

/// The names of a request for the connection so called, under this id.
pub(crate) fn identity(request_id: Uuid, name: &str) -> Identity {
    Identity::new("http://h/", request_id, &create(1, name))
}

fn create(team: i32, name: &str) -> Create {
    let body = NewConnection {
        team_id: team,
        name: name.to_owned(),
        kind: "postgres",
        fields: OptionalFields {
            password: Some("marker-password".to_owned()),
            ..OptionalFields::default()
        },
        ..NewConnection::default()
    };
    Create {
        team,
        body: CreateBody::try_new(body).unwrap(),
        request_id: None,
        files: Files::default(),
    }
}

pub(crate) fn any() -> Identity {
    identity(Uuid::new_v4(), "a")
}

pub(crate) fn holder() -> Uuid {
    Uuid::new_v4()
}

/// A request that was sent, and who holds its claim.
async fn sent(store: &Store) -> (Identity, Uuid) {
    let (a, first) = (any(), holder());
    store.claim(&a, first).await.unwrap();
    store.sending(&a.key, first).await.unwrap();
    (a, first)
}

/// Another call is at it, and nothing is known of a connection yet.
pub(crate) const WAIT: Next = Next::Wait { created: None };

fn replay(id: i32) -> Next {
    let complete = true;
    Next::Replay { id, complete }
}

pub(crate) async fn one_runs_and_the_others_wait_and_replay<S: Stage>() {
    let stage = S::start(false).await;
    let (store, a) = (stage.store(), any());
    let first = holder();
    assert_eq!(store.claim(&a, first).await.unwrap(), Next::Run);
    assert_eq!(store.claim(&a, holder()).await.unwrap(), WAIT);
    store.sending(&a.key, first).await.unwrap();
    assert_eq!(store.claim(&a, holder()).await.unwrap(), WAIT);
    let finish = async {
        sleep(Duration::from_millis(50)).await;
        store.created(&a.key, first, 7, true).await.unwrap();
    };
    let wait = async {
        while store.claim(&a, holder()).await.unwrap() == WAIT {
            store.changed(&a.key).await;
        }
    };
    tokio::join!(finish, wait);
    assert_eq!(store.claim(&a, holder()).await.unwrap(), replay(7));
    // Nobody holds it: there is nothing to wait for.
    store.changed(&a.key).await;
    store.changed(&any().key).await;
}

pub(crate) async fn of_many_at_once_one_runs<S: Stage>() {
    let stage = S::start(false).await;
    let (store, a) = (stage.store(), any());
    let claims = (0..20).map(|_| store.claim(&a, holder()));
    let nexts = futures_util::future::join_all(claims).await;
    let runs = nexts
        .into_iter()
        .filter(|next| matches!(next, Ok(Next::Run)));
    assert_eq!(runs.count(), 1);
}

pub(crate) async fn what_was_released_runs_again<S: Stage>() {
    let stage = S::start(false).await;
    let (store, a) = (stage.store(), any());
    for sent in [false, true] {
        let first = holder();
        assert_eq!(store.claim(&a, first).await.unwrap(), Next::Run);
        if sent {
            store.sending(&a.key, first).await.unwrap();
        }
        let release = async {
            sleep(Duration::from_millis(50)).await;
            store.release(&a.key, first).await.unwrap();
        };
        tokio::join!(release, store.changed(&a.key));
    }
    assert_eq!(store.claim(&a, holder()).await.unwrap(), Next::Run);
}

pub(crate) async fn what_was_sent_and_abandoned_is_recovered<S: Stage>() {
    let stage = S::start(false).await;
    let store = stage.store();
    let (a, first) = sent(store).await;
    let age = Duration::from_millis(100);
    sleep(age).await;
    for _ in 0..2 {
        let finder = holder();
        store.abandon(&a.key, first).await.ok();
        let next = store.claim(&a, finder).await.unwrap();
        let Next::Recover { sent } = next else {
            panic!("{next:?}");
        };
        assert!(sent >= age && sent < age * 20, "{sent:?}");
        assert_eq!(store.claim(&a, holder()).await.unwrap(), WAIT);
        store.abandon(&a.key, finder).await.unwrap();
    }
    let finder = holder();
    store.claim(&a, finder).await.unwrap();
    store.created(&a.key, finder, 7, true).await.unwrap();
    assert_eq!(store.claim(&a, holder()).await.unwrap(), replay(7));
}

pub(crate) async fn what_was_abandoned_before_it_was_sent_runs_again<S: Stage>() {
    let stage = S::start(false).await;
    let (store, a) = (stage.store(), any());
    let first = holder();
    store.claim(&a, first).await.unwrap();
    store.abandon(&a.key, first).await.unwrap();
    assert_eq!(store.claim(&a, holder()).await.unwrap(), Next::Run);
}

pub(crate) async fn a_different_request_does_not_match<S: Stage>() {
    let stage = S::start(false).await;
    let store = stage.store();
    let id = Uuid::new_v4();
    let (a, b) = (identity(id, "a"), identity(id, "b"));
    let first = holder();
    store.claim(&a, first).await.unwrap();
    assert_eq!(store.claim(&b, holder()).await.unwrap(), Next::Mismatch);
    store.created(&a.key, first, 7, true).await.unwrap();
    assert_eq!(store.claim(&b, holder()).await.unwrap(), Next::Mismatch);
    assert_eq!(store.claim(&a, holder()).await.unwrap(), replay(7));
}

pub(crate) async fn files_may_be_completed_by_another_call<S: Stage>() {
    let stage = S::start(false).await;
    let store = stage.store();
    let (a, first) = sent(store).await;
    store.created(&a.key, first, 7, false).await.unwrap();
    assert!(store.created(&a.key, holder(), 8, true).await.is_err());
    store.created(&a.key, holder(), 7, true).await.unwrap();
    // Who comes last has not uploaded less.
    store.created(&a.key, first, 7, false).await.unwrap();
    assert_eq!(store.claim(&a, holder()).await.unwrap(), replay(7));
}

pub(crate) async fn one_at_a_time_completes_the_files<S: Stage>() {
    let stage = S::start(false).await;
    let store = stage.store();
    let (a, first) = sent(store).await;
    store.created(&a.key, first, 7, false).await.unwrap();
    // The call that created it still uploads the files.
    let wait = Next::Wait { created: Some(7) };
    assert_eq!(store.claim(&a, holder()).await.unwrap(), wait);
    store.abandon(&a.key, first).await.unwrap();
    let half = Next::Replay {
        id: 7,
        complete: false,
    };
    let second = holder();
    assert_eq!(store.claim(&a, second).await.unwrap(), half);
    assert_eq!(store.claim(&a, holder()).await.unwrap(), wait);
    // Nothing takes the connection back.
    assert!(store.sending(&a.key, second).await.is_err());
    assert!(store.release(&a.key, second).await.is_err());
    let finish = async {
        sleep(Duration::from_millis(50)).await;
        store.created(&a.key, second, 7, true).await.unwrap();
    };
    tokio::join!(finish, store.changed(&a.key));
    assert_eq!(store.claim(&a, holder()).await.unwrap(), replay(7));
}

pub(crate) async fn only_the_holder_changes_a_claim<S: Stage>() {
    let stage = S::start(false).await;
    let (store, a) = (stage.store(), any());
    let (first, other) = (holder(), holder());
    for is_there in [false, true] {
        if is_there {
            store.claim(&a, first).await.unwrap();
        }
        assert!(store.sending(&a.key, other).await.is_err());
        assert!(store.created(&a.key, other, 7, true).await.is_err());
        assert!(store.release(&a.key, other).await.is_err());
        assert!(store.abandon(&a.key, other).await.is_err());
    }
    store.sending(&a.key, first).await.unwrap();
    store.abandon(&a.key, first).await.unwrap();
    assert!(store.sending(&a.key, first).await.is_err());
    assert!(store.release(&a.key, first).await.is_err());
}

pub(crate) async fn an_outcome_is_not_undone<S: Stage>() {
    let stage = S::start(false).await;
    let store = stage.store();
    let (a, first) = sent(store).await;
    store.created(&a.key, first, 7, true).await.unwrap();
    assert!(store.sending(&a.key, first).await.is_err());
    assert!(store.release(&a.key, first).await.is_err());
    assert!(store.created(&a.key, first, 8, true).await.is_err());
    store.abandon(&a.key, first).await.unwrap();
    assert_eq!(store.claim(&a, holder()).await.unwrap(), replay(7));
}

pub(crate) async fn nothing_is_kept_for_ever<S: Stage>() {
    let stage = S::start(true).await;
    let (store, a) = (stage.store(), any());
    let first = holder();
    store.claim(&a, first).await.unwrap();
    store.created(&a.key, first, 7, true).await.unwrap();
    assert_eq!(store.claim(&a, holder()).await.unwrap(), replay(7));
    stage.outlast_retention().await;
    assert!(store.sending(&a.key, first).await.is_err());
    assert_eq!(store.claim(&a, holder()).await.unwrap(), Next::Run);
}

pub(crate) async fn names_do_not_meet<S: Stage>() {
    let stage = S::start(false).await;
    let store = stage.store();
    let id = Uuid::new_v4();
    let names = [
        Identity::new("http://h/", id, &create(1, "a")),
        Identity::new("http://h/", id, &create(2, "a")),
        Identity::new("http://other/", id, &create(1, "a")),
        any(),
    ];
    for name in &names {
        assert_eq!(store.claim(name, holder()).await.unwrap(), Next::Run);
    }
}
