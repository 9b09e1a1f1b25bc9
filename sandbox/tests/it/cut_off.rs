//! A request that names a connection ends the sandbox if its client closes too early; others do not.

use std::time::Duration;

use chartbrew_sandbox::{Fault, Gate, Kind, Settings};
use serde_json::json;

use super::{
    Broken, Running,
    raw::{Connection, Request},
    replay::multipart,
};

const PATH: &str = "/team/1/connections";

fn requests(id: i32) -> Vec<(Kind, Request)> {
    let path = format!("{PATH}/{id}");
    let below = |last: &str| format!("{path}/{last}");
    let files = multipart(&["sslCa"]);
    vec![
        (Kind::Get, Request::get(&path)),
        (
            Kind::Update,
            Request::new("PUT", &path).body("application/json", "{}"),
        ),
        (Kind::Delete, Request::new("DELETE", &path)),
        (Kind::Test, Request::get(&below("test"))),
        (
            Kind::Files,
            Request::new("POST", &below("files")).body("multipart/form-data; boundary=XX", files),
        ),
        (
            Kind::Duplicate,
            Request::post(&below("duplicate"), &json!({})),
        ),
        (
            Kind::UpdateSchema,
            Request::post(&below("update-schema"), &json!({})),
        ),
    ]
}

#[tokio::test]
async fn a_request_that_names_a_connection_ends_the_sandbox_if_it_is_cut_off() {
    let sandbox = Running::start(Settings::default()).await;
    let handle = &sandbox.handle;
    let id = handle.insert(1, json!({"name": "n"}));
    for (number, (kind, request)) in requests(id).into_iter().enumerate() {
        let (gate, other) = (Gate::new(), Gate::new());
        handle.script([
            Fault::on(kind).hold_before_storing(&gate),
            Fault::create().hold_before_storing(&other),
        ]);
        let mut creates = Connection::open(handle.addr()).await;
        creates.write(&Request::post(PATH, &json!({}))).await;
        other.reached().await;
        let mut cut_off = Connection::open(handle.addr()).await;
        cut_off.write(&request).await;
        gate.reached().await;
        assert_eq!(handle.cut_off(), number, "{kind:?}");
        drop(cut_off);
        assert!(creates.ends().await, "{kind:?}");
        handle.wait_for(|state| state.cut_off == number + 1).await;
        drop(creates);
        handle.wait_for(|state| state.busy == 0).await;
        other.open();
        assert_eq!(handle.rows(1).len(), 1, "{kind:?}");
        let again = sandbox.send(Request::get(PATH)).await.unwrap();
        assert_eq!(again.status, 200, "{kind:?}");
    }
}

#[tokio::test]
async fn an_upload_whose_body_is_cut_off_ends_it_too() {
    let sandbox = Running::start(Settings::default()).await;
    let id = sandbox.handle.insert(1, json!({"name": "n"}));
    let mut connection = Connection::open(sandbox.handle.addr()).await;
    let length = Request::new("POST", &format!("{PATH}/{id}/files")).header("content-length", "9");
    connection.write(&length).await;
    drop(connection);
    sandbox.handle.wait_for(|state| state.cut_off == 1).await;
}

#[tokio::test]
async fn a_response_that_is_not_read_to_its_end_counts() {
    let sandbox = Running::start(Settings::default()).await;
    let id = sandbox.handle.insert(1, json!({"name": "n"}));
    let slow = Duration::from_millis(50);
    sandbox.handle.script([Fault::get().slow_drip(slow)]);
    let mut connection = Connection::open(sandbox.handle.addr()).await;
    connection
        .write(&Request::get(&format!("{PATH}/{id}")))
        .await;
    sandbox.handle.answered(1).await;
    tokio::time::sleep(2 * slow).await;
    assert_eq!(sandbox.handle.cut_off(), 0);
    drop(connection);
    sandbox.handle.wait_for(|state| state.cut_off == 1).await;
}

#[tokio::test]
async fn requests_that_name_no_connection_may_be_given_up() {
    let sandbox = Running::start(Settings::default()).await;
    for (kind, request) in [
        (Kind::Create, Request::post(PATH, &json!({}))),
        (Kind::List, Request::get(PATH)),
        (
            Kind::TestNew,
            Request::post(&format!("{PATH}/mysql/test"), &json!({})),
        ),
    ] {
        let gate = Gate::new();
        sandbox
            .handle
            .script([Fault::on(kind).hold_before_storing(&gate)]);
        let mut connection = Connection::open(sandbox.handle.addr()).await;
        connection.write(&request).await;
        gate.reached().await;
        drop(connection);
        // The request's work is all that is left.
        sandbox.handle.wait_for(|state| state.busy == 1).await;
        gate.open();
        sandbox.handle.wait_for(|state| state.busy == 0).await;
    }
    assert_eq!(sandbox.handle.cut_off(), 0);
}

#[tokio::test]
async fn what_the_sandbox_itself_breaks_off_is_not_cut_off() {
    let sandbox = Running::start(Settings::default()).await;
    let id = sandbox.handle.insert(1, json!({"name": "n"}));
    let path = format!("{PATH}/{id}");
    for fault in [
        Fault::get().drop_before_reading(),
        Fault::get().drop_before_storing(),
        Fault::get().drop_after_storing(),
        Fault::get().cut_answer_at(5),
    ] {
        sandbox.handle.script([fault]);
        assert!(sandbox.send(Request::get(&path)).await.is_err());
    }
    let head = Request::new("HEAD", &path).header("connection", "close");
    // The length of a body that does not come.
    assert!(matches!(sandbox.send(head).await, Err(Broken::Cut(body)) if body.is_empty()));
    sandbox.handle.wait_for(|state| state.busy == 0).await;
    assert_eq!(sandbox.handle.cut_off(), 0);
}
