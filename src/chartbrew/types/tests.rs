//! Tests of the REST types: reading, writing and comparing rows.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn row(json: &Value) -> Connection {
    Connection::from_json(json.to_string().as_bytes()).unwrap()
}

// === reading ===

#[test]
fn a_row_is_read_field_by_field() {
    let row = row(&json!({
        "id": 7, "team_id": 1, "name": "n", "type": "oracle", "port": "5432",
        "project_ids": [1, "2"], "createdAt": "2026-11-24T00:24:12.391Z", "host": null,
    }));
    assert_eq!((row.id, row.team_id), (7, Some(1)));
    assert_eq!(row.kind.as_deref(), Some("oracle"));
    assert_eq!(row.fields.port, Some(PortText("5432".to_owned())));
    assert_eq!(
        row.fields.project_ids,
        Some(vec![
            ProjectId::Number(1.into()),
            ProjectId::Text("2".to_owned())
        ])
    );
    assert_eq!(row.created_at.unwrap().as_millisecond(), 1_795_479_852_391);
    assert_eq!(row.fields.host, None);
    assert!(row.extra.is_empty());
}

#[test]
fn numbers_are_read_where_texts_are_documented_and_the_other_way_round() {
    let row = row(&json!({
        "id": "7", "team_id": 3.0, "port": 27017, "sshPort": "22", "project_ids": [1.0],
    }));
    assert_eq!(
        (row.id, row.team_id, row.fields.ssh.port),
        (7, Some(3), Some(22))
    );
    assert_eq!(row.fields.port, Some(PortText("27017".to_owned())));
    assert_eq!(
        row.fields.project_ids,
        Some(vec![ProjectId::Number(1.into())])
    );
    assert!(row.extra.is_empty());
}

#[test]
fn what_is_not_modelled_is_kept_as_it_came() {
    let given = json!({
        "id": 1, "name": 5, "ssl": "yes", "sshPort": 9e15, "options": "text", "schema": [1],
        "authentication": true, "project_ids": [1, null], "createdAt": "yesterday", "port": 1.5,
        "OAuth": null, "allowPrivateHost": null, "future": {"a": [1, {"b": null}]},
    });
    let row = row(&given);
    let mut kept = given.as_object().unwrap().clone();
    kept.remove("id");
    assert_eq!(row.extra, kept);
    assert_eq!(serde_json::to_value(&row).unwrap(), given);
}

#[test]
fn the_last_of_duplicate_keys_wins() {
    let read = |json: &str| Connection::from_json(json.as_bytes());
    let row = read(r#"{"id":1,"name":"a","name":5,"host":5,"host":"h","id":2,"x":1,"x":2}"#);
    let row = row.unwrap();
    assert_eq!(
        (row.id, row.name, row.fields.host.as_deref()),
        (2, None, Some("h"))
    );
    assert_eq!(Value::Object(row.extra), json!({"name": 5, "x": 2}));
    assert_eq!(read(r#"{"id":1,"id":null}"#), Err(Unreadable::NoId));
}

#[test]
fn an_unreadable_response_says_why() {
    let deep = format!(r#"{{"id":1,"x":{}"#, "[".repeat(100_000));
    for (json, error) in [
        ("", Unreadable::CutShort),
        (r#"{"id":1,"name":"#, Unreadable::CutShort),
        ("<html>", Unreadable::NotJson),
        ("{} x", Unreadable::NotJson),
        (&deep, Unreadable::NotJson),
        ("[]", Unreadable::WrongShape),
        ("null", Unreadable::WrongShape),
        (r#"[{"id":1}]"#, Unreadable::WrongShape),
        ("{}", Unreadable::NoId),
        (r#"{"id":0}"#, Unreadable::NoId),
        (r#"{"id":-1}"#, Unreadable::NoId),
        (r#"{"id":2147483648}"#, Unreadable::NoId),
        (r#"{"id":1.5}"#, Unreadable::NoId),
        (r#"{"id":{"id":1}}"#, Unreadable::NoId),
    ] {
        assert_eq!(
            Connection::from_json(json.as_bytes()),
            Err(error),
            "{json:.40}"
        );
    }
}

#[test]
fn one_broken_row_does_not_hide_the_others() {
    let list = br#"[{"id":1},null,{"name":"no id"},[[1]],"x",1,1.5,-1,true,{"id":2,"port":{}}]"#;
    let list = ConnectionList::from_json(list).unwrap();
    assert_eq!(
        list.rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(list.skipped, 8);
    for other in ["{}", "null", r#""text""#] {
        let read = ConnectionList::from_json(other.as_bytes());
        assert_eq!(read, Err(Unreadable::WrongShape), "{other}");
    }
}

proptest! {
    #[test]
    fn no_input_makes_the_reader_panic(bytes: Vec<u8>, cut in 0..400_usize, at in 0..400_usize, byte: u8) {
        let _ = Connection::from_json(&bytes);
        let _ = ConnectionList::from_json(&bytes);
        let mut near = br#"[{"id":1,"team_id":1,"name":"\u00e9","type":"api","port":1e3,"ssl":true,
            "options":[{"a":"b"}],"authentication":{"type":"x"},"createdAt":"2026-11-24T00:24:12Z",
            "project_ids":[1,"2",-3],"sshPort":"22","OAuth":null,"x":{"y":[1.5]}}]"#.to_vec();
        if let Some(place) = near.get_mut(at) {
            *place = byte;
        }
        near.truncate(cut);
        let _ = ConnectionList::from_json(&near);
        let _ = Connection::from_json(near.get(1..).unwrap_or_default());
    }
}

// === writing ===

/// A connection with a value in every field.
fn full() -> NewConnection {
    let text = |text: &str| Some(text.to_owned());
    let object = |value: Value| value.as_object().cloned();
    let fields = OptionalFields {
        host: text("h"),
        port: Some(PortText("80".to_owned())),
        db_name: text("d"),
        username: text("u"),
        password: text("hush"),
        options: Some(json!([{"X-Api-Key": "hush"}])),
        connection_string: text("c"),
        srv: Some(true),
        authentication: Some(authentication(
            "bearer_token",
            text("hush"),
            None,
            text("hush"),
        )),
        firebase_service_account: object(json!({"private_key": "hush"})),
        ssl: Some(true),
        ssl_mode: text("prefer"),
        schema: object(json!({"s": 1})),
        project_ids: Some(vec![
            ProjectId::Number(1.into()),
            ProjectId::Text("x".to_owned()),
        ]),
        active: Some(false),
        oauth_id: text("o"),
        ssh: SshFields {
            enabled: Some(true),
            host: text("sh"),
            port: Some(22),
            username: text("su"),
            password: text("hush"),
            passphrase: text("hush"),
            jump_host: text("sj"),
            jump_port: Some(23),
        },
    };
    NewConnection {
        team_id: 1,
        name: "n".to_owned(),
        kind: "api",
        sub_type: Some("strapi"),
        fields,
        extra: object(json!({"future": 1.5})).unwrap(),
    }
}

/// What Chartbrew's list shows of [`full`].
fn full_row() -> Value {
    json!({
        "id": 9, "team_id": 1, "name": "n", "type": "api", "subType": "strapi", "host": "h",
        "port": "80", "dbName": "d", "username": "u", "options": [{"X-Api-Key": "hush"}],
        "connectionString": "c", "srv": true, "ssl": true, "sslMode": "prefer",
        "authentication": {"type": "bearer_token", "token": "hush", "pass": "hush"},
        "firebaseServiceAccount": {"private_key": "hush"}, "project_ids": [1, "x"],
        "active": false, "oauth_id": "o", "useSsh": true, "sshHost": "sh", "sshPort": 22,
        "sshUsername": "su", "sshJumpHost": "sj", "sshJumpPort": 23, "sslCa": null,
        "sslCert": null, "sslKey": null, "hasSshPassword": true, "hasSshPrivateKey": false,
        "hasSshPassphrase": true, "OAuth": null, "allowPrivateHost": null, "future": 1.5,
        "createdAt": "2026-11-24T00:24:12.000Z", "updatedAt": "2026-11-24T00:24:12.000Z",
    })
}

fn minimal() -> NewConnection {
    NewConnection {
        team_id: 1,
        name: "m".to_owned(),
        kind: "mongodb",
        ..NewConnection::default()
    }
}

fn asking_for(fields: OptionalFields) -> NewConnection {
    NewConnection {
        fields,
        ..minimal()
    }
}

#[test]
fn what_is_not_given_is_not_sent() {
    let body = CreateBody::try_new(minimal()).unwrap();
    assert_eq!(
        &body.json()[..],
        br#"{"name":"m","type":"mongodb","team_id":1}"#
    );
}

#[test]
fn every_field_is_sent_under_its_rest_name() {
    let body = CreateBody::try_new(full()).unwrap();
    let sent: Value = serde_json::from_slice(body.json()).unwrap();
    let mut expected = full_row();
    for only_shown in [
        "id",
        "sslCa",
        "sslCert",
        "sslKey",
        "hasSshPassword",
        "hasSshPrivateKey",
        "hasSshPassphrase",
        "OAuth",
        "allowPrivateHost",
        "createdAt",
        "updatedAt",
    ] {
        expected.as_object_mut().unwrap().remove(only_shown);
    }
    for (name, value) in [
        ("password", json!("hush")),
        ("schema", json!({"s": 1})),
        ("sshPassword", json!("hush")),
        ("sshPassphrase", json!("hush")),
    ] {
        expected[name] = value;
    }
    assert_eq!(sent, expected);
    assert_eq!(
        sent["project_ids"],
        json!([1, "x"]),
        "decimal ids go as numbers"
    );
}

#[test]
fn no_debug_output_shows_a_secret() {
    let file = Some(bytes::Bytes::from_static(b"hush"));
    let files = Files {
        ssl_key: file,
        ..Files::default()
    };
    let body = CreateBody::try_new(full()).unwrap();
    let shown = format!(
        "{body:?} {:?} {:?} {:?} {:?} {files:?}",
        body.sent(),
        body.sent().fields,
        body.sent().fields.ssh,
        row(&full_row())
    );
    assert!(!shown.contains("hush"), "{shown}");
    assert!(!shown.contains("104, 117"), "{shown}");
}

#[test]
fn files_are_parts_with_rest_names() {
    assert!(Files::default().is_empty());
    let part = |text: &'static str| Some(bytes::Bytes::from_static(text.as_bytes()));
    let files = Files {
        ssl_ca: part("1"),
        ssl_cert: part("2"),
        ssl_key: part("3"),
        ssh_private_key: part("4"),
    };
    let fields: Vec<_> = files.iter().map(|file| file.field).collect();
    assert_eq!(fields, ["sslCa", "sslCert", "sslKey", "sshPrivateKey"]);
}

// === comparing ===

fn with(mut json: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        json[name] = value.clone();
    }
    json
}

fn in_list(sent: NewConnection, shown: &Value) -> RowMatch {
    CreateBody::try_new(sent)
        .unwrap()
        .compare(&row(shown), View::List)
}

#[test]
fn a_row_that_shows_what_was_sent_is_the_same() {
    for change in [
        json!({}),
        json!({"id": 10, "createdAt": null, "updatedAt": "x"}),
        json!({"options": [{"X-Api-Key": "hush"}], "future": null}),
        json!({"sslCa": "path", "sslCert": "path", "sslKey": "path", "hasSshPrivateKey": true}),
        json!({"schema": {"read": "by the server"}, "newer": "field", "password": "hush"}),
    ] {
        let shown = with(full_row(), &change);
        assert_eq!(in_list(full(), &shown), RowMatch::Match, "{change}");
    }
}

#[test]
fn any_field_that_differs_is_another_connection() {
    for (name, sent) in full_row().as_object().unwrap() {
        let compared = !matches!(
            &**name,
            "id" | "team_id"
                | "sslCa"
                | "sslCert"
                | "sslKey"
                | "hasSshPrivateKey"
                | "OAuth"
                | "allowPrivateHost"
                | "createdAt"
                | "updatedAt"
        );
        let other = match sent {
            Value::Bool(flag) => json!(!flag),
            Value::Number(_) => json!(77),
            _ => json!("other"),
        };
        for value in [other, Value::Null] {
            let lost_extra = name == "future" && value.is_null();
            let shown = with(full_row(), &json!({name: value}));
            let expected = if compared && !lost_extra {
                RowMatch::Mismatch
            } else {
                RowMatch::Match
            };
            if name != "team_id" && name != "id" {
                assert_eq!(in_list(full(), &shown), expected, "{name}: {value}");
            }
        }
    }
    let shown = with(full_row(), &json!({"team_id": 2}));
    assert_eq!(in_list(full(), &shown), RowMatch::Mismatch);
    for value in [
        json!([{"X-Api-Key": "x"}]),
        json!([]),
        json!({}),
        json!([{"X-Api-Key": "hush"}, 1]),
    ] {
        let shown = with(full_row(), &json!({"options": value}));
        assert_eq!(in_list(full(), &shown), RowMatch::Mismatch, "{value}");
    }
    for ids in [json!([1]), json!(["1", "x"]), json!([]), json!([1, "x", 2])] {
        let shown = with(full_row(), &json!({"project_ids": ids}));
        assert_eq!(in_list(full(), &shown), RowMatch::Mismatch, "{ids}");
    }
}

/// A row as the list shows it after a create with a name and a type only.
fn minimal_row() -> Value {
    json!({
        "project_ids": null, "host": null, "dbName": null, "port": null, "username": null,
        "options": null, "connectionString": null, "authentication": null,
        "firebaseServiceAccount": null, "sshHost": null, "sshUsername": null,
        "sshJumpHost": null, "id": 31, "team_id": 1, "oauth_id": null, "name": "m",
        "type": "mongodb", "subType": null, "active": true, "allowPrivateHost": null,
        "srv": false, "ssl": false, "sslMode": "require", "sslCa": null, "sslCert": null,
        "sslKey": null, "useSsh": false, "sshPort": null, "sshJumpPort": null,
        "createdAt": "2026-11-24T00:24:13.000Z", "updatedAt": "2026-11-24T00:24:13.000Z",
        "OAuth": null, "hasSshPassword": false, "hasSshPrivateKey": false,
        "hasSshPassphrase": false,
    })
}

#[test]
fn what_was_not_sent_must_be_unset_or_at_its_default() {
    assert_eq!(in_list(minimal(), &minimal_row()), RowMatch::Match);
    for (name, value) in full_row().as_object().unwrap() {
        let shown = with(minimal_row(), &json!({name: value}));
        let expected = match &**name {
            "id" | "team_id" | "future" | "OAuth" | "allowPrivateHost" | "createdAt"
            | "updatedAt" | "sslCa" | "sslCert" | "sslKey" | "hasSshPrivateKey" => RowMatch::Match,
            _ => RowMatch::Mismatch,
        };
        assert_eq!(in_list(minimal(), &shown), expected, "{name}");
    }
}

#[test]
fn empty_texts_are_not_stored_but_an_empty_connection_string_is() {
    let empty = || Some(String::new());
    let ssh = SshFields {
        host: empty(),
        username: empty(),
        password: empty(),
        passphrase: empty(),
        jump_host: empty(),
        ..SshFields::default()
    };
    let sent = asking_for(OptionalFields {
        host: empty(),
        port: empty().map(PortText),
        db_name: empty(),
        username: empty(),
        password: empty(),
        connection_string: empty(),
        options: Some(Value::Null),
        ssh,
        ..OptionalFields::default()
    });
    let shown = with(minimal_row(), &json!({"connectionString": ""}));
    assert_eq!(in_list(sent.clone(), &shown), RowMatch::Match);
    assert_eq!(in_list(sent, &minimal_row()), RowMatch::Mismatch);
}

#[test]
fn a_password_counts_where_it_is_shown() {
    let body = CreateBody::try_new(full()).unwrap();
    for (shown, expected) in [
        (json!("hush"), RowMatch::Match),
        (json!(""), RowMatch::Match),
        (json!("other"), RowMatch::Mismatch),
        (json!(null), RowMatch::Mismatch),
    ] {
        let row = row(&with(full_row(), &json!({"password": shown})));
        assert_eq!(body.compare(&row, View::Single), expected, "{shown}");
    }
}

#[test]
fn a_project_scoped_view_proves_nothing_but_a_difference() {
    let scoped = |name: &str| {
        let mut shown = full_row();
        for (key, value) in shown.as_object_mut().unwrap() {
            if !matches!(
                &**key,
                "id" | "name" | "type" | "subType" | "createdAt" | "updatedAt"
            ) {
                *value = Value::Null;
            }
        }
        with(shown, &json!({"name": name}))
    };
    assert_eq!(in_list(full(), &scoped("n")), RowMatch::Indeterminate);
    assert_eq!(in_list(full(), &scoped("other")), RowMatch::Mismatch);
    let unnamed = with(scoped("n"), &json!({"name": null}));
    assert_eq!(in_list(full(), &unnamed), RowMatch::Mismatch);
}

#[test]
fn numbers_in_json_are_compared_by_value() {
    let sent = |options| {
        asking_for(OptionalFields {
            options: Some(options),
            ..OptionalFields::default()
        })
    };
    let shown = with(minimal_row(), &json!({"options": {"a": [1, 2.0, -0.0]}}));
    assert_eq!(
        in_list(sent(json!({"a": [1.0, 2, 0]})), &shown),
        RowMatch::Match
    );
    assert_eq!(
        in_list(sent(json!({"a": [1.5, 2, 0]})), &shown),
        RowMatch::Mismatch
    );
}

#[test]
fn sources_that_rewrite_the_row_are_still_recognised() {
    let sent = NewConnection {
        kind: "jira",
        fields: OptionalFields {
            host: Some("site".to_owned()),
            options: Some(json!({"a": 1})),
            ..OptionalFields::default()
        },
        ..minimal()
    };
    let shown = with(
        minimal_row(),
        &json!({
            "type": "jira", "subType": "jira", "host": "https://site.example",
            "options": {"a": 1, "jira": {"siteUrl": "https://site.example"}},
        }),
    );
    assert_eq!(in_list(sent.clone(), &shown), RowMatch::Match);
    let other = with(shown, &json!({"options": {"a": 2}}));
    assert_eq!(in_list(sent, &other), RowMatch::Mismatch);
}
