//! The control of the sandbox over HTTP: faults, rows and requests.

use chartbrew_sandbox::{Settings, TOKEN};
use serde_json::{Value, json};

use super::{Running, raw::Request};

const README: &str = include_str!("../../README.md");

/// The example of the README.
fn example() -> &'static str {
    let (_, after) = README.split_once("```json").unwrap();
    after.split_once("```").unwrap().0
}

fn control(method: &str, path: &str) -> Request {
    Request::new(method, path).token("")
}

fn create() -> Request {
    let body = json!({"name": "n", "type": "mongodb", "password": "p"});
    Request::post("/team/1/connections", &body)
}

#[tokio::test]
async fn the_documented_faults_are_taken_and_happen() {
    let sandbox = Running::start(Settings::default()).await;
    let faults = control("POST", "/_sandbox/faults").body("application/json", example());
    assert_eq!(sandbox.send(faults).await.unwrap().status, 204);
    for status in [503, 503, 502, 504, 200, 522] {
        assert_eq!(sandbox.send(create()).await.unwrap().status, status);
    }
    for broken in 0..4 {
        assert!(sandbox.send(create()).await.is_err(), "{broken}");
    }
    // One of them after its response.
    sandbox.handle.stored(5).await;
    assert_eq!(sandbox.handle.rows(1).len(), 5);

    let clear = control("DELETE", "/_sandbox/faults");
    assert_eq!(sandbox.send(clear).await.unwrap().status, 204);
    let (status, created) = sandbox.json(create()).await;
    assert_eq!((status, &created["id"]), (200, &json!(6)));
}

#[tokio::test]
async fn faults_that_mean_nothing_are_refused_whole() {
    let sandbox = Running::start(Settings::default()).await;
    let faults = r#"[{"on": "create", "what": "drop_before_storing"}, {"on": "crate"}]"#;
    let faults = control("POST", "/_sandbox/faults").body("application/json", faults);
    let (status, refused) = sandbox.json(faults).await;
    assert_eq!(status, 400);
    assert!(refused["error"].as_str().unwrap().contains("crate"));
    assert_eq!(sandbox.send(create()).await.unwrap().status, 200);
}

#[tokio::test]
async fn rows_and_requests_can_be_read_and_forgotten() {
    let sandbox = Running::start(Settings::default()).await;
    sandbox.send(create()).await.unwrap();
    let (_, rows) = sandbox.json(control("GET", "/_sandbox/rows/1")).await;
    assert_eq!(rows[0]["password"], "p");
    assert_eq!(
        sandbox.json(control("GET", "/_sandbox/rows/2")).await.1,
        json!([])
    );

    let (_, requests) = sandbox.json(control("GET", "/_sandbox/requests")).await;
    assert_eq!(requests.as_array().map(Vec::len), Some(1));
    let request = &requests[0];
    assert_eq!(request["method"], "POST");
    assert_eq!(request["path"], "/team/1/connections");
    assert_eq!(request["status"], 200);
    assert_eq!(
        request["headers"]["authorization"],
        format!("Bearer {TOKEN}")
    );
    let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["name"], "n");

    sandbox
        .send(control("DELETE", "/_sandbox/requests"))
        .await
        .unwrap();
    assert_eq!(
        sandbox.json(control("GET", "/_sandbox/requests")).await.1,
        json!([])
    );
    assert_eq!(sandbox.handle.rows(1).len(), 1);
    let reset = control("POST", "/_sandbox/reset");
    assert_eq!(sandbox.send(reset).await.unwrap().status, 204);
    assert_eq!(sandbox.handle.rows(1).len(), 0);
    assert_eq!(sandbox.json(create()).await.1["id"], 1);
}

#[tokio::test]
async fn what_is_no_part_of_the_sandbox_is_not_found() {
    let sandbox = Running::start(Settings::default()).await;
    for (method, path, status) in [
        ("GET", "/_sandbox/nope", 404),
        ("PUT", "/_sandbox/faults", 404),
        ("GET", "/_sandbox/rows/one", 400),
    ] {
        let response = sandbox.send(control(method, path)).await.unwrap();
        assert_eq!(response.status, status, "{method} {path}");
    }
}
