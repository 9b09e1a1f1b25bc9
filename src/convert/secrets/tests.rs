use serde_json::json;

use super::*;

fn row(json: &Value) -> Connection {
    Connection::from_json(json.to_string().as_bytes()).unwrap()
}

#[test]
fn every_form_of_a_secret_is_cut_out_and_nothing_else() {
    let row = row(&json!({
        "id": 1, "username": "cb", "password": "pa ss\"w%rd-é1", "host": "https://u:hostpw77@h/",
        "connectionString": "mongodb://me:s3cr%40t@db.example:27017/x?authSource=admin",
        "options": [{"X-Api-Key": "optionkey"}, {"pin": 123_456}],
        "authentication": {"type": "basic_auth", "user": "reader", "pass": "no"},
        "firebaseServiceAccount": {"private_key": "-----BEGIN KEY-----\nMIIabcdef\n"},
    }));
    let secrets = Secrets::of_row(&row, "header.payload12.signature");
    let cases = [
        (
            "Access denied for user 'cb'@'localhost' (using password: YES)",
            "Access denied for user 'cb'@'localhost' (using password: YES)",
        ),
        (
            "connect ECONNREFUSED 127.0.0.1:1",
            "connect ECONNREFUSED 127.0.0.1:1",
        ),
        (
            "getaddrinfo ENOTFOUND db.example",
            "getaddrinfo ENOTFOUND db.example",
        ),
        ("got pa ss\"w%rd-é1!", "got [redacted]!"),
        ("got pa ss\\\"w%rd-é1!", "got [redacted]!"),
        ("got pa%20ss%22w%25rd-%C3%A91!", "got [redacted]!"),
        ("the start: pa ss\"w%…", "the start: [redacted]…"),
        (
            "mongodb://me:s3cr%40t@db.example",
            "mongodb://me:[redacted]@db.example",
        ),
        (
            "mongodb://me:s3cr@t@db.example",
            "mongodb://me:[redacted]@db.example",
        ),
        (
            "key optionkey, pin 123456",
            "key [redacted], pin [redacted]",
        ),
        (
            "no such reader: not known",
            "[redacted] such reader: not known",
        ),
        (
            "\"-----BEGIN \"... is not JSON",
            "\"[redacted]\"... is not JSON",
        ),
        ("Bearer header.payload12.signature", "Bearer [redacted]"),
        ("https://u:hostpw77@h/", "https://u:[redacted]@h/"),
        ("basic cmVhZGVyOm5v", "basic [redacted]"),
    ];
    for (text, left) in cases {
        assert_eq!(secrets.cut_out_of(text), left, "{text}");
    }
    let found = json!({"optionkey": ["optionkey", 123_456, 7, null, {"a": "table"}]});
    let left = json!({"[redacted]": ["[redacted]", "[redacted]", 7, null, {"a": "table"}]});
    assert_eq!(secrets.cut_out_of_json(found), left);
    assert_eq!(format!("{secrets:?}"), "Secrets { .. }");
}

#[test]
fn a_text_without_secrets_stays_as_it_is() {
    let secrets = Secrets::of_row(&row(&json!({"id": 1})), "");
    for text in ["", "a", "ä ö", "connect ETIMEDOUT"] {
        assert_eq!(secrets.cut_out_of(text), text);
    }
}

#[test]
fn a_connection_string_has_its_secrets_in_many_forms() {
    // (the string, what a driver says, what is left of it)
    let cases = [
        (
            "mongodb://u:pw12@h.example/db?appName=me@corp",
            "u:pw12 at h.example",
            "u:[redacted] at h.example",
        ),
        (
            "postgres://u:se/cret@h.example/db",
            "got se/cret",
            "got [redacted]",
        ),
        ("postgres://u@h.example/db", "h.example/db", "h.example/db"),
        (
            "mongodb://u:Secr3t@x/rest@h.example/db",
            "Secr3t@x/rest at h.example",
            "[redacted] at h.example",
        ),
        (
            "https://token-1@h.example/",
            "token-1 at h.example",
            "[redacted] at h.example",
        ),
        (
            "Server=h.example;User Id=u;Password=two words;",
            "two words, h.example",
            "[redacted], h.example",
        ),
        (
            "host=h.example password=word12 dbname=d",
            "word12 for d at h.example",
            "[redacted] for d at h.example",
        ),
        (
            "mysql://h.example/d?user=u&password=p%40ssword",
            "p@ssword or p%40ssword",
            "[redacted] or [redacted]",
        ),
        (
            "just the password",
            "got just the password",
            "got [redacted]",
        ),
        ("", "nothing", "nothing"),
    ];
    for (text, said, left) in cases {
        let secrets = Secrets::of_row(&row(&json!({"id": 1, "connectionString": text})), "");
        assert_eq!(secrets.cut_out_of(said), left, "{text}");
    }
}

#[test]
fn a_secret_is_found_however_it_is_encoded() {
    let password = "p$s/wo&r'd~ü 1!x";
    let secrets = Secrets::of_row(&row(&json!({"id": 1, "password": password})), "");
    for encoded in [
        // encodeURIComponent, URLSearchParams, the password of a URL, and in lower case.
        "p%24s%2Fwo%26r'd~%C3%BC%201!x",
        "p%24s%2Fwo%26r%27d%7E%C3%BC+1%21x",
        "p$s%2Fwo&r'd~%C3%BC%201!x",
        "p%24s%2fwo%26r'd~%c3%bc%201!x",
        "p$s/wo&r'd~\u{fc} 1!x",
    ] {
        assert_eq!(
            secrets.cut_out_of(&format!("<{encoded}>")),
            "<[redacted]>",
            "{encoded}"
        );
    }
}

#[test]
fn a_password_that_is_also_the_connection_string_is_one() {
    let url = "mongodb://h.example/";
    let row = row(&json!({"id": 1, "connectionString": url, "password": url}));
    assert_eq!(Secrets::of_row(&row, "").cut_out_of(url), "[redacted]");
}

#[test]
fn the_word_password_is_no_secret_but_within_one() {
    let row = row(&json!({"id": 1, "password": "old-password-7"}));
    let secrets = Secrets::of_row(&row, "");
    let told = "(using password: YES) old-password-7, old-password, password-7";
    let left = "(using password: YES) [redacted], [redacted], [redacted]";
    assert_eq!(secrets.cut_out_of(told), left);
}

#[test]
fn of_a_row_whose_password_is_hidden_not_all_secrets_are_known() {
    for (password, is_incomplete) in [(json!(""), true), (json!("p"), false), (json!(null), false)]
    {
        let row = row(&json!({"id": 1, "password": password}));
        assert_eq!(Secrets::of_row(&row, "").is_incomplete(), is_incomplete);
    }
}
