//! What a mask may name, and that what it does not name is neither checked nor sent.

use chartbrew_gateway::proto::{
    Authentication, NewConnection, SshTunnel, UpdateRequest, UpdateResponse,
};
use prost_types::FieldMask;
use serde_json::{Value, json};
use tonic::{Code, Response, Status};

use super::{insert, rename, rest, update};
use crate::support::gateway::{Gateway, authorized, failure, gateway, sandbox};

async fn send(
    gateway: &Gateway,
    message: UpdateRequest,
) -> Result<Response<UpdateResponse>, Status> {
    gateway.client.clone().update(authorized(message)).await
}

fn extra(fields: &Value) -> NewConnection {
    NewConnection {
        extra_fields: Some(rest::structure(fields.as_object().unwrap())),
        ..NewConnection::default()
    }
}

/// Everything in it is wrong.
fn wrong() -> NewConnection {
    let long = || Some("x".repeat(40_000));
    NewConnection {
        name: "n".repeat(300),
        r#type: 99,
        sub_type: 99,
        host: Some("new-host".to_owned()),
        port: long(),
        db_name: long(),
        username: long(),
        password: long(),
        options: Some(rest::value(&json!(5))),
        connection_string: long(),
        authentication: Some(Authentication::default()),
        ssl_mode: 99,
        project_ids: vec![String::new()],
        oauth_id: Some("no uuid".to_owned()),
        ssh: Some(SshTunnel {
            port: Some(70_000),
            jump_port: Some(-1),
            password: long(),
            has_password: Some(true),
            has_private_key: Some(true),
            has_passphrase: Some(true),
            ..SshTunnel::default()
        }),
        ..extra(&json!({ "id": 7, "team_id": 7, "name": "x", "colour": "red" }))
    }
}

#[tokio::test]
async fn what_a_mask_may_not_name_is_refused_and_nothing_is_sent() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    let before = sandbox.rows(1);
    // (what the mask names, at which of its paths something is wrong)
    let cases: [(&[&str], &[usize]); 20] = [
        (&["*"], &[0]),
        (&["colour"], &[0]),
        (&[""], &[0]),
        (&["ssh"], &[0]),
        (&["ssh."], &[0]),
        (&["ssh.colour"], &[0]),
        (&["ssh.has_password"], &[0]),
        (&["ssh.has_private_key"], &[0]),
        (&["ssh.has_passphrase"], &[0]),
        (&["authentication.token"], &[0]),
        (&["authentication.colour"], &[0]),
        (&["options.a"], &[0]),
        (&["extra_fields.colour"], &[0]),
        (&["id"], &[0]),
        (&["team_id"], &[0]),
        (&["dbName"], &[0]),
        (&["connection.name"], &[0]),
        (&["files.ssl_ca"], &[0]),
        (&["ssl_ca"], &[0]),
        (&["name", "*", "name", "id"], &[1, 3]),
    ];
    for (paths, wrong) in cases {
        let new = NewConnection {
            name: "new".to_owned(),
            ..NewConnection::default()
        };
        let failed = failure(send(&gateway, update(id, new, paths.iter().copied())).await);
        let fields: Vec<_> = wrong
            .iter()
            .map(|at| format!("update_mask.paths[{at}]"))
            .collect();
        let got = (failed.code, &*failed.reason, failed.fields());
        let expected = (
            Code::InvalidArgument,
            "INVALID_FIELD",
            fields.iter().map(String::as_str).collect(),
        );
        assert_eq!(got, expected, "{paths:?}");
    }
    for update_mask in [None, Some(FieldMask::default())] {
        let message = UpdateRequest {
            update_mask,
            ..rename(id, "new")
        };
        let failed = failure(send(&gateway, message).await);
        assert_eq!(failed.fields(), ["update_mask"]);
    }
    assert_eq!(sandbox.requests().len(), 0);
    assert_eq!(sandbox.rows(1), before);
}

#[tokio::test]
async fn extra_fields_are_sent_as_they_are_but_none_that_the_contract_models() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    // (what is in them, which of it is refused)
    let cases = [
        (json!({ "colour": "red", "size": {"a": [1, null]} }), vec![]),
        (json!({ "colour": null }), vec![]),
        (json!({}), vec![""]),
        (json!({ "id": 7 }), vec![".id"]),
        (json!({ "team_id": 7 }), vec![".team_id"]),
        (json!({ "id": null }), vec![".id"]),
        (json!({ "name": "x" }), vec![".name"]),
        (json!({ "sshHost": "x", "colour": "red" }), vec![".sshHost"]),
        (json!({ "sslCa": "x" }), vec![".sslCa"]),
        (json!({ "__proto__": {} }), vec![".__proto__"]),
    ];
    for (fields, refused) in cases {
        sandbox.clear_requests();
        let sent = send(&gateway, update(id, extra(&fields), ["extra_fields"])).await;
        let requests = sandbox.requests();
        if refused.is_empty() {
            sent.unwrap();
            assert_eq!(requests[0].json(), fields);
            continue;
        }
        let failed = failure(sent);
        let refused: Vec<_> = refused
            .iter()
            .map(|name| format!("connection.extra_fields{name}"))
            .collect();
        assert_eq!(failed.fields(), refused, "{fields}");
        assert_eq!(requests.len(), 0, "{fields}");
    }
}

#[tokio::test]
async fn what_is_not_named_is_neither_checked_nor_sent() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    send(&gateway, update(id, wrong(), ["host"])).await.unwrap();
    assert_eq!(sandbox.requests()[0].json(), json!({ "host": "new-host" }));
    // Each of them is checked where it is named.
    let named = [
        "name",
        "type",
        "sub_type",
        "port",
        "db_name",
        "username",
        "password",
        "options",
        "connection_string",
        "ssl_mode",
        "oauth_id",
        "ssh.port",
        "ssh.jump_port",
        "ssh.password",
    ];
    for path in named {
        let failed = failure(send(&gateway, update(id, wrong(), [path])).await);
        assert_eq!(failed.fields(), [format!("connection.{path}")], "{path}");
    }
    let nested = [
        ("authentication", "connection.authentication.type"),
        ("project_ids", "connection.project_ids[0]"),
    ];
    for (path, field) in nested {
        let failed = failure(send(&gateway, update(id, wrong(), [path])).await);
        assert_eq!(failed.fields(), [field]);
    }
    assert_eq!(sandbox.requests().len(), 1);
}

#[tokio::test]
async fn a_path_may_be_repeated_and_the_message_may_be_missing() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    let new = NewConnection {
        name: "new".to_owned(),
        ..NewConnection::default()
    };
    send(&gateway, update(id, new, ["name", "options", "name"]))
        .await
        .unwrap();
    let missing = UpdateRequest {
        connection: None,
        ..update(id, NewConnection::default(), ["ssl", "ssh.enabled"])
    };
    send(&gateway, missing).await.unwrap();
    let sent: Vec<_> = sandbox.requests().iter().map(|seen| seen.json()).collect();
    let expected = [
        json!({ "name": "new", "options": null }),
        json!({ "ssl": null, "useSsh": null }),
    ];
    assert_eq!(sent, expected);
}
