//! Every row that the real Chartbrew was recorded to answer maps to the contract and back without
//! losing a key. The way back is written here, from a table of its own.

use chartbrew_gateway::{
    chartbrew::types::{self, ConnectionList, CreateBody, NewConnection, RowMatch, View},
    convert, proto,
};
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Value, json};

const RECORDED: &str = include_str!("../../sandbox/tests/it/recorded.json");

struct Exchange {
    name: String,
    sent: Value,
    response: Value,
}

/// The recorded exchanges that were answered 200 with JSON.
fn answered() -> Vec<Exchange> {
    let recorded: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    let answered = recorded
        .into_iter()
        .filter(|exchange| exchange["response"]["status"] == 200);
    answered
        .map(|exchange| Exchange {
            name: exchange["name"].as_str().unwrap().to_owned(),
            sent: exchange["request"]["body"].clone(),
            response: exchange["response"]["json"].clone(),
        })
        .filter(|exchange| !exchange.response.is_null())
        .collect()
}

/// The rows of a response, one or many.
fn rows(exchange: &Exchange) -> Vec<Value> {
    match &exchange.response {
        Value::Array(rows) => rows.clone(),
        row if row.get("id").is_some() => vec![row.clone()],
        _ => Vec::new(),
    }
}

// === the way back ===

fn json_of(value: ProtoValue) -> Value {
    match value.kind.unwrap() {
        Kind::NullValue(_) => Value::Null,
        Kind::BoolValue(flag) => flag.into(),
        Kind::NumberValue(number) => number.into(),
        Kind::StringValue(text) => text.into(),
        Kind::ListValue(list) => list.values.into_iter().map(json_of).collect(),
        Kind::StructValue(object) => object_of(object).into(),
    }
}

fn object_of(object: Struct) -> Map<String, Value> {
    let fields = object.fields.into_iter();
    fields.map(|(key, value)| (key, json_of(value))).collect()
}

/// `CONNECTION_TYPE_GOOGLE_ANALYTICS` → `googleAnalytics`.
fn camel(name: &str, prefix: &str) -> String {
    let words = name.strip_prefix(prefix).unwrap().to_lowercase();
    let mut words = words.split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |text, word| {
        text + &word[..1].to_uppercase() + &word[1..]
    })
}

fn text_of(time: Option<prost_types::Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// The contract's message as REST has it. Unset fields are null.
fn back(message: proto::Connection) -> Value {
    let ssl_mode = message.ssl_mode().as_str_name().strip_prefix("SSL_MODE_");
    let ssl_mode = ssl_mode.unwrap().to_lowercase().replace('_', "-");
    let sub_type = camel(message.sub_type().as_str_name(), "CONNECTION_SUB_TYPE_");
    let kind = camel(message.r#type().as_str_name(), "CONNECTION_TYPE_");
    let known = |text: String| (text != "unspecified").then_some(text);
    let ssh = message.ssh.unwrap_or_default();
    let extra = message.extra_fields.map(object_of).unwrap_or_default();
    let authentication = message.authentication.map(|auth| {
        let kind = match auth.r#type() {
            proto::AuthenticationType::BearerToken => Some("bearer_token"),
            proto::AuthenticationType::BasicAuth => Some("basic_auth"),
            proto::AuthenticationType::Unspecified => None,
        };
        json!({"type": kind, "token": auth.token, "user": auth.user, "pass": auth.pass})
    });
    let mut rest = json!({
        "id": message.id,
        "team_id": message.team_id,
        "project_ids": message.project_ids,
        "oauth_id": message.oauth_id,
        "name": message.name,
        "type": known(kind),
        "subType": known(sub_type),
        "active": message.active,
        "host": message.host,
        "dbName": message.db_name,
        "port": message.port,
        "username": message.username,
        "password": message.password,
        "srv": message.srv,
        "options": message.options.map(json_of),
        "connectionString": message.connection_string,
        "authentication": authentication,
        "firebaseServiceAccount": message.firebase_service_account.map(object_of),
        "ssl": message.ssl,
        "sslMode": known(ssl_mode),
        "sslCa": message.ssl_ca,
        "sslCert": message.ssl_cert,
        "sslKey": message.ssl_key,
        "schema": message.schema.map(object_of),
        "useSsh": ssh.enabled,
        "sshHost": ssh.host,
        "sshPort": ssh.port,
        "sshUsername": ssh.username,
        "sshJumpHost": ssh.jump_host,
        "sshJumpPort": ssh.jump_port,
        "hasSshPassword": ssh.has_password,
        "hasSshPrivateKey": ssh.has_private_key,
        "hasSshPassphrase": ssh.has_passphrase,
        "createdAt": text_of(message.create_time),
        "updatedAt": text_of(message.update_time),
    });
    for (name, value) in extra {
        match (&mut rest[&name], value) {
            (Value::Object(place), Value::Object(more)) => place.extend(more),
            (place, value) => *place = value,
        }
    }
    rest
}

/// Equal, but for what the contract does not tell apart: numbers by value, a time by its instant,
/// a project id by its digits, a null key from an absent one.
fn same(name: &str, rest: &Value, back: &Value) -> bool {
    match (rest, back) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Number(a), Value::String(b)) if name == "project_ids" => a.to_string() == *b,
        (Value::Null, Value::Array(ids)) if name == "project_ids" => ids.is_empty(),
        (Value::String(a), Value::String(b)) if name.ends_with("edAt") => {
            let time = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
            time(a) == time(b)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(name, a, b))
        }
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).all(|key| {
            let value = |object: &Map<_, _>| object.get(key).cloned().unwrap_or_default();
            same(key, &value(a), &value(b))
        }),
        (a, b) => a == b,
    }
}

// === promises ===

#[test]
fn no_key_of_a_recorded_row_is_lost() {
    let mut seen = 0;
    for exchange in answered() {
        for row in rows(&exchange) {
            let parsed = types::Connection::from_json(row.to_string().as_bytes()).unwrap();
            let back = back(convert::connection(parsed));
            for (name, value) in row.as_object().unwrap() {
                let kept = back.get(name);
                assert!(kept.is_some(), "{}: {name} is lost", exchange.name);
                let agree = same(name, value, kept.unwrap());
                assert!(agree, "{}: {name}: {value} became {kept:?}", exchange.name);
            }
            for (name, value) in back.as_object().unwrap() {
                let made_up = row.get(name).is_none() && !value.is_null() && *value != json!([]);
                assert!(!made_up, "{}: {name}: {value} is made up", exchange.name);
            }
            seen += 1;
        }
    }
    assert!(seen >= 40, "only {seen} rows were recorded?");
}

#[test]
fn null_fields_that_are_not_modelled_are_kept() {
    let list = answered()
        .into_iter()
        .find(|one| one.name == "list")
        .unwrap();
    let list = ConnectionList::from_json(list.response.to_string().as_bytes()).unwrap();
    assert_eq!((list.rows.len(), list.skipped), (4, 0));
    for row in list.rows {
        let extra = convert::connection(row).extra_fields.map(object_of);
        assert_eq!(
            extra.map(Value::Object),
            Some(json!({"OAuth": null, "allowPrivateHost": null}))
        );
    }
}

#[test]
fn the_documented_sample_is_accepted_and_goes_out_as_documented() {
    let sample = answered()
        .into_iter()
        .find(|one| one.name == "create_docs_sample")
        .unwrap();
    let text = || Some("<string>".to_owned());
    let request = proto::CreateRequest {
        team_id: 123,
        connection: Some(Box::new(proto::NewConnection {
            name: "<string>".to_owned(),
            r#type: proto::ConnectionType::Mongodb.into(),
            sub_type: proto::ConnectionSubType::Timescaledb.into(),
            host: text(),
            port: text(),
            username: text(),
            password: text(),
            options: Some(ProtoValue {
                kind: Some(Kind::StructValue(Struct::default())),
            }),
            authentication: Some(proto::Authentication {
                r#type: proto::AuthenticationType::BearerToken.into(),
                token: text(),
                user: text(),
                pass: text(),
            }),
            firebase_service_account: Some(Struct::default()),
            ssl: Some(false),
            ssl_mode: proto::SslMode::Require.into(),
            schema: Some(Struct::default()),
            ..Default::default()
        })),
        ..Default::default()
    };
    let create = convert::create(request, &convert::Limits::default()).unwrap();
    let sent: Value = serde_json::from_slice(create.body.json()).unwrap();
    assert_eq!(sent, sample.sent);
}

#[test]
fn a_listed_row_is_recognised_by_what_was_sent() {
    let list = answered()
        .into_iter()
        .find(|one| one.name == "list")
        .unwrap();
    let list = ConnectionList::from_json(list.response.to_string().as_bytes()).unwrap();
    let sent = NewConnection {
        team_id: 1,
        name: "dup".to_owned(),
        kind: "mongodb",
        ..NewConnection::default()
    };
    let body = CreateBody::try_new(sent).unwrap();
    let same = |row: &&types::Connection| body.compare(row, View::List) == RowMatch::Match;
    let found: Vec<_> = list.rows.iter().filter(same).map(|row| row.id).collect();
    assert_eq!(
        found,
        [31, 32],
        "create_duplicate_1 and _2, and no other row"
    );
}
