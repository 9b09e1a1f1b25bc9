//! Tests of the mapping, in both directions.

use prost::Message as _;
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};
use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind as ValueKind};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    chartbrew::types::{self, Create, names},
    proto,
};

/// A request with what is required and nothing else.
fn minimal() -> proto::CreateRequest {
    proto::CreateRequest {
        team_id: 1,
        connection: Some(Box::new(proto::NewConnection {
            name: "m".to_owned(),
            r#type: proto::ConnectionType::Mongodb.into(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn with(change: impl FnOnce(&mut proto::NewConnection)) -> proto::CreateRequest {
    let mut request = minimal();
    change(request.connection.as_mut().unwrap());
    request
}

fn accept(request: proto::CreateRequest) -> Create {
    create(request, &Limits::default()).unwrap_or_else(|violations| panic!("{violations}"))
}

/// The JSON that goes upstream.
fn sent(request: proto::CreateRequest) -> Value {
    serde_json::from_slice(accept(request).body.json()).unwrap()
}

fn refuse(request: proto::CreateRequest) -> Violations {
    create(request, &Limits::default()).unwrap_err()
}

/// The one field that is refused.
fn refused_field(request: proto::CreateRequest) -> String {
    let violations = refuse(request);
    let fields: Vec<_> = violations.iter().map(|one| one.field.clone()).collect();
    assert_eq!(fields.len(), 1, "{violations}");
    fields.concat()
}

fn value(json: Value) -> ProtoValue {
    json::to_value(json)
}

fn fields(json: Value) -> Struct {
    match value(json).kind {
        Some(ValueKind::StructValue(fields)) => fields,
        other => panic!("no object: {other:?}"),
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn response(json: &Value) -> proto::Connection {
    connection(types::Connection::from_json(json.to_string().as_bytes()).unwrap())
}

// === what is sent ===

#[test]
fn only_what_is_set_is_sent() {
    assert_eq!(
        sent(minimal()),
        json!({"name": "m", "type": "mongodb", "team_id": 1})
    );
    let unset = with(|new| {
        new.options = Some(ProtoValue { kind: None });
        new.ssh = Some(proto::SshTunnel::default());
        new.extra_fields = Some(Struct::default());
    });
    assert_eq!(sent(unset), sent(minimal()));
}

#[test]
fn every_field_goes_under_its_rest_name() {
    let request = with(|new| {
        *new = proto::NewConnection {
            name: "<string>".to_owned(),
            r#type: proto::ConnectionType::Mongodb.into(),
            sub_type: proto::ConnectionSubType::Timescaledb.into(),
            host: some("h"),
            port: some("<string>"),
            db_name: some("d"),
            username: some("u"),
            password: some("p"),
            options: Some(value(json!([{"X-Api-Key": "k"}]))),
            connection_string: some("c"),
            srv: Some(false),
            authentication: Some(proto::Authentication {
                r#type: proto::AuthenticationType::BearerToken.into(),
                token: some("t"),
                user: some("us"),
                pass: some("pa"),
            }),
            firebase_service_account: Some(fields(json!({"project_id": "x"}))),
            ssl: Some(true),
            ssl_mode: proto::SslMode::VerifyCa.into(),
            schema: Some(Struct::default()),
            project_ids: vec!["1".to_owned()],
            active: Some(true),
            oauth_id: some("123E4567-E89B-42D3-A456-426614174000"),
            ssh: Some(proto::SshTunnel {
                enabled: Some(true),
                host: some("sh"),
                port: Some(22),
                username: some("su"),
                password: some("sp"),
                passphrase: some("spp"),
                jump_host: some("j"),
                jump_port: Some(23),
                ..Default::default()
            }),
            extra_fields: Some(fields(json!({"allowPrivateHost": null, "future": 1.5}))),
        };
    });
    let expected = json!({
        "name": "<string>", "type": "mongodb", "subType": "timescaledb", "team_id": 1, "host": "h",
        "port": "<string>", "dbName": "d", "username": "u", "password": "p",
        "options": [{"X-Api-Key": "k"}], "connectionString": "c", "srv": false,
        "authentication": {"type": "bearer_token", "token": "t", "user": "us", "pass": "pa"},
        "firebaseServiceAccount": {"project_id": "x"}, "ssl": true, "sslMode": "verify-ca",
        "schema": {}, "project_ids": [1], "active": true,
        "oauth_id": "123e4567-e89b-42d3-a456-426614174000", "useSsh": true, "sshHost": "sh",
        "sshPort": 22, "sshUsername": "su", "sshPassword": "sp", "sshPassphrase": "spp",
        "sshJumpHost": "j", "sshJumpPort": 23, "allowPrivateHost": null, "future": 1.5,
    });
    assert_eq!(sent(request), expected);
}

#[test]
fn decimal_project_ids_go_as_numbers_and_others_as_text() {
    for (id, expected) in [
        ("1", json!(1)),
        ("0", json!(0)),
        ("2147483648", json!(2_147_483_648_u32)),
        ("9007199254740991", json!(9_007_199_254_740_991_u64)),
        // JavaScript would change these.
        ("9007199254740992", json!("9007199254740992")),
        ("99999999999999999999", json!("99999999999999999999")),
        ("01", json!("01")),
        ("+1", json!("+1")),
        ("-1", json!("-1")),
        ("1.0", json!("1.0")),
        (" 1", json!(" 1")),
        ("١", json!("١")),
        ("abc", json!("abc")),
    ] {
        let body = sent(with(|new| new.project_ids = vec![id.to_owned()]));
        assert_eq!(body["project_ids"], json!([expected]), "{id}");
    }
}

#[test]
fn null_options_are_sent_as_null() {
    let body = sent(with(|new| new.options = Some(value(Value::Null))));
    assert_eq!(body.get("options"), Some(&Value::Null));
}

#[test]
fn whole_numbers_are_written_as_integers() {
    let options = json!({"a": [1.0, -1.0, 1.5, 9_007_199_254_740_992.0, 1e300, 0.1]});
    let request = with(|new| new.options = Some(value(options)));
    let body = accept(request).body;
    let text = std::str::from_utf8(body.json()).unwrap();
    assert!(
        text.contains(r#"[1,-1,1.5,9007199254740992,1e+300,0.1]"#)
            || text.contains("[1,-1,1.5,9007199254740992,1e300,0.1]"),
        "{text}"
    );
}

#[test]
fn texts_that_chartbrew_takes_are_let_through() {
    for text in ["", " ", "\0", "é\n\u{1F600}", ":8080/path"] {
        let body = sent(with(|new| {
            new.port = some(text);
            new.host = some(text);
        }));
        assert_eq!((&body["port"], &body["host"]), (&json!(text), &json!(text)));
    }
    for name in [" ", "\n", &"é".repeat(255), &"\u{1F600}".repeat(255)] {
        assert_eq!(sent(with(|new| new.name = name.to_owned()))["name"], name);
    }
}

#[test]
fn the_request_id_is_a_uuid_in_any_case() {
    let upper = "F47AC10B-58CC-4372-A567-0E02B2C3D479";
    for id in [upper, &upper.to_lowercase()] {
        let request = proto::CreateRequest {
            request_id: some(id),
            ..minimal()
        };
        assert_eq!(
            accept(request).request_id,
            Some(Uuid::try_parse(upper).unwrap())
        );
    }
    for id in ["", "x", "00000000-0000-0000-0000-000000000000"] {
        let request = proto::CreateRequest {
            request_id: some(id),
            ..minimal()
        };
        assert_eq!(refused_field(request), "request_id", "{id}");
    }
}

// === what is refused ===

#[test]
fn an_empty_request_is_told_all_that_is_required() {
    let all = |request| {
        let violations = refuse(request);
        violations
            .iter()
            .map(|one| one.field.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        all(proto::CreateRequest::default()),
        ["team_id", "connection"]
    );
    let request = proto::CreateRequest {
        connection: Some(Box::new(proto::NewConnection::default())),
        ..Default::default()
    };
    assert_eq!(
        all(request),
        ["team_id", "connection.name", "connection.type"]
    );
}

#[test]
fn all_violations_come_at_once_and_in_order() {
    let mut request = with(|new| {
        *new = proto::NewConnection {
            r#type: 99,
            sub_type: -1,
            options: Some(value(json!(5))),
            authentication: Some(proto::Authentication::default()),
            ssl_mode: 6,
            project_ids: vec!["1".to_owned(), String::new()],
            oauth_id: some("zzz"),
            ssh: Some(proto::SshTunnel {
                port: Some(0),
                jump_port: Some(65_536),
                has_password: Some(false),
                ..Default::default()
            }),
            extra_fields: Some(fields(json!({"id": 1, "x": 1}))),
            ..Default::default()
        };
    });
    request.team_id = -1;
    request.request_id = some("q");
    request.files = Some(proto::ConnectionFiles {
        ssl_ca: Some(bytes::Bytes::new()),
        ..Default::default()
    });
    let violations = refuse(request);
    let found: Vec<_> = violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(
        found,
        [
            "team_id",
            "connection.name",
            "connection.type",
            "connection.sub_type",
            "connection.options",
            "connection.authentication.type",
            "connection.ssl_mode",
            "connection.project_ids[1]",
            "connection.oauth_id",
            "connection.ssh.port",
            "connection.ssh.jump_port",
            "connection.ssh.has_password",
            "connection.extra_fields.id",
            "request_id",
            "files.ssl_ca",
        ]
    );
    assert!(!violations.only_too_large());
    for one in &violations {
        assert!(
            !one.description.ends_with('.') && one.description.len() < 600,
            "{one}"
        );
    }
}

#[test]
fn a_name_has_1_to_255_characters() {
    for name in [String::new(), "n".repeat(256), "é".repeat(256)] {
        assert_eq!(
            refused_field(with(|new| new.name = name.clone())),
            "connection.name"
        );
    }
}

#[test]
fn options_are_an_object_an_array_or_null() {
    for wrong in [json!(1), json!("text"), json!(true)] {
        let request = with(|new| new.options = Some(value(wrong)));
        assert_eq!(refused_field(request), "connection.options");
    }
}

#[test]
fn values_that_are_no_json_are_refused_where_they_are() {
    let number = |number| ProtoValue {
        kind: Some(ValueKind::NumberValue(number)),
    };
    for bad in [
        number(f64::NAN),
        number(f64::NEG_INFINITY),
        ProtoValue { kind: None },
    ] {
        let mut object = Struct::default();
        let list = ListValue {
            values: vec![value(json!(1)), bad],
        };
        let list = ProtoValue {
            kind: Some(ValueKind::ListValue(list)),
        };
        object.fields.insert("a".to_owned(), list);
        let whole = ProtoValue {
            kind: Some(ValueKind::StructValue(object.clone())),
        };
        for (request, path) in [
            (
                with(|new| new.options = Some(whole)),
                "connection.options.a[1]",
            ),
            (
                with(|new| new.schema = Some(object.clone())),
                "connection.schema.a[1]",
            ),
            (
                with(|new| new.firebase_service_account = Some(object.clone())),
                "connection.firebase_service_account.a[1]",
            ),
            (
                with(|new| new.extra_fields = Some(object.clone())),
                "connection.extra_fields.a[1]",
            ),
        ] {
            assert_eq!(refused_field(request), path);
        }
    }
}

#[test]
fn nesting_is_limited() {
    let nested = |levels| (1..levels).fold(json!([]), |inner, _| json!([inner]));
    assert!(
        create(
            with(|new| new.options = Some(raw(&nested(30)))),
            &Limits::default()
        )
        .is_ok()
    );
    let path = refused_field(with(|new| new.options = Some(raw(&nested(31)))));
    assert!(path.starts_with("connection.options[0][0]"), "{path}");
    assert!(path.chars().count() <= 129, "{path}");
    // A caller builds messages without our limits; only a decoder stops it.
    refused_field(with(|new| new.options = Some(raw(&nested(1000)))));
}

/// The message of a value without any limit.
fn raw(json: &Value) -> ProtoValue {
    match json {
        Value::Array(values) => ProtoValue {
            kind: Some(ValueKind::ListValue(ListValue {
                values: values.iter().map(raw).collect(),
            })),
        },
        other => value(other.clone()),
    }
}

#[test]
fn extra_fields_hold_nothing_that_the_contract_models() {
    let reserved = types::fields().map(|field| field.rest).chain(["__proto__"]);
    for name in reserved {
        let request = with(|new| new.extra_fields = Some(fields(json!({name: null}))));
        assert_eq!(
            refused_field(request),
            format!("connection.extra_fields.{name}")
        );
    }
    let near = json!({"Name": 1, "subtype": 2, "sub_type": 3, "OAuth": null, "": 4});
    let body = sent(with(|new| new.extra_fields = Some(fields(near.clone()))));
    for (name, value) in near.as_object().unwrap() {
        assert_eq!(&body[name], value);
    }
}

#[test]
fn texts_that_chartbrew_encrypts_are_limited() {
    type Set = fn(&mut proto::NewConnection, Option<String>);
    let setters: [(&str, Set); 10] = [
        ("port", |new, text| new.port = text),
        ("db_name", |new, text| new.db_name = text),
        ("username", |new, text| new.username = text),
        ("password", |new, text| new.password = text),
        ("connection_string", |new, text| {
            new.connection_string = text
        }),
        ("ssh.host", |new, text| {
            new.ssh.get_or_insert_default().host = text
        }),
        ("ssh.username", |new, text| {
            new.ssh.get_or_insert_default().username = text
        }),
        ("ssh.password", |new, text| {
            new.ssh.get_or_insert_default().password = text
        }),
        ("ssh.passphrase", |new, text| {
            new.ssh.get_or_insert_default().passphrase = text
        }),
        ("ssh.jump_host", |new, text| {
            new.ssh.get_or_insert_default().jump_host = text
        }),
    ];
    for (field, set) in setters {
        accept(with(|new| set(new, Some("x".repeat(32_735)))));
        let refused = refused_field(with(|new| set(new, Some("x".repeat(32_736)))));
        assert_eq!(refused, format!("connection.{field}"));
    }
    // {"x":"…"} takes 8 bytes more than the text.
    let options = |bytes: usize| value(json!({"x": "y".repeat(bytes - 8)}));
    accept(with(|new| new.options = Some(options(32_735))));
    let refused = refused_field(with(|new| new.options = Some(options(32_736))));
    assert_eq!(refused, "connection.options");
    let refused = refused_field(with(|new| {
        new.authentication = Some(proto::Authentication {
            r#type: 1,
            token: Some("x".repeat(32_735)),
            ..Default::default()
        });
    }));
    assert_eq!(refused, "connection.authentication");
    // Neither encrypted into a short column nor limited by itself.
    accept(with(|new| new.host = Some("x".repeat(60_000))));
}

#[test]
fn project_ids_fit_their_column() {
    // [1111111111,…]: 11 bytes an id, and the brackets.
    let ids = |count| vec!["1111111111".to_owned(); count];
    accept(with(|new| new.project_ids = ids(5957)));
    let refused = refused_field(with(|new| new.project_ids = ids(5958)));
    assert_eq!(refused, "connection.project_ids");
}

#[test]
fn a_body_over_the_limit_is_too_large() {
    let sized = |bytes: usize| {
        let empty = accept(with(|new| new.host = some(""))).body.json().len();
        with(|new| new.host = Some("x".repeat(bytes - empty)))
    };
    assert_eq!(accept(sized(102_400)).body.json().len(), 102_400);
    let violations = refuse(sized(102_401));
    assert!(violations.only_too_large());
    assert_eq!(violations.iter().next().unwrap().field, "connection");
    let mut wrong_too = sized(102_401);
    wrong_too.team_id = 0;
    assert!(!refuse(wrong_too).only_too_large());
}

#[test]
fn files_are_limited_and_never_empty() {
    let files = |bytes: usize| {
        let file = Some(bytes::Bytes::from(vec![b'x'; bytes]));
        proto::CreateRequest {
            files: Some(proto::ConnectionFiles {
                ssl_ca: file.clone(),
                ssl_cert: file.clone(),
                ssl_key: file.clone(),
                ssh_private_key: file,
            }),
            ..minimal()
        }
    };
    assert_eq!(accept(files(1_048_576)).files.iter().count(), 4);
    for (bytes, only_too_large) in [(1_048_577, true), (0, false)] {
        let violations = refuse(files(bytes));
        let found: Vec<_> = violations.iter().map(|one| one.field.as_str()).collect();
        let all = [
            "files.ssl_ca",
            "files.ssl_cert",
            "files.ssl_key",
            "files.ssh_private_key",
        ];
        assert_eq!(found, all);
        assert_eq!(violations.only_too_large(), only_too_large);
    }
    let none = proto::CreateRequest {
        files: Some(Default::default()),
        ..minimal()
    };
    assert!(accept(none).files.is_empty());
}

#[test]
fn no_message_repeats_a_secret() {
    let secret = "hush".repeat(10_000);
    let violations = refuse(with(|new| {
        new.password = Some(secret.clone());
        new.connection_string = Some(secret.clone());
        new.options = Some(value(json!({"hush-hush": f64::MAX, "x": secret})));
        new.authentication = Some(proto::Authentication {
            token: Some(secret.clone()),
            ..Default::default()
        });
        new.extra_fields = Some(fields(json!({"id": secret})));
    }));
    assert!(
        !format!("{violations} {violations:?}").contains("hush"),
        "{violations}"
    );
}

#[test]
fn the_number_of_violations_is_bounded() {
    let mut request = with(|new| new.project_ids = vec![String::new(); 100_000]);
    request.request_id = some("x");
    let violations = refuse(request);
    assert_eq!(violations.iter().count(), Violations::MAX);
    assert!(violations.omitted() > 0);
}

#[test]
fn a_long_value_is_named_in_brief() {
    let violations = refuse(with(|new| new.oauth_id = Some("é\n".repeat(1000))));
    assert!(violations.to_string().len() < 300, "{violations}");
    assert!(!violations.to_string().contains('\n'));
}

#[test]
fn every_rest_field_of_a_request_has_a_place_in_the_contract() {
    let only_answered = [
        names::ID,
        names::HAS_SSH_PASSWORD,
        names::HAS_SSH_PRIVATE_KEY,
        names::HAS_SSH_PASSPHRASE,
        names::CREATED_AT,
        names::UPDATED_AT,
    ];
    for field in types::fields() {
        assert_eq!(
            proto_field(field.rest).is_none(),
            only_answered.contains(&field.rest),
            "{field:?}"
        );
    }
    assert_eq!(proto_field("subType"), Some("connection.sub_type"));
    assert_eq!(proto_field("sshHost"), Some("connection.ssh.host"));
    assert_eq!(proto_field("PRIMARY"), None);
}

#[test]
fn the_secrets_of_the_table_are_those_of_the_contract() {
    let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).unwrap();
    let is_redacted = |field: &FieldDescriptor| {
        let options = field.options();
        let redact = options.get_field_by_name("debug_redact");
        redact.is_some_and(|redact| redact.as_bool().unwrap())
    };
    let in_contract = |message: &str, field: &str| {
        let message = format!("chartbrew.connection.v1.{message}");
        let message = pool.get_message_by_name(&message).unwrap();
        let field = message.get_field_by_name(field).unwrap();
        let keys = field.kind().as_message().cloned();
        let is_any_redacted = |keys: MessageDescriptor| keys.fields().any(|key| is_redacted(&key));
        if is_redacted(&field) {
            types::Secret::Yes
        } else if keys.is_some_and(is_any_redacted) {
            types::Secret::SomeKeys
        } else {
            types::Secret::No
        }
    };
    for field in types::fields() {
        let path = field.path.unwrap_or_default();
        if let Some(name) = path.strip_prefix("connection.ssh.") {
            assert_eq!(in_contract("SshTunnel", name), field.secret, "{path}");
        } else if let Some(name) = path.strip_prefix("connection.") {
            for message in ["NewConnection", "Connection"] {
                assert_eq!(in_contract(message, name), field.secret, "{path}");
            }
        }
    }
}

// === responses ===

#[test]
fn enum_texts_that_are_not_known_are_kept() {
    let row = response(&json!({
        "id": 1, "type": "oracle", "subType": "Mongodb", "sslMode": "", "team_id": 1,
        "authentication": {"type": "digest", "user": "u"},
    }));
    assert_eq!((row.r#type, row.sub_type, row.ssl_mode), (0, 0, 0));
    let kept = json!({
        "type": "oracle", "subType": "Mongodb", "sslMode": "", "authentication": {"type": "digest"},
    });
    assert_eq!(row.extra_fields, Some(fields(kept)));
    let auth = row.authentication.unwrap();
    assert_eq!((auth.r#type, auth.user.as_deref()), (0, Some("u")));
}

#[test]
fn authentication_loses_nothing() {
    for (given, left) in [
        (
            json!({"type": "basic_auth", "user": "u", "pass": "p"}),
            json!(null),
        ),
        (json!({}), json!(null)),
        (json!({"type": null, "token": null}), json!(null)),
        (
            json!({"type": "basic_auth", "user": 5, "extra": null}),
            json!({"authentication": {"user": 5, "extra": null}}),
        ),
        (json!("text"), json!({"authentication": "text"})),
    ] {
        let row = response(&json!({"id": 1, "authentication": given}));
        assert_eq!(row.authentication.is_some(), given.is_object(), "{given}");
        let left = left.is_object().then(|| fields(left));
        assert_eq!(row.extra_fields, left, "{given}");
    }
}

#[test]
fn ssh_is_set_where_any_of_its_fields_is() {
    assert_eq!(
        response(&json!({"id": 1, "useSsh": null, "sshHost": null})).ssh,
        None
    );
    let row = response(&json!({"id": 1, "useSsh": true, "sshPort": 22, "hasSshPassword": false}));
    let ssh = row.ssh.unwrap();
    assert_eq!(
        (ssh.enabled, ssh.port, ssh.has_password),
        (Some(true), Some(22), Some(false))
    );
    assert_eq!(ssh.host, None);
    assert_eq!(
        response(&json!({"id": 1, "hasSshPassphrase": false}))
            .ssh
            .unwrap()
            .enabled,
        None
    );
}

#[test]
fn times_keep_their_fraction() {
    for (text, seconds, nanos) in [
        ("2026-11-24T00:24:12.391Z", 1_795_479_852, 391_000_000),
        ("2026-11-24T00:24:12.000Z", 1_795_479_852, 0),
        ("1969-12-31T23:59:59.250Z", -1, 250_000_000),
        ("1969-12-31T23:59:59.000Z", -1, 0),
    ] {
        let row = response(&json!({"id": 1, "createdAt": text, "updatedAt": text}));
        let expected = Some(prost_types::Timestamp { seconds, nanos });
        assert_eq!(
            (&row.create_time, &row.update_time),
            (&expected, &expected),
            "{text}"
        );
    }
}

#[test]
fn a_row_that_shows_little_is_mapped_all_the_same() {
    let row = response(&json!({"id": 3, "team_id": null, "name": "n"}));
    assert_eq!(
        (row.id, row.team_id, row.name.as_deref()),
        (3, 0, Some("n"))
    );
    assert_eq!(row.extra_fields, None);
}

#[test]
fn what_is_too_deep_for_a_decoder_comes_as_json_text() {
    let nested = |levels| (0..levels).fold(json!("core"), |inner, _| json!({"k": inner}));
    for (levels, cut) in [(1, false), (30, false), (31, true), (120, true)] {
        let deep = nested(levels);
        let row = response(&json!({
            "id": 1, "x": deep, "options": deep, "schema": deep, "authentication": {"y": nested(levels - 1)},
        }));
        let response = proto::CreateResponse {
            connection: Some(Box::new(row.clone())),
        };
        // prost stops at 100 nested messages, as the decoders of other languages do.
        let decoded = proto::CreateResponse::decode(&*response.encode_to_vec());
        assert_eq!(decoded, Ok(response), "{levels}");
        let text = format!("{:?}", row.options);
        assert_eq!(text.contains("{\\\"k\\\":"), cut, "{levels}: {text}");
        assert!(text.contains("core"));
    }
}
