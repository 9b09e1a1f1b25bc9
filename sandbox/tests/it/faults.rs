//! Each fault does what it says: stored or not, and where the connection breaks.

use std::time::Duration;

use chartbrew_sandbox::{Fault, Gate, Settings};
use serde_json::json;

use super::{
    Broken, Running,
    raw::{self, Connection, Request},
};

const PATH: &str = "/team/1/connections";

/// How a create ends for its caller.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// A response of this status; whether its body was the JSON of a connection.
    Answered(u16, bool),
    /// The connection closed without a response.
    Closed,
    /// The connection closed after so many bytes of the body.
    Cut(usize),
}

async fn create(sandbox: &Running) -> End {
    let request = Request::post(PATH, &json!({"name": "n", "type": "mongodb"}));
    match sandbox.send(request).await {
        Ok(response) => End::Answered(response.status, response.json()["id"].is_number()),
        Err(Broken::NoResponse) => End::Closed,
        Err(Broken::Cut(body)) => End::Cut(body.len()),
    }
}

#[tokio::test]
async fn a_sandbox_is_busy_until_it_has_stored_what_comes_late() {
    let sandbox = Running::start(Settings::default()).await;
    let gate = Gate::new();
    let late = Fault::create().hold_after_storing(&gate);
    let late = late.respond_then_store(522, "text/html", "");
    sandbox.handle.script([late]);
    assert_eq!(create(&sandbox).await, End::Answered(522, false));
    sandbox.handle.wait_for(|state| state.busy == 1).await;
    assert!(sandbox.handle.rows(1).is_empty());
    gate.open();
    sandbox.handle.wait_for(|state| state.busy == 0).await;
    assert_eq!(sandbox.handle.rows(1).len(), 1);
}

#[tokio::test]
async fn each_fault_ends_and_stores_as_it_says() {
    let millisecond = Duration::from_millis(1);
    let table = [
        (Fault::create(), End::Answered(200, true), 1),
        (Fault::create().status(503), End::Answered(503, false), 0),
        (
            Fault::create().body(502, "text/html", "<html>"),
            End::Answered(502, false),
            0,
        ),
        (
            Fault::create().store_then_body(504, "text/html", "<html>"),
            End::Answered(504, false),
            1,
        ),
        (
            Fault::create()
                .delay_before_storing(millisecond)
                .delay_after_storing(millisecond),
            End::Answered(200, true),
            1,
        ),
        (Fault::create().drop_before_reading(), End::Closed, 0),
        (Fault::create().drop_before_storing(), End::Closed, 0),
        (Fault::create().drop_after_storing(), End::Closed, 1),
        (Fault::create().cut_answer_at(0), End::Cut(0), 1),
        (Fault::create().cut_answer_at(20), End::Cut(20), 1),
        (
            Fault::create().garbled_answer(),
            End::Answered(200, false),
            1,
        ),
        (Fault::list().status(503), End::Answered(200, true), 1),
    ];
    let sandbox = Running::start(Settings::default()).await;
    for (fault, end, stored) in table {
        sandbox.handle.reset();
        let what = format!("{fault:?}");
        sandbox.handle.script([fault]);
        assert_eq!(create(&sandbox).await, end, "{what}");
        assert_eq!(sandbox.handle.rows(1).len(), stored, "{what}");
        assert_eq!(sandbox.handle.requests().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_scripted_answer_has_the_scripted_headers_and_body() {
    let sandbox = Running::start(Settings::default()).await;
    let fault = Fault::list().body(429, "text/plain", "slow down");
    sandbox.handle.script([fault.header("retry-after", "1")]);
    let response = sandbox.send(Request::get(PATH)).await.unwrap();
    assert_eq!(response.status, 429);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("content-type"), Some("text/plain"));
    assert_eq!(response.body, b"slow down");
}

#[tokio::test]
async fn a_dripping_answer_is_slow_and_whole() {
    let sandbox = Running::start(Settings::default()).await;
    let per_byte = Duration::from_millis(50);
    sandbox.handle.script([Fault::list().slow_drip(per_byte)]);
    let start = tokio::time::Instant::now();
    let response = sandbox.send(Request::get(PATH)).await.unwrap();
    assert_eq!(response.body, b"[]");
    assert!(start.elapsed() >= 2 * per_byte);
}

#[tokio::test]
async fn faults_are_used_up_in_order_and_only_by_what_they_meet() {
    let sandbox = Running::start(Settings::default()).await;
    sandbox.handle.script([
        Fault::create().times(2).status(503),
        Fault::create().status(502),
        Fault::get().forever().status(500),
    ]);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(create(&sandbox).await);
    }
    let answered = |status| End::Answered(status, status == 200);
    assert_eq!(statuses, [503, 503, 502, 200].map(answered));
    for _ in 0..3 {
        let get = Request::get("/team/1/connections/1");
        assert_eq!(sandbox.send(get).await.unwrap().status, 500);
    }
    sandbox.handle.clear_faults();
    let get = Request::get("/team/1/connections/1");
    assert_eq!(sandbox.send(get).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_held_create_goes_on_when_its_caller_hangs_up() {
    let sandbox = Running::start(Settings::default()).await;
    let gate = Gate::new();
    sandbox
        .handle
        .script([Fault::create().hold_before_storing(&gate)]);
    let mut connection = Connection::open(sandbox.handle.addr()).await;
    connection
        .write(&Request::post(PATH, &json!({"name": "n"})))
        .await;
    gate.reached().await;
    drop(connection);
    assert_eq!(sandbox.handle.rows(1).len(), 0);
    assert_eq!(sandbox.handle.requests()[0].status, None);
    gate.open();
    sandbox.handle.stored(1).await;
    sandbox.handle.answered(1).await;
    assert_eq!(sandbox.handle.requests()[0].status, Some(200));
}

#[tokio::test]
async fn an_answer_held_after_storing_comes_when_the_gate_opens() {
    let sandbox = Running::start(Settings::default()).await;
    let gate = Gate::new();
    sandbox
        .handle
        .script([Fault::create().hold_after_storing(&gate)]);
    let addr = sandbox.handle.addr();
    let request = Request::post(PATH, &json!({"name": "n"}));
    let caller = tokio::spawn(async move { raw::send(addr, &request).await });
    gate.reached().await;
    assert_eq!(sandbox.handle.rows(1).len(), 1);
    assert!(!caller.is_finished());
    gate.open();
    assert_eq!(caller.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_silent_request_is_read_and_neither_answered_nor_stored() {
    let sandbox = Running::start(Settings::default()).await;
    sandbox.handle.script([Fault::create().silent()]);
    let mut connection = Connection::open(sandbox.handle.addr()).await;
    connection
        .write(&Request::post(PATH, &json!({"name": "n"})))
        .await;
    sandbox.handle.seen(1).await;
    assert!(connection.is_silent_for(Duration::from_millis(100)).await);
    assert_eq!(sandbox.handle.rows(1).len(), 0);
    assert_eq!(sandbox.handle.requests()[0].json(), json!({"name": "n"}));
    assert_eq!(sandbox.handle.requests()[0].status, None);
}
