//! Rows that hide secrets in every field and in every JSON type, and what sources say of them.

use serde_json::{Value, json};

use super::{
    hasty,
    hostile::{Hostile, response},
    marks,
    resource::{NO_SECRETS, call, nothing_seen},
    seen::{logs, nothing_in_logs},
};
use crate::support::rpc::Rpc;

/// A row with a marker in every secret field, as a create of `marks::request()` makes it.
pub(super) fn row() -> Value {
    let secret = |place: &str| marks::secret(place).unwrap();
    json!({
        "id": 1, "team_id": 1, "name": "a name", "type": "mongodb", "host": "db.example",
        "username": secret("username"), "password": secret("password"),
        "options": [{"private_key": secret("option")}],
        "connectionString": secret("connectionString"),
        "authentication": {
            "type": "basic_auth", "user": secret("authUser"), "token": secret("authToken"),
            "pass": secret("authPass"),
        },
        "firebaseServiceAccount": {"private_key": secret("firebase")},
        "sshPassword": secret("sshPassword"), "sshPassphrase": secret("sshPassphrase"),
        "sshPrivateKey": secret("sshKey"), "private_key": secret("extra"),
        "sslKey": ".connectionFiles/1-key", "hasSshPassword": true,
        "createdAt": "2026-11-24T00:00:12.000Z",
    })
}

/// The same with all markers in each field that may hide one, in each JSON type.
pub(super) fn rows() -> Vec<(String, Value)> {
    let all = marks::all();
    let types = || {
        [
            json!(all),
            json!([all]),
            json!([{"k": {&all: [all]}}]),
            json!({"k": all}),
            json!({&all: {"type": all, "user": all}}),
            json!({"type": all, "token": [all], "pass": {"k": all}, "extra": all}),
            json!({"type": [all], "user": {"k": all}, "token": all}),
        ]
    };
    let mut rows = vec![("a row".to_owned(), row())];
    for field in [
        "password",
        "options",
        "connectionString",
        "firebaseServiceAccount",
        "sshPassword",
        "sshPassphrase",
        "sshPrivateKey",
        "new_field",
        "Password",
        "__proto__",
        &all,
    ] {
        for (number, value) in types().into_iter().enumerate() {
            let mut row = row();
            row[field] = value;
            rows.push((format!("{field} in type {number}"), row));
        }
    }
    // The type and the user of an authentication are shown, if they are texts.
    for (number, value) in types().into_iter().enumerate() {
        let mut value = value;
        if let Some(object) = value.as_object_mut() {
            object.retain(|key, value| !["type", "user"].contains(&&**key) || !value.is_string());
        }
        let mut row = row();
        row["authentication"] = value;
        rows.push((format!("authentication in type {number}"), row));
    }
    rows
}

/// What a source, or its driver, may say of a secret; each in words and within an error object.
fn words(secret: &str, user: &str) -> Vec<String> {
    let url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let component = url.replace('+', "%20");
    let small = component
        .split('%')
        .enumerate()
        .map(|(number, part)| match number {
            0 => part.to_owned(),
            _ => format!("%{}{}", part[..2].to_lowercase(), &part[2..]),
        });
    let small: String = small.collect();
    let escaped = json!(secret).to_string();
    let basic = marks::base64(format!("{user}:{secret}").as_bytes());
    let mut words = vec![
        format!("Access denied for user '{user}' (password: {secret})"),
        format!("Unexpected token in {escaped} at position 1"),
        format!("connect to mongodb://me:{component}@db.example:27017 failed"),
        format!("got mongodb://me:{small}@db.example"),
        format!("GET https://api.example/?key={url} gave 401"),
        format!("\u{0}{secret}\u{1b}[0m{secret}{secret}"),
    ];
    if ["password", "authPass"]
        .iter()
        .any(|place| secret.contains(&marks::mark(place)))
    {
        words.push(format!("header Authorization: Basic {basic} was refused"));
    }
    words
}

/// The tests that know the secret: no row has the content of a certificate's key.
fn known_to(place: &str) -> &'static [Rpc] {
    match place {
        "sslKey" => &[Rpc::TestNew],
        _ => &[Rpc::Test, Rpc::TestNew],
    }
}

/// The places of secrets, each with the user that belongs to it.
fn secrets() -> Vec<(&'static str, String)> {
    let user = |place| match place {
        "authPass" => marks::secret("authUser").unwrap(),
        _ => marks::secret("username").unwrap(),
    };
    let secrets = marks::PLACES.into_iter();
    let secrets = secrets.filter(|place| !NO_SECRETS.contains(place));
    secrets.map(|place| (place, user(place))).collect()
}

#[tokio::test]
async fn the_words_of_a_source_are_passed_on_without_the_secrets() {
    let (text, json, _guard) = logs();
    let hostile = Hostile::start().await;
    let gateway = hasty(&hostile.url).start().await;
    let stored = response(200, row().to_string().as_bytes());
    for (place, user) in secrets() {
        let secret = match place {
            "token" => marks::mark(place),
            _ => marks::secret(place).unwrap(),
        };
        for words in words(&secret, &user) {
            let found = json!({
                "success": true, "schema": {&words: [words, {"k": words}]}, &words: words,
            });
            let error = json!({
                "name": words, "message": words, "sql": words,
                "parent": {"sqlMessage": words, "code": words, "address": words, "sql": words},
            });
            for (status, body) in [
                (400, words.clone()),
                (400, error.to_string()),
                (200, words.clone()),
                (200, found.to_string()),
                (200, json!([words]).to_string()),
                (200, json!(words).to_string()),
            ] {
                for rpc in known_to(place) {
                    let case = format!("{rpc:?}, {place}, {status} {body}");
                    hostile.answer(response(status, body.as_bytes()), Some(stored.clone()));
                    let called = call(&gateway.client, *rpc).await;
                    assert!(called.is_ok(), "{case}: {called:?}");
                    nothing_seen(*rpc, &case, &called);
                    nothing_in_logs(&case, &text, &json);
                }
            }
        }
    }
}

#[tokio::test]
async fn the_beginning_of_a_secret_is_cut_out_too() {
    let hostile = Hostile::start().await;
    let gateway = hasty(&hostile.url).start().await;
    let stored = response(200, row().to_string().as_bytes());
    for (place, _) in secrets() {
        let mark = marks::mark(place);
        let whole = match place {
            "token" => mark.clone(),
            _ => marks::secret(place).unwrap(),
        };
        for length in [9, 12, whole.chars().count() - 2] {
            let begin: String = whole.chars().take(length).collect();
            let body = format!("Unexpected token in '{begin}…' is not valid");
            for rpc in known_to(place) {
                hostile.answer(response(400, body.as_bytes()), Some(stored.clone()));
                let told = call(&gateway.client, *rpc).await.unwrap().into_inner();
                assert!(!told.contains(&mark[..5]), "{rpc:?}, {place}: {told}");
                assert!(
                    told.contains("Unexpected token in"),
                    "{rpc:?}, {place}: {told}"
                );
            }
        }
    }
}
