//! Any message of a caller's → the REST body that goes upstream, or what is wrong with it.

use std::collections::BTreeSet;

use chartbrew_gateway::{
    chartbrew::types::Create,
    convert::{self, Limits, Violations},
    proto::{ConnectionFiles, CreateRequest, NewConnection, SshTunnel},
};
use prost::Message;
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::resource;

/// Up to here every whole number is a double of its own: 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Limits that inputs of any size reach.
pub(super) const SMALL: Limits = Limits {
    name_chars: 4,
    body_bytes: 256,
    encrypted_text_bytes: 24,
    project_ids_bytes: 16,
    file_bytes: 4,
    nesting: 3,
};

/// Maps a message, within Chartbrew's limits and within some that inputs of any size reach.
///
/// # Panics
/// If a promise is broken.
pub fn run(data: &[u8]) {
    resource::run(data);
    let Ok(request) = CreateRequest::decode(data) else {
        return;
    };
    resource::update_of(&request, data);
    for limits in [Limits::default(), SMALL] {
        let result = convert::create(request.clone(), &limits);
        match &result {
            Ok(create) => is_what_was_asked_for(&request, create, &limits),
            Err(violations) => is_explained(violations),
        }
        let others = convert::create(with_other_secrets(request.clone()), &limits);
        assert!(
            result.err() == others.err(),
            "what is said depends on a secret"
        );
    }
}

/// Violations name a field of the contract and what to change.
pub(super) fn is_explained(violations: &Violations) {
    assert!(!violations.is_empty());
    assert!(violations.iter().count() <= Violations::MAX);
    for violation in violations {
        let root = violation.field.split(['.', '[']).next();
        let roots = [
            "team_id",
            "connection_id",
            "connection",
            "update_mask",
            "request_id",
            "files",
            "page_size",
            "page_token",
            "view",
        ];
        assert!(root.is_some_and(|root| roots.contains(&root)));
        assert!(!violation.description.is_empty());
        assert!(violation.description.len() < 1024);
    }
}

/// The body has what was asked for under the allowed names, and nothing else.
fn is_what_was_asked_for(request: &CreateRequest, create: &Create, limits: &Limits) {
    assert!(create.team > 0 && create.team == request.team_id);
    assert!(create.body.json().len() <= limits.body_bytes);
    assert!(create.request_id.is_none_or(|id| !id.is_nil()));
    assert_eq!(create.request_id.is_some(), request.request_id.is_some());
    for file in create.files.iter() {
        assert!((1..=limits.file_bytes).contains(&file.bytes.len()));
    }

    let body: Value = serde_json::from_slice(create.body.json()).expect("the body is JSON");
    let Value::Object(body) = body else {
        panic!("the body is an object");
    };
    let asked = request.connection.as_ref().expect("or it were refused");
    let names: BTreeSet<_> = body.keys().map(String::as_str).collect();
    assert_eq!(names, allowed(asked));

    assert_eq!(body["team_id"], request.team_id);
    assert_eq!(body["name"], *asked.name);
    assert!(asked.name.chars().count() <= limits.name_chars);
    texts(asked, &body);
    ids(asked, &body);
    for (name, value) in [
        ("firebaseServiceAccount", &asked.firebase_service_account),
        ("schema", &asked.schema),
    ] {
        assert!(value.as_ref().is_none_or(|v| is_object(v, &body[name])));
    }
    let options = asked.options.as_ref().filter(|value| value.kind.is_some());
    assert!(options.is_none_or(|options| is_value(options, &body["options"])));
    for (name, value) in asked.extra_fields.iter().flat_map(|extra| &extra.fields) {
        assert!(is_value(value, &body[name]));
    }
}

fn allowed(asked: &NewConnection) -> BTreeSet<&str> {
    let ssh = asked.ssh.clone().unwrap_or_default();
    let options = asked.options.as_ref().and_then(|value| value.kind.as_ref());
    let modelled = [
        ("name", true),
        ("type", true),
        ("team_id", true),
        ("subType", asked.sub_type != 0),
        ("host", asked.host.is_some()),
        ("port", asked.port.is_some()),
        ("dbName", asked.db_name.is_some()),
        ("username", asked.username.is_some()),
        ("password", asked.password.is_some()),
        ("options", options.is_some()),
        ("connectionString", asked.connection_string.is_some()),
        ("srv", asked.srv.is_some()),
        ("authentication", asked.authentication.is_some()),
        (
            "firebaseServiceAccount",
            asked.firebase_service_account.is_some(),
        ),
        ("ssl", asked.ssl.is_some()),
        ("sslMode", asked.ssl_mode != 0),
        ("schema", asked.schema.is_some()),
        ("project_ids", !asked.project_ids.is_empty()),
        ("active", asked.active.is_some()),
        ("oauth_id", asked.oauth_id.is_some()),
        ("useSsh", ssh.enabled.is_some()),
        ("sshHost", ssh.host.is_some()),
        ("sshPort", ssh.port.is_some()),
        ("sshUsername", ssh.username.is_some()),
        ("sshPassword", ssh.password.is_some()),
        ("sshPassphrase", ssh.passphrase.is_some()),
        ("sshJumpHost", ssh.jump_host.is_some()),
        ("sshJumpPort", ssh.jump_port.is_some()),
    ];
    let modelled = modelled
        .into_iter()
        .filter_map(|(name, is_set)| is_set.then_some(name));
    let extra = asked
        .extra_fields
        .iter()
        .flat_map(|extra| extra.fields.keys());
    modelled.chain(extra.map(String::as_str)).collect()
}

fn texts(asked: &NewConnection, body: &Map<String, Value>) {
    let ssh = asked.ssh.clone().unwrap_or_default();
    let authentication = asked.authentication.clone().unwrap_or_default();
    let within = &body.get("authentication").cloned().unwrap_or_default();
    for (text, value) in [
        (&asked.host, body.get("host")),
        (&asked.port, body.get("port")),
        (&asked.db_name, body.get("dbName")),
        (&asked.username, body.get("username")),
        (&asked.password, body.get("password")),
        (&asked.connection_string, body.get("connectionString")),
        (&ssh.host, body.get("sshHost")),
        (&ssh.username, body.get("sshUsername")),
        (&ssh.password, body.get("sshPassword")),
        (&ssh.passphrase, body.get("sshPassphrase")),
        (&ssh.jump_host, body.get("sshJumpHost")),
        (&authentication.token, within.get("token")),
        (&authentication.user, within.get("user")),
        (&authentication.pass, within.get("pass")),
    ] {
        assert_eq!(text.as_deref(), value.and_then(Value::as_str));
    }
}

fn ids(asked: &NewConnection, body: &Map<String, Value>) {
    if let Some(id) = &asked.oauth_id {
        let sent = body["oauth_id"]
            .as_str()
            .and_then(|id| id.parse::<Uuid>().ok());
        assert!(sent.is_some() && sent == Uuid::try_parse(id).ok());
    }
    let none = Vec::new();
    let ids = body
        .get("project_ids")
        .and_then(Value::as_array)
        .unwrap_or(&none);
    assert_eq!(ids.len(), asked.project_ids.len());
    for (sent, asked) in ids.iter().zip(&asked.project_ids) {
        let digits = asked.bytes().all(|byte| byte.is_ascii_digit());
        match sent {
            Value::Number(number) => assert!(digits && number.to_string() == *asked),
            other => assert_eq!(other, asked),
        }
    }
}

fn is_object(asked: &Struct, sent: &Value) -> bool {
    let fields = &asked.fields;
    let sent = sent.as_object().filter(|sent| sent.len() == fields.len());
    sent.is_some_and(|sent| {
        fields
            .iter()
            .all(|(key, value)| is_value(value, &sent[key]))
    })
}

/// The value as it was asked for; a whole number as one.
fn is_value(asked: &ProtoValue, sent: &Value) -> bool {
    match asked.kind.as_ref().expect("or it were refused") {
        Kind::NullValue(_) => sent.is_null(),
        Kind::BoolValue(flag) => sent == flag,
        Kind::StringValue(text) => sent == text,
        Kind::NumberValue(number) if number.fract() == 0.0 && number.abs() <= MAX_EXACT => {
            sent.as_i64().is_some_and(|sent| sent as f64 == *number)
        }
        Kind::NumberValue(number) => sent.as_f64() == Some(*number),
        Kind::StructValue(object) => is_object(object, sent),
        Kind::ListValue(list) => {
            let sent = sent
                .as_array()
                .filter(|sent| sent.len() == list.values.len());
            sent.is_some_and(|sent| list.values.iter().zip(sent).all(|(a, b)| is_value(a, b)))
        }
    }
}

// === the same request with other secrets ===

/// Every secret text has other letters and digits, and the same length, also as JSON.
fn with_other_secrets(mut request: CreateRequest) -> CreateRequest {
    if let Some(connection) = &mut request.connection {
        other_secrets(connection);
    }
    if let Some(files) = &mut request.files {
        let ConnectionFiles {
            ssl_ca,
            ssl_cert,
            ssl_key,
            ssh_private_key,
        } = files;
        for file in [ssl_ca, ssl_cert, ssl_key, ssh_private_key]
            .into_iter()
            .flatten()
        {
            *file = vec![b'x'; file.len()].into();
        }
    }
    request
}

/// The same of a connection.
pub(super) fn other_secrets(connection: &mut NewConnection) {
    for text in [&mut connection.password, &mut connection.connection_string] {
        other_text(text);
    }
    if let Some(authentication) = &mut connection.authentication {
        other_text(&mut authentication.token);
        other_text(&mut authentication.user);
        other_text(&mut authentication.pass);
    }
    if let Some(SshTunnel {
        password,
        passphrase,
        ..
    }) = &mut connection.ssh
    {
        other_text(password);
        other_text(passphrase);
    }
    connection.options.iter_mut().for_each(other_value);
    for object in [
        &mut connection.firebase_service_account,
        &mut connection.schema,
        &mut connection.extra_fields,
    ] {
        object.iter_mut().for_each(other_object);
    }
}

fn other(text: &str) -> String {
    let other = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            'x'
        } else {
            letter
        }
    };
    text.chars().map(other).collect()
}

fn other_text(text: &mut Option<String>) {
    if let Some(text) = text {
        *text = other(text);
    }
}

fn other_value(value: &mut ProtoValue) {
    match &mut value.kind {
        Some(Kind::StringValue(text)) => *text = other(text),
        Some(Kind::ListValue(list)) => list.values.iter_mut().for_each(other_value),
        Some(Kind::StructValue(object)) => other_object(object),
        Some(Kind::NullValue(_) | Kind::NumberValue(_) | Kind::BoolValue(_)) | None => {}
    }
}

fn other_object(object: &mut Struct) {
    object.fields.values_mut().for_each(other_value);
}
