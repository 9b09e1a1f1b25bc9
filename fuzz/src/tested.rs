//! Any bytes as the result of a test → what a caller is told, without the secrets.

use chartbrew_gateway::{
    chartbrew::types::{Connection, NewTest, Tested, names},
    convert::{self, Secrets},
};
use serde_json::Value;

/// What stands where a secret was.
const CUT: &str = "[redacted]";
/// From here on a secret is cut out wherever it is.
const LONG: usize = 8;
/// Secrets of one row that are looked for.
const MANY: usize = 6;
const TOKEN: &str = "head.payload.signature";

/// Reads a body as the result of a test of the connection that it also is, if it is one.
///
/// # Panics
/// If a promise is broken.
pub fn run(body: &[u8], row: Option<&Connection>) {
    let (secrets, known) = match row {
        Some(row) => (Secrets::of_row(row, TOKEN), of_row(row)),
        None => (
            Secrets::of_row(&Connection::default(), TOKEN),
            vec![TOKEN.to_owned()],
        ),
    };
    let failed = Tested::failed(body);
    assert!(!failed.success && failed.details.is_none());
    is_told(failed, &secrets, &known);
    if let Ok(passed) = Tested::passed(body) {
        assert!(!passed.words.starts_with('<'), "a page is no result");
        is_told(passed, &secrets, &known);
    }
    let text = String::from_utf8_lossy(body);
    are_cut_out(&secrets, &known, &text);
    if let Ok(json) = serde_json::from_slice(body) {
        no_text_has(&secrets.cut_out_of_json(json), &known);
    }
}

/// No secret of settings that are not stored is left of a text that repeats them.
///
/// # Panics
/// If one is.
pub fn of_settings(test: &NewTest) {
    let secrets = Secrets::of_settings(&test.settings, &test.files, TOKEN);
    let mut known = vec![TOKEN.to_owned()];
    for (name, value) in test.settings.fields.secrets() {
        if name != names::CONNECTION_STRING {
            collect(&value, &mut known);
        }
    }
    for value in test.settings.extra.values() {
        collect(value, &mut known);
    }
    let known = long(known);
    are_cut_out(&secrets, &known, &String::from_utf8_lossy(&test.json));
    for file in [&test.files.ssl_key, &test.files.ssh_private_key] {
        let text = file
            .as_ref()
            .and_then(|file| std::str::from_utf8(file).ok());
        if let Some(text) = text.filter(|text| text.len() >= LONG) {
            let left = secrets.cut_out_of(&format!("got {text}."));
            has_none(&left, &[text.to_owned()]);
        }
    }
}

fn of_row(row: &Connection) -> Vec<String> {
    let mut known = vec![TOKEN.to_owned()];
    for (name, value) in row.fields.secrets() {
        // Its host may be shown.
        if name != names::CONNECTION_STRING {
            collect(&value, &mut known);
        }
    }
    for value in row.extra.values() {
        collect(value, &mut known);
    }
    long(known)
}

/// The texts in a value, but for what every view shows.
fn collect(value: &Value, known: &mut Vec<String>) {
    match value {
        Value::String(text) => known.push(text.trim().to_owned()),
        Value::Array(values) => values.iter().for_each(|value| collect(value, known)),
        Value::Object(object) => {
            let shown = [names::AUTHENTICATION_TYPE, names::AUTHENTICATION_USER];
            let entries = object.iter().filter(|(key, _)| !shown.contains(&&***key));
            entries.for_each(|(_, value)| collect(value, known));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn long(mut known: Vec<String>) -> Vec<String> {
    // The word is left where nothing beside it is cut out: drivers say it by themselves.
    known.retain(|secret| secret.len() >= LONG && secret != "password");
    known.truncate(MANY);
    known
}

/// A text with every secret in it, as it is and as JSON, has none of them afterwards.
fn are_cut_out(secrets: &Secrets, known: &[String], text: &str) {
    let all = format!("{text}{}x{}", known.concat(), known.join("x"));
    has_none(&secrets.cut_out_of(&all), known);
    for secret in known {
        let escaped = Value::from(secret.as_str()).to_string();
        let left = secrets.cut_out_of(&format!("got {escaped}."));
        let inner = escaped.trim_matches('"');
        assert!(
            left.split(CUT).all(|part| !part.contains(inner)),
            "a secret is left"
        );
        // Its beginning, as long as it is cut out.
        let end = secret.floor_char_boundary(secret.len() - secret.len() % LONG);
        let left = secrets.cut_out_of(&format!("got {}…", &secret[..end]));
        let inner = &secret[..end];
        let may_stay = inner.len() < LONG || inner == "password";
        let is_clean = |part: &str| may_stay || !part.contains(inner);
        assert!(
            left.split(CUT).all(is_clean),
            "the beginning of a secret is left"
        );
    }
}

fn has_none(text: &str, known: &[String]) {
    let mut parts = text.split(CUT);
    let is_clean = |part: &str| known.iter().all(|secret| !part.contains(&**secret));
    assert!(parts.all(is_clean), "a secret is left");
}

fn no_text_has(value: &Value, known: &[String]) {
    match value {
        Value::String(text) => has_none(text, known),
        Value::Array(values) => values.iter().for_each(|value| no_text_has(value, known)),
        Value::Object(object) => object.iter().for_each(|(key, value)| {
            has_none(key, known);
            no_text_has(value, known);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_told(tested: Tested, secrets: &Secrets, known: &[String]) {
    let has_words = !tested.words.is_empty();
    let success = tested.success;
    let told = convert::tested(tested, secrets);
    assert_eq!(told.success, success);
    assert!(told.success || !told.message.is_empty());
    assert!(told.message.len() <= 1024);
    assert!(!told.message.contains(char::is_control));
    if has_words {
        // A line break in it becomes a space.
        let in_a_line = |secret: &&String| !secret.contains(char::is_whitespace);
        let known: Vec<_> = known.iter().filter(in_a_line).cloned().collect();
        has_none(&told.message, &known);
    }
}
