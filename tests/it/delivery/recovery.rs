//! A row whose response was lost is found, and no other is taken for it.

use std::time::Duration;

use futures_util::future::join_all;
use tonic::Code;

use super::{Fault, Gate, Outcome, Seen, WINDOW, outcome};
use crate::support::{
    gateway::{authorized, failure, gateway, minimal, sandbox, trailer, with_id},
    raw::{Cut, proxy},
};

#[tokio::test]
async fn a_lost_response_is_found_and_marked_as_recovered() {
    for fault in [
        Fault::create().drop_after_storing(),
        Fault::create().cut_answer_at(10),
        Fault::create().garbled_answer(),
        Fault::create().store_then_body(500, "text/html", "x"),
        Fault::create()
            .delay_before_storing(Duration::from_millis(300))
            .drop_after_storing(),
    ] {
        let sandbox = sandbox().await;
        sandbox.script([fault]);
        let gateway = gateway(&sandbox.url()).start().await;
        let response = gateway.create(minimal("m")).await.unwrap();
        assert_eq!(trailer(response.metadata(), "x-outcome"), Some("recovered"));
        assert_eq!(
            trailer(response.metadata(), "x-upstream-attempts"),
            Some("1")
        );
        assert_eq!(sandbox.rows(1).len(), 1);
    }
}

#[tokio::test]
async fn a_row_that_is_not_ours_is_never_taken_for_it() {
    let stranger = |name: &str, password: &str, created: &str| {
        serde_json::json!({"name": name, "type": "mongodb", "password": password,
                           "createdAt": created})
    };
    let now = jiff::Timestamp::now().to_string();
    for (row, why) in [
        (stranger("another name", "p", &now), "another name"),
        (stranger("m", "other", &now), "another password"),
        (stranger("m", "p", "2020-01-01T00:00:00Z"), "created before"),
    ] {
        let sandbox = sandbox().await;
        sandbox.insert(1, row);
        sandbox.script([Fault::create().drop_before_storing()]);
        let gateway = gateway(&sandbox.url()).with(|s| s.delivery.recovery_window = WINDOW);
        let gateway = gateway.start().await;
        let mut request = minimal("m");
        request.connection.as_mut().unwrap().password = Some("p".to_owned());
        assert_eq!(
            outcome(&gateway.create(request).await),
            Outcome::Unknown,
            "{why}"
        );
    }
}

#[tokio::test]
async fn a_row_handed_to_another_request_is_never_taken() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).with(|s| s.delivery.recovery_window = WINDOW);
    let gateway = gateway.start().await;
    let Outcome::Created(first) = outcome(&gateway.create(minimal("m")).await) else {
        panic!()
    };
    sandbox.script([Fault::create().drop_before_storing()]);
    assert_eq!(
        outcome(&gateway.create(minimal("m")).await),
        Outcome::Unknown
    );
    sandbox.script([Fault::create().drop_after_storing()]);
    let Outcome::Created(second) = outcome(&gateway.create(minimal("m")).await) else {
        panic!()
    };
    assert_ne!(first, second);
}

#[tokio::test]
async fn identical_creates_with_lost_responses_each_get_their_own_row() {
    let sandbox = sandbox().await;
    let lost = Fault::create().delay_after_storing(Duration::from_millis(100));
    sandbox.script([lost.drop_after_storing().times(4)]);
    let gateway = gateway(&sandbox.url()).start().await;
    let calls = (0..6).map(|_| gateway.create(minimal("same")));
    let mut ids: Vec<_> = join_all(calls)
        .await
        .iter()
        .map(|response| match outcome(response) {
            Outcome::Created(id) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert_eq!(sandbox.rows(1).len(), 6);
}

#[tokio::test]
async fn a_response_lost_on_a_dead_connection_is_found_before_the_deadline() {
    for request in [minimal("m"), with_id("m")] {
        let sandbox = sandbox().await;
        let proxy = proxy(sandbox.addr(), Cut::Silence).await;
        let gateway = gateway(&proxy.url).start().await;
        let mut request = authorized(request);
        request.set_timeout(Duration::from_secs(4));
        let response = gateway.client.clone().create(request).await.unwrap();
        assert_eq!(trailer(response.metadata(), "x-outcome"), Some("recovered"));
        assert_eq!(sandbox.rows(1).len(), 1);
    }
}

#[tokio::test]
async fn recoveries_of_a_team_share_its_list() {
    const LOST_AT_ONCE: usize = 40;
    let sandbox = sandbox().await;
    let gate = Gate::new();
    let fault = Fault::create()
        .hold_after_storing(&gate)
        .drop_after_storing();
    sandbox.script([fault.times(LOST_AT_ONCE.try_into().unwrap())]);
    let gateway = gateway(&sandbox.url()).start().await;
    let calls = (0..LOST_AT_ONCE).map(|n| gateway.create(minimal(&n.to_string())));
    let all_lost = async {
        sandbox.stored(LOST_AT_ONCE).await;
        gate.open();
    };
    let (responses, ()) = tokio::join!(join_all(calls.collect::<Vec<_>>()), all_lost);
    for response in &responses {
        assert!(
            matches!(outcome(response), Outcome::Created(_)),
            "{response:?}"
        );
    }
    let seen = sandbox.requests();
    let is_list = |seen: &&Seen| seen.method == "GET" && seen.path.ends_with("/connections");
    let lists = seen.iter().filter(is_list).count();
    assert!(lists <= LOST_AT_ONCE / 4, "{lists} lists");
}

#[tokio::test]
async fn a_request_that_was_lost_long_ago_is_not_asked_for_for_ever() {
    let sandbox = sandbox().await;
    sandbox.script([Fault::create().drop_before_storing()]);
    let gateway = gateway(&sandbox.url()).with(|s| s.delivery.recovery_window = WINDOW);
    let gateway = gateway.start().await;
    let request = with_id("m");
    let lost = failure(gateway.create(request.clone()).await);
    assert!(lost.has_retry_info());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61 * 60)).await;
    tokio::time::resume();
    let still = failure(gateway.create(request).await);
    assert_eq!(
        (still.code, &*still.reason),
        (Code::Unknown, "OUTCOME_UNKNOWN")
    );
    assert!(!still.has_retry_info());
    assert!(
        still.status.message().contains("new request_id"),
        "{}",
        still.status.message()
    );
    assert!(sandbox.rows(1).is_empty());
}
