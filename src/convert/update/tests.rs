use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::json;

use super::*;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn object(key: &str, kind: Kind) -> Option<Struct> {
    let value = ProtoValue { kind: Some(kind) };
    Some(Struct {
        fields: [(key.to_owned(), value)].into(),
    })
}

/// A connection in which every field that a request may set is set.
fn full() -> proto::NewConnection {
    let list = ListValue {
        values: vec![ProtoValue {
            kind: object("k", Kind::StringValue("v".to_owned())).map(Kind::StructValue),
        }],
    };
    proto::NewConnection {
        name: "n".to_owned(),
        r#type: proto::ConnectionType::Api.into(),
        sub_type: proto::ConnectionSubType::Strapi.into(),
        host: text("h"),
        port: text("1"),
        db_name: text("d"),
        username: text("u"),
        password: text("p"),
        options: Some(ProtoValue {
            kind: Some(Kind::ListValue(list)),
        }),
        connection_string: text("c"),
        srv: Some(true),
        authentication: Some(proto::Authentication {
            r#type: proto::AuthenticationType::BasicAuth.into(),
            token: None,
            user: text("u"),
            pass: text("p"),
        }),
        firebase_service_account: object("f", Kind::BoolValue(true)),
        ssl: Some(false),
        ssl_mode: proto::SslMode::Prefer.into(),
        schema: object("s", Kind::NumberValue(1.0)),
        project_ids: vec!["1".to_owned(), "x".to_owned()],
        active: Some(false),
        oauth_id: text("123e4567-e89b-42d3-a456-426614174000"),
        ssh: Some(proto::SshTunnel {
            enabled: Some(true),
            host: text("sh"),
            port: Some(22),
            username: text("su"),
            password: text("sp"),
            passphrase: text("sq"),
            jump_host: text("sj"),
            jump_port: Some(23),
            has_password: Some(true),
            has_private_key: Some(true),
            has_passphrase: Some(true),
        }),
        extra_fields: object("x", Kind::NullValue(0)),
    }
}

fn request(connection: proto::NewConnection, paths: &[&str]) -> proto::UpdateRequest {
    proto::UpdateRequest {
        team_id: 7,
        connection_id: 9,
        connection: Some(Box::new(connection)),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
    }
}

fn sent(connection: proto::NewConnection, paths: &[&str]) -> Value {
    let (of, changes) = update(request(connection, paths), &Limits::default()).unwrap();
    assert_eq!((of.team, of.id), (7, 9));
    serde_json::from_slice(&changes.json).unwrap()
}

/// The fields with something wrong, and what is.
fn wrong(connection: proto::NewConnection, paths: &[&str]) -> Vec<(String, String)> {
    let violations = update(request(connection, paths), &Limits::default()).unwrap_err();
    let of = |violation: &super::super::Violation| {
        (violation.field.clone(), violation.description.clone())
    };
    violations.iter().map(of).collect()
}

/// The paths that a mask may name, the REST field of each, its value in [`full`], and whether it
/// can be cleared.
fn fields() -> Vec<(&'static str, &'static str, Value, bool)> {
    vec![
        ("name", "name", json!("n"), false),
        ("type", "type", json!("api"), false),
        ("sub_type", "subType", json!("strapi"), true),
        ("host", "host", json!("h"), false),
        ("port", "port", json!("1"), false),
        ("db_name", "dbName", json!("d"), false),
        ("username", "username", json!("u"), false),
        ("password", "password", json!("p"), false),
        ("options", "options", json!([{"k": "v"}]), true),
        ("connection_string", "connectionString", json!("c"), true),
        ("srv", "srv", json!(true), true),
        (
            "authentication",
            "authentication",
            json!({"type": "basic_auth", "user": "u", "pass": "p"}),
            true,
        ),
        (
            "firebase_service_account",
            "firebaseServiceAccount",
            json!({"f": true}),
            true,
        ),
        ("ssl", "ssl", json!(false), true),
        ("ssl_mode", "sslMode", json!("prefer"), true),
        ("schema", "schema", json!({"s": 1}), true),
        ("project_ids", "project_ids", json!([1, "x"]), true),
        ("active", "active", json!(false), true),
        (
            "oauth_id",
            "oauth_id",
            json!("123e4567-e89b-42d3-a456-426614174000"),
            true,
        ),
        ("ssh.enabled", "useSsh", json!(true), true),
        ("ssh.host", "sshHost", json!("sh"), false),
        ("ssh.port", "sshPort", json!(22), true),
        ("ssh.username", "sshUsername", json!("su"), false),
        ("ssh.password", "sshPassword", json!("sp"), false),
        ("ssh.passphrase", "sshPassphrase", json!("sq"), false),
        ("ssh.jump_host", "sshJumpHost", json!("sj"), false),
        ("ssh.jump_port", "sshJumpPort", json!(23), true),
    ]
}

#[test]
fn exactly_the_field_that_is_named_is_sent() {
    for (path, rest, value, _) in fields() {
        assert_eq!(sent(full(), &[path]), json!({ rest: value }), "{path}");
        assert_eq!(
            sent(full(), &[path, path]),
            json!({ rest: value }),
            "{path} twice"
        );
    }
    let known: BTreeSet<_> = fields().iter().map(|(_, rest, ..)| *rest).collect();
    let modelled: BTreeSet<_> = types::fields()
        .filter(|field| {
            field
                .path
                .is_some_and(|path| path.starts_with("connection."))
        })
        .map(|field| field.rest)
        .collect();
    assert_eq!(known, modelled, "the table here has them all");
}

#[test]
fn all_that_is_named_is_sent_and_nothing_else() {
    let paths: Vec<_> = fields().iter().map(|(path, ..)| *path).collect();
    let all: Map<_, _> = fields()
        .into_iter()
        .map(|(_, rest, value, _)| (rest.to_owned(), value))
        .collect();
    assert_eq!(sent(full(), &paths), Value::from(all.clone()));
    let with_extra = [&paths[..], &["extra_fields"]].concat();
    let mut expected = all;
    expected.insert("x".to_owned(), Value::Null);
    assert_eq!(sent(full(), &with_extra), Value::from(expected));
    // What is not named is not even looked at.
    let mut odd = full();
    odd.r#type = 99;
    odd.options = Some(ProtoValue {
        kind: Some(Kind::BoolValue(true)),
    });
    odd.oauth_id = text("none");
    odd.extra_fields = object("id", Kind::NumberValue(1.0));
    odd.project_ids = vec![String::new()];
    assert_eq!(sent(odd, &["name"]), json!({"name": "n"}));
}

#[test]
fn a_field_that_is_named_and_unset_is_cleared_or_refused() {
    for (path, rest, _, can_be_cleared) in fields() {
        let empty = proto::NewConnection::default;
        if can_be_cleared {
            assert_eq!(sent(empty(), &[path]), json!({ rest: null }), "{path}");
            continue;
        }
        let found = wrong(empty(), &[path]);
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        assert_eq!(found[0].0, format!("connection.{path}"));
    }
}

#[test]
fn an_empty_text_clears_nothing_that_chartbrew_keeps() {
    let mut empty = full();
    for text in [
        &mut empty.host,
        &mut empty.port,
        &mut empty.db_name,
        &mut empty.username,
        &mut empty.password,
    ] {
        *text = Some(String::new());
    }
    let ssh = empty.ssh.as_mut().unwrap();
    for text in [
        &mut ssh.host,
        &mut ssh.username,
        &mut ssh.password,
        &mut ssh.passphrase,
        &mut ssh.jump_host,
    ] {
        *text = Some(String::new());
    }
    for path in [
        "host",
        "port",
        "db_name",
        "username",
        "password",
        "ssh.host",
        "ssh.username",
        "ssh.password",
        "ssh.passphrase",
        "ssh.jump_host",
    ] {
        let found = wrong(empty.clone(), &[path]);
        assert_eq!(found.len(), 1, "{path}");
        assert!(
            found[0].1.contains("cannot be cleared"),
            "{path}: {found:?}"
        );
    }
    empty.connection_string = Some(String::new());
    assert_eq!(
        sent(empty, &["connection_string"]),
        json!({"connectionString": ""})
    );
}

#[test]
fn a_mask_names_fields_of_the_contract() {
    for (path, says) in [
        ("*", "`*` is refused"),
        ("", "no field"),
        ("id", "no field"),
        ("team_id", "no field"),
        ("subType", "no field"),
        ("connection.name", "no field"),
        ("files.ssl_ca", "no field"),
        ("ssl_ca", "no field"),
        ("create_time", "no field"),
        ("ssh", "one by one"),
        ("ssh.", "no field"),
        ("ssh.has_password", "output only"),
        ("ssh.has_private_key", "output only"),
        ("ssh.has_passphrase", "output only"),
        ("authentication.pass", "as a whole"),
        ("options.k", "no field"),
        ("extra_fields.x", "no field"),
        ("name ", "no field"),
        ("Name", "no field"),
    ] {
        let found = wrong(full(), &["host", path]);
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        assert_eq!(found[0].0, "update_mask.paths[1]", "{path}");
        assert!(found[0].1.contains(says), "{path}: {found:?}");
    }
    for none in [None, Some(FieldMask::default())] {
        let request = proto::UpdateRequest {
            update_mask: none,
            ..request(full(), &[])
        };
        let violations = update(request, &Limits::default()).unwrap_err();
        let fields: Vec<_> = violations.iter().map(|v| v.field.clone()).collect();
        assert_eq!(fields, ["update_mask"]);
    }
}

#[test]
fn values_are_checked_as_in_a_create_and_each_fault_is_told_once() {
    type Change = fn(&mut proto::NewConnection);
    let cases: [(&str, Change, &str); 9] = [
        ("name", |c| c.name = "n".repeat(256), "connection.name"),
        ("type", |c| c.r#type = 99, "connection.type"),
        ("sub_type", |c| c.sub_type = 99, "connection.sub_type"),
        ("ssl_mode", |c| c.ssl_mode = -1, "connection.ssl_mode"),
        (
            "oauth_id",
            |c| c.oauth_id = text("none"),
            "connection.oauth_id",
        ),
        (
            "password",
            |c| c.password = Some("p".repeat(32_736)),
            "connection.password",
        ),
        (
            "ssh.port",
            |c| c.ssh.as_mut().unwrap().port = Some(0),
            "connection.ssh.port",
        ),
        (
            "authentication",
            |c| c.authentication = Some(proto::Authentication::default()),
            "connection.authentication.type",
        ),
        (
            "project_ids",
            |c| c.project_ids = vec![String::new()],
            "connection.project_ids[0]",
        ),
    ];
    for (path, change, field) in cases {
        let mut connection = full();
        change(&mut connection);
        let found = wrong(connection, &[path]);
        let fields: Vec<_> = found.iter().map(|(field, _)| &**field).collect();
        assert_eq!(fields, [field], "{path}: {found:?}");
    }
}

#[test]
fn an_extra_field_is_none_that_the_contract_or_chartbrew_has() {
    for name in [
        "id",
        "team_id",
        "name",
        "subType",
        "password",
        "sslCa",
        "createdAt",
        "__proto__",
    ] {
        let mut connection = full();
        connection.extra_fields = object(name, Kind::NumberValue(2.0));
        let found = wrong(connection, &["extra_fields"]);
        assert!(
            found
                .iter()
                .any(|(field, _)| *field == format!("connection.extra_fields.{name}")),
            "{name}: {found:?}"
        );
    }
    let nothing = wrong(proto::NewConnection::default(), &["extra_fields"]);
    assert_eq!(nothing[0].0, "connection.extra_fields");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let mut request = request(full(), &["*", "name", "host"]);
    request.team_id = 0;
    request.connection_id = -1;
    let connection = request.connection.as_mut().unwrap();
    connection.name.clear();
    connection.host = None;
    let violations = update(request, &Limits::default()).unwrap_err();
    let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
    let expected = [
        "team_id",
        "connection_id",
        "update_mask.paths[0]",
        NAME,
        "connection.host",
    ];
    assert_eq!(fields, expected);
}

#[test]
fn a_body_over_the_limit_is_too_large() {
    let mut connection = full();
    connection.host = Some("h".repeat(102_400));
    let violations = update(request(connection, &["host"]), &Limits::default()).unwrap_err();
    assert!(violations.only_too_large());
}
