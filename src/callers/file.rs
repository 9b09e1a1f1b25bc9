//! The text of a callers file → its entries, or the first thing that is wrong with it.

use std::{collections::BTreeSet, num::NonZeroU32};

use serde::Deserialize;

use super::{KnownCaller, Limiter, TokenHash};
use crate::{proto, tls};

/// Entries at most: each is a series of a metric.
const MAX_CALLERS: usize = 1_000;
/// Longest name of a caller, in characters.
const MAX_NAME: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    caller: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    token_sha256: Vec<String>,
    #[serde(default)]
    certificate_names: Vec<String>,
    teams: Option<Vec<i32>>,
    methods: Option<Vec<String>>,
    calls_per_second: Option<i64>,
}

/// What must not come twice in a file.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    tokens: BTreeSet<String>,
    certificate_names: BTreeSet<String>,
}

pub(super) fn read(text: &str, with_certificates: bool) -> Result<Vec<KnownCaller>, String> {
    let document: Document = toml::from_str(text).map_err(|error| invalid(text, &error))?;
    match document.caller.len() {
        0 => return Err("has no [[caller]]: it would refuse every call".to_owned()),
        1..=MAX_CALLERS => {}
        _ => return Err(format!("has more than {MAX_CALLERS} callers")),
    }
    let mut taken = Taken::default();
    let entries = document.caller.into_iter().enumerate();
    let callers = entries.map(|(index, entry)| {
        let caller = match is_name(&entry.name) {
            true => format!("caller {:?}", entry.name),
            false => format!("caller number {}", index + 1),
        };
        let read = known(entry, with_certificates, &mut taken);
        read.map_err(|problem| format!("{caller}: {problem}"))
    });
    callers.collect()
}

/// Where the text is no TOML of this form. The parser's own message repeats a line of the text.
fn invalid(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    let message = error.message();
    let problem = match () {
        () if message.starts_with("missing field") => "an entry needs a name",
        () if message.starts_with("unknown field") => {
            "unknown key: there is [[caller]] with name, token_sha256, certificate_names, teams, methods and \
             calls_per_second"
        }
        () if message.starts_with("invalid type") || message.starts_with("invalid value") => {
            "a value is of another type: [[caller]] and lists have brackets, texts have quotes, numbers have none"
        }
        () => "is not valid TOML",
    };
    format!("line {line}: {problem}")
}

fn known(entry: Entry, with_certificates: bool, taken: &mut Taken) -> Result<KnownCaller, String> {
    if !is_name(&entry.name) {
        return Err(format!(
            "name must be 1 to {MAX_NAME} letters, digits and ._-/"
        ));
    }
    if !taken.names.insert(entry.name.clone()) {
        return Err("the name is there twice".to_owned());
    }
    let tokens = tokens(&entry, taken)?;
    let certificate_names = certificate_names(&entry, with_certificates, taken)?;
    if tokens.is_empty() && certificate_names.is_empty() {
        return Err("needs token_sha256 or certificate_names".to_owned());
    }
    Ok(KnownCaller {
        name: entry.name.into(),
        tokens,
        certificate_names,
        teams: entry.teams.map(teams).transpose()?,
        methods: entry.methods.as_deref().map(methods).transpose()?,
        limiter: match entry.calls_per_second.map(u32::try_from) {
            None => None,
            Some(calls) => {
                let calls = calls.ok().and_then(NonZeroU32::new);
                Some(Limiter::new(calls.ok_or(
                    "calls_per_second must be a whole number greater than 0",
                )?))
            }
        },
    })
}

fn is_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(is_allowed)
}

fn tokens(entry: &Entry, taken: &mut Taken) -> Result<Vec<TokenHash>, String> {
    let hashes = entry.token_sha256.iter().map(|text| {
        let hash = TokenHash::parse(text).ok_or(
            "token_sha256 must have 64 hexadecimal digits each: `chartbrew-gateway token` makes a \
             token and its hash",
        )?;
        match taken.tokens.insert(hash.to_string()) {
            true => Ok(hash),
            false => Err("a token_sha256 is there twice".to_owned()),
        }
    });
    hashes.collect()
}

fn certificate_names(
    entry: &Entry,
    with_certificates: bool,
    taken: &mut Taken,
) -> Result<Vec<String>, String> {
    if !with_certificates && !entry.certificate_names.is_empty() {
        return Err("certificate_names need GATEWAY_TLS_CLIENT_CA".to_owned());
    }
    let names = entry.certificate_names.iter().map(|name| {
        let name = tls::certificate_name(name);
        let name = name.map_err(|problem| format!("certificate_names: each {problem}"))?;
        // With a token, several callers can have the same certificate.
        match !entry.token_sha256.is_empty() || taken.certificate_names.insert(name.clone()) {
            true => Ok(name),
            false => Err("one of certificate_names is there twice".to_owned()),
        }
    });
    names.collect()
}

fn teams(teams: Vec<i32>) -> Result<BTreeSet<i32>, String> {
    match !teams.is_empty() && teams.iter().all(|team| *team > 0) {
        true => Ok(teams.into_iter().collect()),
        false => Err("teams must be numbers greater than 0; without teams, all are allowed".into()),
    }
}

/// The methods as they are called.
fn methods(names: &[String]) -> Result<Vec<String>, String> {
    let short = |full: &'static String| full.rsplit_once('/').map(|(_, name)| (name, full));
    let all: Vec<_> = proto::methods().iter().filter_map(short).collect();
    let found = names.iter().map(|name| {
        let found = all.iter().find(|(short, _)| short == name);
        found.map(|(_, full)| (*full).clone())
    });
    let found: Option<Vec<_>> = found.collect();
    found.filter(|found| !found.is_empty()).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(short, _)| *short).collect();
        let names = names.join(", ");
        format!("methods must be some of {names}; without methods, all are allowed")
    })
}
