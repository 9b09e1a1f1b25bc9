//! What the REST API calls things → the contract's messages. Written here by hand, so that the
//! gateway's own table is not compared with itself.

use chartbrew_gateway::proto::{
    Authentication, AuthenticationType, ConnectionSubType, ConnectionType, NewConnection,
    SshTunnel, SslMode,
};
use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Value};

/// What REST calls a field → its path in an update's mask. What is in neither list is an extra
/// field.
pub(super) const PATHS: [(&str, &str); 27] = [
    ("name", "name"),
    ("type", "type"),
    ("subType", "sub_type"),
    ("host", "host"),
    ("port", "port"),
    ("dbName", "db_name"),
    ("username", "username"),
    ("password", "password"),
    ("options", "options"),
    ("connectionString", "connection_string"),
    ("srv", "srv"),
    ("authentication", "authentication"),
    ("firebaseServiceAccount", "firebase_service_account"),
    ("ssl", "ssl"),
    ("sslMode", "ssl_mode"),
    ("schema", "schema"),
    ("project_ids", "project_ids"),
    ("active", "active"),
    ("oauth_id", "oauth_id"),
    ("useSsh", "ssh.enabled"),
    ("sshHost", "ssh.host"),
    ("sshPort", "ssh.port"),
    ("sshUsername", "ssh.username"),
    ("sshPassword", "ssh.password"),
    ("sshPassphrase", "ssh.passphrase"),
    ("sshJumpHost", "ssh.jump_host"),
    ("sshJumpPort", "ssh.jump_port"),
];

/// Fields that the contract has elsewhere: in the request, or among its files.
const ELSEWHERE: [&str; 2] = ["team_id", "sshPrivateKey"];

/// The path of a mask for what REST calls so.
pub(super) fn path(rest: &str) -> &'static str {
    let path = PATHS.iter().find(|(name, _)| *name == rest);
    path.map_or("extra_fields", |(_, path)| path)
}

/// The message of a REST body. Null is unset, but for the options, which may be null.
pub(super) fn new_connection(body: &Map<String, Value>) -> NewConnection {
    let text = |name: &str| body.get(name)?.as_str().map(str::to_owned);
    let flag = |name: &str| body.get(name)?.as_bool();
    let number = |name: &str| i32::try_from(body.get(name)?.as_i64()?).ok();
    let object = |name: &str| body.get(name)?.as_object().map(structure);
    let named = |prefix: &str, name: &str| {
        let text = body.get(name)?.as_str()?;
        Some(enum_name(prefix, text))
    };
    let of_ssh = body.keys().any(|name| path(name).starts_with("ssh."));
    let kind = named("CONNECTION_TYPE", "type");
    let sub_type = named("CONNECTION_SUB_TYPE", "subType");
    let ssl_mode = named("SSL_MODE", "sslMode");
    let authentication = body.get("authentication").and_then(Value::as_object);
    let ids = body.get("project_ids").and_then(Value::as_array);
    let extra: Map<_, _> = body
        .iter()
        .filter(|(name, _)| path(name) == "extra_fields" && !ELSEWHERE.contains(&&***name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    NewConnection {
        name: text("name").unwrap_or_default(),
        r#type: kind.map_or(0, |name| {
            ConnectionType::from_str_name(&name).unwrap().into()
        }),
        sub_type: sub_type.map_or(0, |name| {
            ConnectionSubType::from_str_name(&name).unwrap().into()
        }),
        host: text("host"),
        port: text("port"),
        db_name: text("dbName"),
        username: text("username"),
        password: text("password"),
        options: body.get("options").map(value),
        connection_string: text("connectionString"),
        srv: flag("srv"),
        authentication: authentication.map(authentication_of),
        firebase_service_account: object("firebaseServiceAccount"),
        ssl: flag("ssl"),
        ssl_mode: ssl_mode.map_or(0, |name| SslMode::from_str_name(&name).unwrap().into()),
        schema: object("schema"),
        project_ids: ids.into_iter().flatten().map(digits).collect(),
        active: flag("active"),
        oauth_id: text("oauth_id"),
        ssh: of_ssh.then(|| SshTunnel {
            enabled: flag("useSsh"),
            host: text("sshHost"),
            port: number("sshPort"),
            username: text("sshUsername"),
            password: text("sshPassword"),
            passphrase: text("sshPassphrase"),
            jump_host: text("sshJumpHost"),
            jump_port: number("sshJumpPort"),
            ..SshTunnel::default()
        }),
        extra_fields: (!extra.is_empty()).then(|| structure(&extra)),
    }
}

fn authentication_of(object: &Map<String, Value>) -> Authentication {
    let text = |name: &str| object.get(name)?.as_str().map(str::to_owned);
    let kind = enum_name("AUTHENTICATION_TYPE", &text("type").unwrap());
    Authentication {
        r#type: AuthenticationType::from_str_name(&kind).unwrap().into(),
        token: text("token"),
        user: text("user"),
        pass: text("pass"),
    }
}

/// A project's id, a number or a text.
pub(super) fn digits(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// `verify-full` → `SSL_MODE_VERIFY_FULL`, `googleAnalytics` → `…_GOOGLE_ANALYTICS`.
fn enum_name(prefix: &str, text: &str) -> String {
    let mut name = format!("{prefix}_");
    for character in text.chars() {
        match character {
            '-' => name.push('_'),
            upper if upper.is_ascii_uppercase() => name.extend(['_', upper]),
            other => name.push(other.to_ascii_uppercase()),
        }
    }
    name
}

pub(super) fn structure(object: &Map<String, Value>) -> Struct {
    let fields = object.iter();
    Struct {
        fields: fields
            .map(|(key, json)| (key.clone(), value(json)))
            .collect(),
    }
}

pub(super) fn value(json: &Value) -> ProtoValue {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(values) => Kind::ListValue(ListValue {
            values: values.iter().map(value).collect(),
        }),
        Value::Object(object) => Kind::StructValue(structure(object)),
    };
    ProtoValue { kind: Some(kind) }
}
