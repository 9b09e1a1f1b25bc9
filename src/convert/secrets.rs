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
    /// There are secrets that the caller may not see, and that are not known here.
    is_incomplete: bool,
}

// === impl Secrets ===

impl Secrets {
    /// Those of a stored connection, and the token of the call.
    #[must_use]
    pub fn of_row(row: &Connection, token: &str) -> Self {
        let mut secrets = Self::default();
        secrets.add(token);
        secrets.add_fields(&row.fields);
        // So Chartbrew shows it to a role that may not see it.
        secrets.is_incomplete = row.fields.password.as_deref() == Some("");
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

    /// Whether there are others that are not known: then no text is safe to show.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
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
            Value::Number(number) => {
                let digits = number.to_string();
                match self.cut_out_of(&digits) == digits {
                    true => Value::Number(number),
                    false => CUT.into(),
                }
            }
            other => other,
        }
    }

    fn add_fields(&mut self, fields: &OptionalFields) {
        if let Some(text) = &fields.connection_string
            && !self.add_connection_string(text)
            && !text.contains("://")
        {
            // It is in no form that is known here.
            self.add(text);
        }
        if let Some(host) = &fields.host {
            self.add_connection_string(host);
        }
        // The host in a connection string is no secret, and is what a failure is about.
        let whole = fields
            .secrets()
            .filter(|(name, _)| *name != names::CONNECTION_STRING);
        whole.for_each(|(_, value)| self.add_json(&value));
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

    /// The secret parts of a URL or of a list of `key=value;`. Whether there are any.
    fn add_connection_string(&mut self, text: &str) -> bool {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // A password with a slash or a question mark that was not encoded ends behind the first one.
        let before_query = rest.split(['?', '#']).next().unwrap_or_default();
        let candidates = match before_query.contains('@') {
            true => [authority, before_query],
            false => [rest, rest],
        };
        let user_infos = candidates.map(|text| text.rsplit_once('@'));
        let is_http = text.starts_with("http");
        let passwords = user_infos
            .into_iter()
            .flatten()
            .filter_map(|(user_info, _)| {
                match user_info.split_once(':') {
                    Some((_, password)) => Some(password),
                    // A token in place of a user.
                    None => is_http.then_some(user_info),
                }
            });
        // With semicolons between the pairs, a value may have spaces.
        let by_semicolon = text.contains(';').then(|| text.split(';'));
        let pairs = text.split([';', '?', '&', ' ']);
        let pairs = pairs.chain(by_semicolon.into_iter().flatten());
        let values = pairs.filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = key.to_ascii_lowercase();
            SECRET_KEYS
                .iter()
                .any(|mark| key.contains(mark))
                .then_some(value)
        });
        let mut found = false;
        for secret in passwords.chain(values) {
            self.add(secret);
            self.add(&percent_decoded(secret));
            found = true;
        }
        found
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
        let form = url::form_urlencoded::byte_serialize(secret.as_bytes());
        let encoded = [
            percent_encoded(secret),
            in_a_url(secret).unwrap_or_default(),
            form.collect(),
        ];
        for encoded in encoded.iter().filter(|encoded| *encoded != secret) {
            self.add_bytes(encoded.as_bytes());
            self.add_bytes(with_small_digits(encoded).as_bytes());
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

/// With the digits of what is percent-encoded in lower case.
fn with_small_digits(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut text, part| {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        text.push('%');
        text.push_str(&digits.to_ascii_lowercase());
        text.push_str(rest);
        text
    })
}

/// As it is in the user information of a URL.
fn in_a_url(text: &str) -> Option<String> {
    let mut url = url::Url::parse("x://x@x").ok()?;
    url.set_password(Some(text)).ok()?;
    url.password().map(str::to_owned)
}

fn percent_decoded(text: &str) -> String {
    let pairs = format!("x={}", text.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(pairs.as_bytes());
    decoded.map(|(_, value)| value.into_owned()).collect()
}

#[cfg(test)]
mod tests;
