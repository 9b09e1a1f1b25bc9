//! Rows that a test inserts, changes and deletes, and updates that move and clear.

use std::time::Duration;

use chartbrew_sandbox::Settings;
use serde_json::{Value, json};

use super::{Running, raw::Request};

const PATH: &str = "/team/1/connections";
const MANY: usize = 50_000;

fn put(id: i32, body: &Value) -> Request {
    Request::new("PUT", &format!("{PATH}/{id}")).body("application/json", body.to_string())
}

fn ids(list: &Value) -> Vec<i64> {
    let rows = list.as_array().unwrap().iter();
    rows.map(|row| row["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn rows_change_between_two_lists() {
    let sandbox = Running::start(Settings::default()).await;
    let of = |day| json!({"name": day, "createdAt": format!("2026-01-0{day}T00:00:00Z")});
    let inserted = sandbox.handle.insert_many(1, (1..=4).map(of));
    assert_eq!(inserted, [1, 2, 3, 4]);
    sandbox.handle.insert_many(2, [json!({})]);
    let list = async || sandbox.json(Request::get(PATH)).await.1;
    assert_eq!(ids(&list().await), [4, 3, 2, 1]);

    assert!(sandbox.handle.delete(1, 3));
    assert!(!sandbox.handle.delete(1, 3));
    assert!(!sandbox.handle.delete(1, 5));
    assert!(
        sandbox
            .handle
            .update(1, 2, json!({"name": "two", "type": null}))
    );
    assert!(!sandbox.handle.update(1, 5, json!({"name": "five"})));
    let changed = list().await;
    assert_eq!(ids(&changed), [4, 2, 1]);
    assert_eq!(changed[1]["name"], "two");
    assert_eq!(changed[1]["type"], json!(null));
    assert_eq!(changed[1]["createdAt"], "2026-01-02T00:00:00.000Z");
}

#[tokio::test]
async fn fifty_thousand_rows_are_listed_while_others_are_served() {
    let sandbox = Running::start(Settings::default()).await;
    let start = tokio::time::Instant::now();
    let row = |n| {
        json!({
            "name": format!("row {n}"), "host": "h", "password": "p", "schema": {},
            "createdAt": "2026-01-01T00:00:00Z",
        })
    };
    let inserted = sandbox.handle.insert_many(1, (0..MANY).map(row));
    let list = sandbox.send(Request::get(PATH));
    let get = async {
        sandbox.handle.seen(1).await;
        sandbox.send(Request::get(&format!("{PATH}/1"))).await
    };
    let (list, got) = tokio::join!(list, get);
    assert_eq!(got.unwrap().status, 200);
    let list = list.unwrap().json();
    assert_eq!(ids(&list).len(), inserted.len());
    assert_eq!(list[7]["name"], "row 7");
    for left_out in ["password", "schema", "sshPassword"] {
        assert_eq!(list[7].get(left_out), None, "{left_out}");
    }
    // Generous: a loaded machine is slow, a quadratic list is slower.
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn null_clears_some_columns_and_leaves_others_alone() {
    let cleared = json!({
        "name": "n", "subType": "s", "connectionString": "c", "options": {"a": 1},
        "authentication": {"b": 2}, "firebaseServiceAccount": {"c": 3}, "ssl": true,
        "sslMode": "disable", "schema": {"d": 4}, "srv": true, "active": true,
        "project_ids": [1], "useSsh": true, "sshPort": 22, "sshJumpPort": 23,
    });
    let kept = json!({
        "host": "h", "port": "1", "dbName": "d", "username": "u", "password": "p",
        "sshHost": "sh", "sshUsername": "su", "sshPassword": "sp", "sshPassphrase": "pp",
        "sshJumpHost": "j",
    });
    let sandbox = Running::start(Settings::default()).await;
    for (columns, empty, becomes) in [
        (&cleared, json!(null), Some(json!(null))),
        (&kept, json!(null), None),
        (&kept, json!(""), None),
    ] {
        let id = sandbox.handle.insert(1, columns.clone());
        let columns = columns.as_object().unwrap();
        let all: Value = columns.keys().map(|c| (c.clone(), empty.clone())).collect();
        let response = sandbox.send(put(id, &all)).await.unwrap();
        assert_eq!(response.status, 200, "{}", response.json());
        let rows = sandbox.handle.rows(1);
        let row = rows.iter().find(|row| row["id"] == id).unwrap();
        for (column, value) in columns {
            assert_eq!(&row[column], becomes.as_ref().unwrap_or(value), "{column}");
        }
    }
}

#[tokio::test]
async fn an_id_in_an_update_moves_the_row_unless_it_is_taken() {
    let sandbox = Running::start(Settings::default()).await;
    let [first, second] = [1, 2].map(|n| sandbox.handle.insert(1, json!({"name": n})));
    let (status, taken) = sandbox
        .json(put(first, &json!({"id": second, "name": "x"})))
        .await;
    assert_eq!(status, 400);
    assert_eq!(taken["name"], "SequelizeUniqueConstraintError");
    assert_eq!(sandbox.handle.rows(1)[0]["name"], "1");

    let (status, moved) = sandbox
        .json(put(first, &json!({"id": 9, "name": "x"})))
        .await;
    assert_eq!((status, moved), (400, json!({})));
    let (status, _) = sandbox.json(Request::get(&format!("{PATH}/{first}"))).await;
    assert_eq!(status, 404);
    let (status, row) = sandbox.json(Request::get(&format!("{PATH}/9"))).await;
    assert_eq!((status, &row["name"]), (200, &json!("x")));
    // The database counts on from the last row that was inserted.
    assert_eq!(sandbox.handle.insert(1, json!({})), 3);
}

#[tokio::test]
async fn a_copy_has_all_that_the_row_has() {
    let sandbox = Running::start(Settings::default()).await;
    let id = sandbox
        .handle
        .insert(1, json!({"name": "n", "password": "p", "sshPassword": "s"}));
    let duplicate = Request::post(&format!("{PATH}/{id}/duplicate"), &json!({}));
    let (status, copy) = sandbox.json(duplicate).await;
    assert_eq!(
        (status, &copy["name"], &copy["password"]),
        (200, &json!("n"), &json!("p"))
    );
    let rows = sandbox.handle.rows(1);
    assert_eq!(rows[1]["sshPassword"], "s");
    assert_ne!(rows[0]["id"], rows[1]["id"]);
}
