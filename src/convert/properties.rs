//! Properties that hold for every value, tried with many.

use proptest::{collection, option, prelude::*};
use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::{chartbrew::types, proto};

// === strategies ===

fn number() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![
        any::<i32>().prop_map(f64::from),
        (-(1_i64 << 53)..=(1_i64 << 53)).prop_map(|whole| whole as f64),
        POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO,
    ]
}

fn kind() -> impl Strategy<Value = ProtoValue> + Clone {
    let leaves = prop_oneof![
        Just(Kind::NullValue(0)),
        any::<bool>().prop_map(Kind::BoolValue),
        number().prop_map(Kind::NumberValue),
        any::<String>().prop_map(Kind::StringValue),
    ]
    .prop_map(|kind| ProtoValue { kind: Some(kind) });
    leaves.prop_recursive(5, 32, 4, |inner| {
        prop_oneof![array(inner.clone()), object(inner)]
    })
}

fn array(inner: impl Strategy<Value = ProtoValue>) -> impl Strategy<Value = ProtoValue> {
    collection::vec(inner, 0..4).prop_map(|values| ProtoValue {
        kind: Some(Kind::ListValue(ListValue { values })),
    })
}

fn object(inner: impl Strategy<Value = ProtoValue>) -> impl Strategy<Value = ProtoValue> {
    fields(inner).prop_map(|fields| ProtoValue {
        kind: Some(Kind::StructValue(fields)),
    })
}

fn fields(inner: impl Strategy<Value = ProtoValue>) -> impl Strategy<Value = Struct> {
    collection::btree_map(any::<String>(), inner, 0..4).prop_map(|fields| Struct {
        fields: fields.into_iter().collect(),
    })
}

fn text() -> impl Strategy<Value = Option<String>> {
    option::of(any::<String>())
}

fn authentication() -> impl Strategy<Value = proto::Authentication> {
    (1..=2, text(), text(), text()).prop_map(|(kind, token, user, pass)| proto::Authentication {
        r#type: kind,
        token,
        user,
        pass,
    })
}

fn ssh() -> impl Strategy<Value = proto::SshTunnel> {
    let port = || option::of(1..=65_535_i32);
    (
        any::<Option<bool>>(),
        text(),
        port(),
        text(),
        text(),
        text(),
        text(),
        port(),
    )
        .prop_map(
            |(enabled, host, port, username, password, passphrase, jump_host, jump_port)| {
                proto::SshTunnel {
                    enabled,
                    host,
                    port,
                    username,
                    password,
                    passphrase,
                    jump_host,
                    jump_port,
                    ..Default::default()
                }
            },
        )
}

/// A connection that is valid by construction.
fn new_connection() -> impl Strategy<Value = proto::NewConnection> {
    let names = (".{1,255}", 1..=11, 0..=17, 0..=5);
    let texts = (text(), text(), text(), text(), text(), text());
    let flags = any::<[Option<bool>; 3]>();
    let json = (
        option::of(prop_oneof![array(kind()), object(kind())]),
        option::of(fields(kind())),
        option::of(fields(kind())),
        collection::btree_map("x[a-zA-Z_]*", kind(), 0..3),
    );
    let ids = collection::vec(prop_oneof!["[1-9][0-9]{0,20}", ".{1,8}"], 0..4);
    let messages = (
        option::of(authentication()),
        option::of(ssh()),
        any::<Option<u128>>(),
    );
    (names, texts, flags, json, ids, messages).prop_map(
        |(
            (name, r#type, sub_type, ssl_mode),
            (host, port, db_name, username, password, connection_string),
            [srv, ssl, active],
            (options, schema, firebase_service_account, extra),
            project_ids,
            (authentication, ssh, oauth_id),
        )| proto::NewConnection {
            name,
            r#type,
            sub_type,
            host,
            port,
            db_name,
            username,
            password,
            options,
            connection_string,
            srv,
            authentication,
            firebase_service_account,
            ssl,
            ssl_mode,
            schema,
            project_ids,
            active,
            oauth_id: oauth_id.map(|id| Uuid::from_u128(id).to_string()),
            ssh: ssh.filter(|ssh| *ssh != proto::SshTunnel::default()),
            extra_fields: (!extra.is_empty()).then(|| Struct {
                fields: extra.into_iter().collect(),
            }),
        },
    )
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53)..=(1_i64 << 53)).prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_filter_map("whole", |number| {
            (number.fract() != 0.0).then(|| Value::from(number))
        }),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|object| Value::Object(object.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

// === properties ===

proptest! {
    #[test]
    fn json_survives_the_way_through_proto(given in json_value()) {
        let back = json::from_value(json::to_value(given.clone()), json::MAX_NESTING);
        prop_assert_eq!(back, Ok(given));
    }

    #[test]
    fn proto_values_survive_the_way_through_json_text(given in kind()) {
        let json = json::from_value(given.clone(), json::MAX_NESTING).unwrap();
        let read: Value = serde_json::from_str(&json.to_string()).unwrap();
        prop_assert_eq!(json::to_value(read), given);
    }

    #[test]
    fn what_is_sent_comes_back(team_id in 1..=i32::MAX, new in new_connection()) {
        let request = proto::CreateRequest {
            team_id,
            connection: Some(Box::new(new.clone())),
            ..Default::default()
        };
        let create = create(request, &Limits::default()).unwrap();
        let mut body: Value = serde_json::from_slice(create.body.json()).unwrap();
        body["id"] = json!(1);
        let row = types::Connection::from_json(body.to_string().as_bytes()).unwrap();
        let expected = proto::Connection {
            id: 1,
            team_id,
            project_ids: new.project_ids,
            oauth_id: new.oauth_id,
            name: Some(new.name),
            r#type: new.r#type,
            sub_type: new.sub_type,
            active: new.active,
            host: new.host,
            db_name: new.db_name,
            port: new.port,
            username: new.username,
            password: new.password,
            srv: new.srv,
            options: new.options,
            connection_string: new.connection_string,
            authentication: new.authentication,
            firebase_service_account: new.firebase_service_account,
            ssl: new.ssl,
            ssl_mode: new.ssl_mode,
            schema: new.schema,
            ssh: new.ssh,
            extra_fields: new.extra_fields,
            ..Default::default()
        };
        prop_assert!(connection(row) == expected);
    }

    #[test]
    fn no_request_makes_the_mapping_panic(bytes: Vec<u8>) {
        if let Ok(request) = <proto::CreateRequest as prost::Message>::decode(&*bytes) {
            let _ = create(request, &Limits::default());
        }
    }

    #[test]
    fn every_row_can_be_mapped(fields in json_value(), id in 1..=i32::MAX) {
        let mut row = json!({"id": id, "options": fields, "authentication": fields, "x": fields});
        for field in types::fields().filter(|field| field.rest != types::names::ID) {
            if let Some(object) = row.as_object_mut() {
                object.entry(field.rest).or_insert_with(|| fields.clone());
            }
        }
        let row = types::Connection::from_json(row.to_string().as_bytes()).unwrap();
        prop_assert_eq!(connection(row).id, id);
    }
}
