//! Cuts secrets out of the texts that Chartbrew passes on from a source.
//!
//! A driver's error can repeat what it was given: whole, or the beginning of it ("Unexpected token
//! in …"). So of a secret of eight bytes or more, any eight that follow each other are cut out. One
//! of four to seven is cut out as a whole, and a shorter one only where it is a word of its own:
//! otherwise a password of one letter would take that letter out of every word.

use std::{collections::HashSet, ops::Range};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

use crate::chartbrew::types::{Connection, Files, NewConnection, OptionalFields, names};

/// What stands where a secret was.
const CUT: &str = "[redacted]";
/// The part of a long secret that is looked for, in bytes.
const RUN: usize = 8;
/// The shortest secret that is cut out also within a word, in bytes.
const WITHIN_WORDS: usize = 4;
/// What drivers say by themselves. It is not cut out where nothing beside it is.
const NO_SECRET: &str = "password";
/// Marks of the parts of a connection string in the form `Password=…;`.
const SECRET_KEYS: [&str; 5] = ["pass", "pwd", "secret", "token", "key"];

/// The secrets of one call. `Debug` shows none.
#[derive(Default)]
pub struct Secrets {
    /// Every part of eight bytes of the long ones.
    runs: HashSet<[u8; RUN]>,
    short: HashSet<String>,
}

// === impl Secrets ===

impl Secrets {
    /// Those of a stored connection, and the token of the call.
    #[must_use]
    pub fn of_row(row: &Connection, token: &str) -> Self {
        let mut secrets = Self::default();
        secrets.add(token);
        secrets.add_fields(&row.fields);
        row.extra.values().for_each(|value| secrets.add_json(value));
        secrets
    }

    /// Those of settings that are not stored, and the token of the call.
    #[must_use]
    pub fn of_settings(settings: &NewConnection, files: &Files, token: &str) -> Self {
        let mut secrets = Self::default();
        secrets.add(token);
        secrets.add_fields(&settings.fields);
        settings
            .extra
            .values()
            .for_each(|value| secrets.add_json(value));
        for file in [&files.ssl_key, &files.ssh_private_key]
            .into_iter()
            .flatten()
        {
            secrets.add_bytes(file);
        }
        secrets
    }

    /// The text without them.
    #[must_use]
    pub fn cut_out_of(&self, text: &str) -> String {
        let mut is_secret = vec![false; text.len()];
        for (begin, run) in text.as_bytes().windows(RUN).enumerate() {
            if self.runs.contains(run) {
                is_secret[begin..begin + RUN].fill(true);
            }
        }
        for secret in &self.short {
            for (begin, _) in text.match_indices(&**secret) {
                let place = begin..begin + secret.len();
                if secret.len() >= WITHIN_WORDS || is_a_word(text, &place) {
                    is_secret[place].fill(true);
                }
            }
        }
        for (begin, word) in text.match_indices(NO_SECRET) {
            let end = begin + word.len();
            let is_cut =
                |place: Option<usize>| place.and_then(|at| is_secret.get(at)) == Some(&true);
            if !is_cut(begin.checked_sub(1)) && !is_cut(Some(end)) {
                is_secret[begin..end].fill(false);
            }
        }
        let mut left = String::with_capacity(text.len());
        let mut was_secret = false;
        for (begin, character) in text.char_indices() {
            let bytes = &is_secret[begin..begin + character.len_utf8()];
            let is_secret = bytes.contains(&true);
            match (was_secret, is_secret) {
                (_, false) => left.push(character),
                (false, true) => left.push_str(CUT),
                (true, true) => {}
            }
            was_secret = is_secret;
        }
        left
    }

    /// The JSON without them, in its keys too.
    #[must_use]
    pub fn cut_out_of_json(&self, json: Value) -> Value {
        match json {
            Value::String(text) => self.cut_out_of(&text).into(),
            Value::Array(values) => {
                let values = values.into_iter().map(|value| self.cut_out_of_json(value));
                Value::Array(values.collect())
            }
            Value::Object(object) => {
                let entries = object.into_iter();
                let entries = entries
                    .map(|(key, value)| (self.cut_out_of(&key), self.cut_out_of_json(value)));
                Value::Object(entries.collect())
            }
            Value::Number(number) if self.cut_out_of(&number.to_string()) != number.to_string() => {
                CUT.into()
            }
            other => other,
        }
    }

    fn add_fields(&mut self, fields: &OptionalFields) {
        if let Some(text) = &fields.connection_string {
            self.add_connection_string(text);
        }
        if let Some(host) = &fields.host {
            self.add_connection_string(host);
        }
        for value in fields.secrets() {
            match value {
                // Its host is no secret, and is what a failure is about.
                Value::String(text) if Some(&text) == fields.connection_string.as_ref() => {}
                value => self.add_json(&value),
            }
        }
        if let (Some(user), Some(password)) = (&fields.username, &fields.password) {
            self.add_basic(user, password);
        }
        let of_authentication = |name| {
            let text = fields.authentication.as_ref()?.get(name)?;
            text.as_str()
        };
        let user = of_authentication(names::AUTHENTICATION_USER);
        let pass = of_authentication(names::AUTHENTICATION_PASS);
        if let Some((user, pass)) = user.zip(pass) {
            self.add_basic(user, pass);
        }
    }

    /// What HTTP's basic authentication makes of them.
    fn add_basic(&mut self, user: &str, password: &str) {
        self.add(&BASE64_STANDARD.encode(format!("{user}:{password}")));
    }

    /// The secret parts of a URL or of a list of `key=value;`.
    fn add_connection_string(&mut self, text: &str) {
        let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
        if let Some((user_info, _)) = authority.rsplit_once('@')
            && let Some((_, password)) = user_info.split_once(':')
        {
            self.add(password);
            let decoded = percent_decoded(password);
            self.add(&decoded);
        }
        for pair in text.split([';', '?', '&', ' ']) {
            if let Some((key, value)) = pair.split_once('=') {
                let key = key.to_ascii_lowercase();
                if SECRET_KEYS.iter().any(|mark| key.contains(mark)) {
                    self.add(value);
                }
            }
        }
    }

    /// Every text and long number within it.
    fn add_json(&mut self, json: &Value) {
        match json {
            Value::String(text) => self.add(text),
            Value::Array(values) => values.iter().for_each(|value| self.add_json(value)),
            Value::Object(object) => object.iter().for_each(|(key, value)| {
                // `type` and `user` are shown in every view.
                if ![names::AUTHENTICATION_TYPE, names::AUTHENTICATION_USER].contains(&&**key) {
                    self.add_json(value);
                }
            }),
            Value::Number(number) => {
                let digits = number.to_string();
                if digits.len() >= WITHIN_WORDS {
                    self.add(&digits);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// A secret, in the forms in which an error may show it.
    fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        self.add_bytes(secret.as_bytes());
        let escaped = Value::from(secret).to_string();
        let escaped = escaped.trim_matches('"');
        if escaped != secret {
            self.add_bytes(escaped.as_bytes());
        }
        let encoded = percent_encoded(secret);
        if encoded != secret {
            self.add_bytes(encoded.as_bytes());
        }
    }

    fn add_bytes(&mut self, secret: &[u8]) {
        if secret.len() < RUN {
            if let Ok(text) = str::from_utf8(secret)
                && !text.is_empty()
            {
                self.short.insert(text.to_owned());
            }
            return;
        }
        let runs = secret.windows(RUN);
        self.runs
            .extend(runs.filter_map(|run| <[u8; RUN]>::try_from(run).ok()));
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Whether neither a letter nor a digit is next to it.
fn is_a_word(text: &str, place: &Range<usize>) -> bool {
    let before = text[..place.start].chars().next_back();
    let after = text[place.end..].chars().next();
    !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
}

/// As JavaScript's `encodeURIComponent`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(byte.into()),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => {
                encoded.push(byte.into());
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn percent_decoded(text: &str) -> String {
    let pairs = format!("x={}", text.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(pairs.as_bytes());
    decoded.map(|(_, value)| value.into_owned()).collect()
}

#[cfg(test)]
mod tests {
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
    fn the_word_password_is_no_secret_but_within_one() {
        let row = row(&json!({"id": 1, "password": "old-password-7"}));
        let secrets = Secrets::of_row(&row, "");
        let told = "(using password: YES) old-password-7, old-password, password-7";
        let left = "(using password: YES) [redacted], [redacted], [redacted]";
        assert_eq!(secrets.cut_out_of(told), left);
    }

    #[test]
    fn a_text_without_secrets_stays_as_it_is() {
        let secrets = Secrets::of_row(&row(&json!({"id": 1})), "");
        for text in ["", "a", "ä ö", "connect ETIMEDOUT"] {
            assert_eq!(secrets.cut_out_of(text), text);
        }
    }
}
