//! The parts of a recorded request, as a call has them.

use chartbrew_gateway::proto::ConnectionFiles;
use chartbrew_sandbox::TOKEN;
use serde_json::{Map, Value, json};
use tonic::Request;

/// The token as it was sent.
pub(super) fn authorized<T>(name: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let token = match name {
        "auth_missing" => return request,
        "auth_bad" => "Bearer not-a-token".to_owned(),
        "auth_lowercase_bearer" => format!("bearer {TOKEN}"),
        "auth_no_scheme" => TOKEN.to_owned(),
        _ => format!("Bearer {TOKEN}"),
    };
    request
        .metadata_mut()
        .insert("authorization", token.parse().unwrap());
    request
}

/// The body, with what the recording cut made whole again.
pub(super) fn body(name: &str, recorded: &Value) -> Map<String, Value> {
    let long = |field: &str, n: usize| json!({ "name": "big", "type": "mongodb", field: { "x": "y".repeat(n) } });
    let body = match name {
        "body_150k" => long("schema", 150_000),
        "body_99k" => long("schema", 99_000),
        "options_100k_text" => long("options", 100_000),
        "update_long_name" => json!({ "name": "n".repeat(300) }),
        _ => recorded.clone(),
    };
    assert!(
        !body.to_string().contains('…'),
        "{name}: a cut body was sent"
    );
    body.as_object().unwrap().clone()
}

/// In the contract a key is a file.
pub(super) fn ssh_key(body: &Value) -> Option<ConnectionFiles> {
    let key = body["sshPrivateKey"].as_str()?.to_owned();
    Some(ConnectionFiles {
        ssh_private_key: Some(key.into()),
        ..ConnectionFiles::default()
    })
}

pub(super) fn files(name: &str) -> ConnectionFiles {
    let pem = || Some("PEM".into());
    match name {
        "files_ok" => ConnectionFiles {
            ssl_ca: pem(),
            ssl_cert: pem(),
            ssl_key: pem(),
            ssh_private_key: None,
        },
        "files_sshkey" => ConnectionFiles {
            ssh_private_key: pem(),
            ..ConnectionFiles::default()
        },
        "files_too_big" => ConnectionFiles {
            ssl_ca: Some(vec![b'x'; 1_048_577].into()),
            ..ConnectionFiles::default()
        },
        _ => ConnectionFiles::default(),
    }
}
