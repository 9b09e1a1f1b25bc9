//! Whether a row is what a create asked for. Recovery decides by this.
//!
//! A row that is taken for another gives a caller someone else's connection. So whatever is shown
//! must match, each field by its rule (see [`Compare`]); where too little is shown the result is
//! [`RowMatch::Indeterminate`].
//!
//! The sources `jira` and `stripeOfficial` rewrite `host`, `type`, `subType` and `options`.
//!
//! A project-scoped role sees only `id`, `name`, `type`, `subType` and the times; the rest is null.
//! It is recognised by `team_id`: no row is without one, so null there means that the reader may
//! not see it. Such a role cannot create, so it meets its own creation only if it lost its rights
//! in between.

use serde_json::{Map, Value};

use super::{
    connection::Connection,
    create::CreateBody,
    field::{Compare, Field},
    fields::{self, OPTIONAL},
    names,
    new_connection::NewConnection,
};

/// How a row compares with what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowMatch {
    /// Every field that the row shows is as it was sent.
    Match,
    /// Some field differs: this is another connection, or it was changed since.
    Mismatch,
    /// What is shown matches, but the reader may see next to nothing of the row.
    Indeterminate,
}

/// Where a row was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// In a list, which has no `password`.
    List,
    /// By itself, with `GET …/{id}`.
    Single,
}

/// The sources for which the server makes up the host and adds to the options. They take the
/// place of whatever `type` was sent.
const REWRITING_SOURCES: [&str; 2] = ["jira", "stripeOfficial"];

// === impl CreateBody ===

impl CreateBody {
    /// Compares `row`, read in `view`, with what this body asked for. Times and ids are not looked
    /// at.
    #[must_use]
    pub fn compare(&self, row: &Connection, view: View) -> RowMatch {
        let sent = self.sent();
        let limited = row.team_id.is_none() && !row.extra.contains_key(names::TEAM_ID);
        if is_misread(row) || !names_match(sent, row) {
            RowMatch::Mismatch
        } else if limited {
            RowMatch::Indeterminate
        } else if row.team_id == Some(sent.team_id)
            && OPTIONAL.iter().all(|field| matches(field, sent, row, view))
            && extra_matches(sent, row)
        {
            RowMatch::Match
        } else {
            RowMatch::Mismatch
        }
    }
}

/// Whether a compared field is of a JSON type that nothing sent from here can have had.
fn is_misread(row: &Connection) -> bool {
    let mut modelled = row.extra.keys().filter_map(|name| fields::field(name));
    modelled.any(|field| field.compare != Compare::Never)
}

/// The source that rewrites this connection, if one does.
fn rewritten_by(sent: &NewConnection) -> Option<&'static str> {
    let source = sent.sub_type.unwrap_or(sent.kind);
    REWRITING_SOURCES.into_iter().find(|&known| known == source)
}

fn names_match(sent: &NewConnection, row: &Connection) -> bool {
    let source = rewritten_by(sent);
    row.name.as_deref() == Some(&sent.name)
        && row.kind.as_deref() == Some(source.unwrap_or(sent.kind))
        && row.sub_type.as_deref() == source.or(sent.sub_type)
}

/// Whether the row shows an optional field as its rule says.
fn matches(field: &Field, sent: &NewConnection, row: &Connection, view: View) -> bool {
    if field.compare == Compare::Never {
        // A schema may be large: it is not copied for nothing.
        return true;
    }
    let asked = sent.fields.get(field.rest);
    let shown = row.fields.get(field.rest);
    match field.compare {
        Compare::Equal => both_same(asked.as_ref(), shown.as_ref()),
        Compare::NonEmpty => non_empty(asked) == shown,
        Compare::DefaultFlag(default) => shown_or_default(asked, shown, &default.into()),
        Compare::DefaultText(default) => shown_or_default(asked, shown, &default.into()),
        Compare::Host => rewritten_by(sent).is_some() || non_empty(asked) == shown,
        Compare::Options => match rewritten_by(sent) {
            None => both_same(asked.filter(|v| !v.is_null()).as_ref(), shown.as_ref()),
            Some(source) => rewritten_options_match(source, asked.as_ref(), shown.as_ref()),
        },
        Compare::Password => match view {
            View::List => true,
            View::Single => shown == Some("".into()) || non_empty(asked) == shown,
        },
        Compare::SshPassword => flag_matches(asked.as_ref(), row.has_ssh_password),
        Compare::SshPassphrase => flag_matches(asked.as_ref(), row.has_ssh_passphrase),
        Compare::Never => true,
        // No optional field has this rule. If one had, its rows would not be taken.
        Compare::ByHand => false,
    }
}

/// What is left of a text that is not stored if it is empty.
fn non_empty(asked: Option<Value>) -> Option<Value> {
    asked.filter(|text| text != "")
}

/// A field with a default. One that the row lacks is at its default.
fn shown_or_default(asked: Option<Value>, shown: Option<Value>, default: &Value) -> bool {
    match asked {
        Some(asked) => shown == Some(asked),
        None => shown.is_none_or(|shown| shown == *default),
    }
}

/// A secret that the row shows only as a flag.
fn flag_matches(asked: Option<&Value>, is_stored: Option<bool>) -> bool {
    match asked {
        Some(secret) => is_stored == Some(secret != ""),
        None => is_stored != Some(true),
    }
}

/// A source that rewrites the options keeps the other keys of an object.
fn rewritten_options_match(source: &str, asked: Option<&Value>, shown: Option<&Value>) -> bool {
    match (asked, shown) {
        (Some(Value::Object(asked)), Some(Value::Object(shown))) => asked
            .iter()
            .filter(|&(key, _)| key != source)
            .all(|(key, value)| shown.get(key).is_some_and(|shown| same(value, shown))),
        _ => true,
    }
}

/// A field that Chartbrew does not know, or takes from nobody, is not stored.
fn extra_matches(sent: &NewConnection, row: &Connection) -> bool {
    sent.extra
        .iter()
        .all(|(name, value)| match row.extra.get(name) {
            None | Some(Value::Null) => true,
            Some(shown) => same(value, shown),
        })
}

fn both_same(asked: Option<&Value>, shown: Option<&Value>) -> bool {
    match (asked, shown) {
        (Some(asked), Some(shown)) => same(asked, shown),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Whether two JSON values are equal, numbers by value: `1` and `1.0` are.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => same_object(a, b),
        _ => a == b,
    }
}

fn same_object(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter()
            .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
}
