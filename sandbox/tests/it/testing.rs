//! Tests of connections: what the recording does not show, and how a test scripts them.

use std::{collections::BTreeMap, time::Duration};

use chartbrew_sandbox::{Database, Fault, Gate, Settings};
use serde_json::{Value, json};

use super::{Running, raw::Request};

const PATH: &str = "/team/1/connections";

fn test_new(body: &Value) -> Request {
    let kind = body["type"].as_str().unwrap();
    Request::post(&format!("{PATH}/{kind}/test"), body)
}

/// A connection and one file, as they are sent to be tested.
fn with_file(connection: &str) -> Request {
    let body = format!(
        "--XX\r\nContent-Disposition: form-data; name=\"connection\"\r\n\r\n{connection}\r\n\
         --XX\r\nContent-Disposition: form-data; name=\"sslCa\"; filename=\"ca.pem\"\r\n\
         Content-Type: application/octet-stream\r\n\r\nPEM\r\n--XX--\r\n"
    );
    Request::new("POST", &format!("{PATH}/mysql/test/files"))
        .body("multipart/form-data; boundary=XX", body)
}

fn with_databases() -> Settings {
    let schema = json!({"tables": ["users"]});
    let secured = Database {
        schema: schema.clone(),
        password: Some("right".into()),
    };
    Settings {
        databases: BTreeMap::from([
            ("db".into(), schema.into()),
            ("secured:3307".into(), secured),
        ]),
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_new_connection_is_tested_by_its_type_its_host_and_its_password() {
    let sandbox = Running::start(with_databases()).await;
    let schema = json!({"tables": ["users"]});
    let found = json!({"success": true, "schema": schema});
    for (body, tested) in [
        (json!({"type": "mysql", "host": "db"}), Ok(found.clone())),
        (
            json!({"type": "postgres", "host": "db", "port": "1"}),
            Ok(found.clone()),
        ),
        (
            json!({"type": "clickhouse", "host": "db"}),
            Ok(found.clone()),
        ),
        (
            json!({"type": "mongodb", "host": "db"}),
            Ok(json!({"success": true})),
        ),
        (
            json!({"type": "mysql", "host": "secured", "port": "3307", "password": "right"}),
            Ok(found.clone()),
        ),
        (
            json!({"type": "mysql", "host": "secured", "port": "3307", "username": "u"}),
            Err("Access denied for user 'u'@'localhost' (using password: NO)"),
        ),
        (
            json!({"type": "postgres", "host": "secured", "port": "3307", "username": "u"}),
            Err("password authentication failed for user \"u\""),
        ),
        (
            json!({"type": "mysql", "host": "secured", "port": "3306"}),
            Err("getaddrinfo ENOTFOUND secured"),
        ),
        (
            json!({"type": "postgres"}),
            Err("connect ECONNREFUSED 127.0.0.1:5432"),
        ),
        (
            json!({"type": "api", "host": "https://nowhere.example/v1"}),
            Err("getaddrinfo ENOTFOUND nowhere.example"),
        ),
    ] {
        let response = sandbox.send(test_new(&body)).await.unwrap();
        match tested {
            Ok(json) => assert_eq!((response.status, response.json()), (200, json), "{body}"),
            Err(text) => {
                assert_eq!(response.status, 400, "{body}");
                assert_eq!(String::from_utf8_lossy(&response.body), text, "{body}");
            }
        }
    }
    assert_eq!(sandbox.handle.rows(1).len(), 0);
}

#[tokio::test]
async fn a_create_with_a_wrong_password_stores_no_schema() {
    let sandbox = Running::start(with_databases()).await;
    let body = json!({"type": "mysql", "host": "secured", "port": "3307", "password": "wrong"});
    let (status, created) = sandbox.json(Request::post(PATH, &body)).await;
    assert_eq!((status, created.get("schema")), (200, None));
    let test = Request::get(&format!("{PATH}/{}/test", created["id"]));
    let (status, error) = sandbox.json(test).await;
    assert_eq!(status, 400);
    assert_eq!(error["name"], "SequelizeAccessDeniedError");
}

#[tokio::test]
async fn a_new_connection_can_be_tested_with_its_files() {
    let sandbox = Running::start(with_databases()).await;
    let (status, tested) = sandbox
        .json(with_file(r#"{"type": "mysql", "host": "db"}"#))
        .await;
    assert_eq!((status, &tested["success"]), (200, &json!(true)));
    let unreadable = sandbox.send(with_file("{")).await.unwrap();
    assert_eq!(unreadable.status, 400);
    assert_eq!(unreadable.body, b"Invalid connection parameters");
    assert_eq!(sandbox.handle.rows(1).len(), 0);
}

#[tokio::test]
async fn a_source_that_is_switched_off_is_not_tested() {
    let settings = Settings {
        disabled_sources: vec!["mysql".into()],
        ..with_databases()
    };
    let sandbox = Running::start(settings).await;
    let (status, refused) = sandbox
        .json(test_new(&json!({"type": "mysql", "host": "db"})))
        .await;
    assert_eq!((status, &refused["code"]), (400, &json!("SOURCE_DISABLED")));
}

#[tokio::test]
async fn a_test_can_be_scripted_to_succeed_to_fail_and_to_take_long() {
    let settings = Settings {
        test_delay: Duration::from_millis(50),
        ..Settings::default()
    };
    let sandbox = Running::start(settings).await;
    let gate = Gate::new();
    gate.open();
    let found = json!({"success": true, "schema": {"tables": []}});
    sandbox.handle.script([
        Fault::test().body(500, "text/plain", "not for a new one"),
        Fault::test_new().hold_before_storing(&gate).body(
            200,
            "application/json; charset=utf-8",
            found.to_string(),
        ),
        Fault::test_new().body(400, "text/html; charset=utf-8", "connect ETIMEDOUT"),
    ]);
    let request = || test_new(&json!({"type": "mysql", "host": "h"}));
    assert_eq!(sandbox.json(request()).await, (200, found));
    gate.reached().await;
    let failed = sandbox.send(request()).await.unwrap();
    assert_eq!(
        (failed.status, &failed.body[..]),
        (400, &b"connect ETIMEDOUT"[..])
    );
    let start = tokio::time::Instant::now();
    assert_eq!(sandbox.send(request()).await.unwrap().status, 400);
    assert!(start.elapsed() >= Duration::from_millis(50));
}
