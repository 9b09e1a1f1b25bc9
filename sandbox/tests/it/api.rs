//! What the recording does not show: other users, other settings, updates.

use std::collections::BTreeMap;

use chartbrew_sandbox::{Settings, TOKEN, TOKEN_OF_A_DELETED_USER, User};
use serde_json::{Value, json};

use super::{Running, raw::Request, replay::multipart};

const PATH: &str = "/team/1/connections";

#[tokio::test]
async fn a_deleted_user_is_answered_400_in_text() {
    let sandbox = Running::start(Settings::default()).await;
    let token = format!("Bearer {TOKEN_OF_A_DELETED_USER}");
    let response = sandbox
        .send(Request::get(PATH).token(&token))
        .await
        .unwrap();
    assert_eq!(response.status, 400);
    let text = "Could not process the request. Please try again.";
    assert_eq!(response.body, text.as_bytes());
}

#[tokio::test]
async fn a_project_scoped_user_sees_ids_stored_as_numbers_and_little_of_them() {
    let settings = Settings {
        users: vec![
            User::owner(TOKEN, [1]),
            User::project_scoped("scoped", [1], [2]),
        ],
        ..Settings::default()
    };
    let sandbox = Running::start(settings).await;
    let insert = |ids: Value| {
        let row = json!({"name": "n", "host": "h", "password": "p", "project_ids": ids});
        sandbox.handle.insert(1, row)
    };
    let seen = insert(json!([1, 2]));
    let as_text = insert(json!(["2"]));
    insert(json!(null));
    let scoped = |request: Request| request.token("Bearer scoped");

    let (_, list) = sandbox.json(scoped(Request::get(PATH))).await;
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!(list[0]["id"], seen);
    assert_eq!(list[0]["name"], "n");
    for column in ["host", "team_id", "project_ids", "hasSshPassword"] {
        assert_eq!(list[0].get(column), Some(&Value::Null), "{column}");
    }
    let get = |id| scoped(Request::get(&format!("{PATH}/{id}")));
    let (status, got) = sandbox.json(get(seen)).await;
    assert_eq!((status, &got["password"]), (200, &Value::Null));
    let (status, refused) = sandbox.json(get(as_text)).await;
    assert_eq!((status, refused), (403, json!({"error": "Not authorized"})));

    let (status, denied) = sandbox.json(scoped(Request::post(PATH, &json!({})))).await;
    assert_eq!((status, denied), (403, json!({"message": "Access denied"})));
}

#[tokio::test]
async fn a_team_sees_only_its_own_rows() {
    let settings = Settings {
        users: vec![User::owner(TOKEN, [1, 2])],
        ..Settings::default()
    };
    let sandbox = Running::start(settings).await;
    let id = sandbox.handle.insert(1, json!({"name": "n"}));
    let (_, list) = sandbox.json(Request::get("/team/2/connections")).await;
    assert_eq!(list, json!([]));
    let other = Request::new("DELETE", &format!("/team/2/connections/{id}"));
    assert_eq!(sandbox.send(other).await.unwrap().status, 404);
    assert_eq!(sandbox.handle.rows(1).len(), 1);
}

#[tokio::test]
async fn a_source_that_is_switched_off_is_neither_created_nor_tested() {
    let settings = Settings {
        disabled_sources: vec!["mongodb".into(), "api".into(), "timescaledb".into()],
        ..Settings::default()
    };
    let sandbox = Running::start(settings).await;
    let off = |id: &str, name: &str| {
        json!({
            "code": "SOURCE_DISABLED",
            "sourceId": id,
            "message": format!("{name} is disabled on this server."),
        })
    };
    for (body, refused) in [
        (json!({"type": "mongodb"}), Some(off("mongodb", "MongoDB"))),
        (
            json!({"type": "postgres", "subType": "timescaledb"}),
            Some(off("timescaledb", "Timescale")),
        ),
        (json!({"type": "postgres"}), None),
        (json!({"type": "api"}), None),
    ] {
        let (status, response) = sandbox.json(Request::post(PATH, &body)).await;
        assert_eq!(status, if refused.is_some() { 400 } else { 200 }, "{body}");
        assert!(refused.is_none_or(|refused| refused == response), "{body}");
    }
    let id = sandbox.handle.insert(1, json!({"type": "api"}));
    let (status, response) = sandbox
        .json(Request::get(&format!("{PATH}/{id}/test")))
        .await;
    assert_eq!((status, response), (400, off("api", "API")));
}

#[tokio::test]
async fn a_database_that_can_be_reached_gives_its_schema() {
    let schema = json!({"tables": ["users"]});
    let settings = Settings {
        databases: BTreeMap::from([("db".into(), schema.clone().into())]),
        ..Settings::default()
    };
    let sandbox = Running::start(settings).await;
    for (kind, created, tested) in [
        (
            "mysql",
            Some(&schema),
            json!({"success": true, "schema": schema}),
        ),
        ("clickhouse", Some(&schema), schema.clone()),
        ("mongodb", None, json!({"success": true})),
    ] {
        let body = json!({"type": kind, "host": "db"});
        let (_, response) = sandbox.json(Request::post(PATH, &body)).await;
        assert_eq!(response.get("schema"), created, "{kind}");
        let test = Request::get(&format!("{PATH}/{}/test", response["id"]));
        assert_eq!(sandbox.json(test).await, (200, tested), "{kind}");
    }
}

#[tokio::test]
async fn an_update_changes_what_was_sent_and_nothing_else() {
    let sandbox = Running::start(Settings::default()).await;
    let row = json!({"name": "n", "host": "h", "password": "p", "sshPassword": "s"});
    let id = sandbox.handle.insert(1, row);
    let path = format!("{PATH}/{id}");
    let put = |body: &Value| Request::new("PUT", &path).body("application/json", body.to_string());
    let sent = json!({
        "name": "m", "host": "", "sshPassword": "", "sslCa": "/etc/passwd", "team_id": 9, "id": id,
        "allowPrivateHost": true, "nonsense": 1,
    });
    let (status, response) = sandbox.json(put(&sent)).await;
    assert_eq!(status, 200);
    for (column, value) in [
        ("id", json!(id)),
        ("name", json!("m")),
        ("host", json!("h")),
        ("password", json!("p")),
        ("hasSshPassword", json!(true)),
        ("sslCa", json!(null)),
        ("team_id", json!(1)),
        ("allowPrivateHost", json!(null)),
    ] {
        assert_eq!(response[column], value, "{column}");
    }
    assert_eq!(response.get("nonsense"), None);

    let (status, error) = sandbox.json(put(&json!({"type": null}))).await;
    assert_eq!((status, &error["errors"][0]["path"]), (400, &json!("type")));
    let (status, error) = sandbox.json(put(&json!({"name": "n".repeat(256)}))).await;
    assert_eq!(
        (status, &error["parent"]["code"]),
        (400, &json!("ER_DATA_TOO_LONG"))
    );
    let unread = Request::new("PUT", &path).body("text/plain", "hello");
    assert_eq!(sandbox.send(unread).await.unwrap().status, 500);
}

#[tokio::test]
async fn errors_of_the_orm_carry_the_secrets_that_a_client_must_not_pass_on() {
    let sandbox = Running::start(Settings::default()).await;
    let body = json!({"name": {"a": 1}, "password": "hunter2", "sshPassword": "hunter3"});
    let (_, error) = sandbox.json(Request::post(PATH, &body)).await;
    let instance = &error["errors"][0]["instance"];
    assert_eq!(instance["password"], "hunter2");
    assert_eq!(instance["sshPassword"], "hunter3");
}

#[tokio::test]
async fn a_field_of_an_upload_may_come_once() {
    let sandbox = Running::start(Settings::default()).await;
    let id = sandbox.handle.insert(1, json!({"name": "n"}));
    let upload = Request::new("POST", &format!("{PATH}/{id}/files")).body(
        "multipart/form-data; boundary=XX",
        multipart(&["sslCa", "sslCa"]),
    );
    let (status, error) = sandbox.json(upload).await;
    assert_eq!(status, 400);
    assert_eq!(error, json!({"error": "Invalid connection file field"}));
}

#[tokio::test]
async fn rows_that_a_test_inserts_may_be_of_the_past() {
    let sandbox = Running::start(Settings::default()).await;
    let row = json!({"name": "old", "createdAt": "2020-01-01T00:00:00Z"});
    let old = sandbox.handle.insert(1, row);
    let new = sandbox
        .handle
        .insert(1, json!({"name": "new", "type": "api"}));
    let (_, list) = sandbox.json(Request::get(PATH)).await;
    assert_eq!(list[0]["id"], new);
    assert_eq!(list[0]["type"], "api");
    assert_eq!(list[1]["id"], old);
    assert_eq!(list[1]["createdAt"], "2020-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn debugging_shows_neither_tokens_nor_passwords() {
    let sandbox = Running::start(Settings::default()).await;
    let body = json!({"password": "hunter2"});
    sandbox.send(Request::post(PATH, &body)).await.unwrap();
    let handle = &sandbox.handle;
    let printed = format!(
        "{handle:?} {:?} {:?}",
        handle.requests(),
        Settings::default()
    );
    for secret in ["hunter2", TOKEN] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
