//! Whether a row is what a create asked for: what outcome recovery goes by.
//!
//! A row that is taken for another gives a caller someone else's connection; so whatever is shown
//! must agree, and where too little is shown the answer is [`Likeness::Unclear`]. What Chartbrew
//! 5.3.0 does to a field on its way into a row, as measured or read from its behaviour:
//!
//! | field | in the row |
//! |---|---|
//! | `active`, `srv`, `ssl`, `useSsh`, `sslMode`, not sent | true, false, false, false, `require` |
//! | any other field, not sent | null |
//! | `host`, `port`, `dbName`, `username`, `password`, the SSH texts, sent empty | null |
//! | `password` | not in a list; `""` for a role that may not see it |
//! | `sshPassword`, `sshPassphrase` | only as `hasSshPassword`, `hasSshPassphrase` |
//! | `schema` | not in a list; replaced for SQL, ClickHouse, MongoDB, Jira and Stripe: never compared |
//! | `sslCa`, `sslCert`, `sslKey`, `hasSshPrivateKey` | set by an upload, which may have run: never compared |
//! | `host`, `type`, `subType`, `options` of the sources `jira` and `stripeOfficial` | rewritten by the server |
//! | everything but `id`, `name`, `type`, `subType` and the times, for a project-scoped role | null |
//!
//! A project-scoped role is recognised by `team_id`: no row is without one, so null there means
//! that the reader may not see it. Such a role cannot create, so it meets its own creation only if
//! it lost its rights in between.

use serde_json::{Map, Value};

use super::{Connection, CreateBody, NewConnection, PortText, ProjectId, names};

/// How much a row looks like what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    /// Every field that the row shows is as it was sent.
    Same,
    /// Some field differs: this is another connection, or it was changed since.
    Different,
    /// What is shown agrees, but the reader may see next to nothing of the row.
    Unclear,
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

/// Fields that change without the caller's doing, or that no row shows.
const NEVER_COMPARED: [&str; 8] = [
    names::SCHEMA,
    names::SSL_CA,
    names::SSL_CERT,
    names::SSL_KEY,
    names::SSH_PRIVATE_KEY,
    names::HAS_SSH_PRIVATE_KEY,
    names::CREATED_AT,
    names::UPDATED_AT,
];

// === impl CreateBody ===

impl CreateBody {
    /// Compares `row`, read in `view`, with what this body asked for. Times and ids are not looked
    /// at.
    #[must_use]
    pub fn likeness(&self, row: &Connection, view: View) -> Likeness {
        let sent = self.sent();
        let limited = row.team_id.is_none() && !row.extra.contains_key(names::TEAM_ID);
        if misread(row) || !names_agree(sent, row) {
            Likeness::Different
        } else if limited {
            Likeness::Unclear
        } else if row.team_id == Some(sent.team_id)
            && plain_fields_agree(sent, row)
            && password_agrees(sent, row, view)
            && ssh_agrees(sent, row)
            && json_agrees(sent, row)
        {
            Likeness::Same
        } else {
            Likeness::Different
        }
    }
}

/// Whether a compared field is of a JSON type that nothing sent from here can have had.
fn misread(row: &Connection) -> bool {
    row.extra
        .keys()
        .any(|name| names::is_modelled(name) && !NEVER_COMPARED.contains(&name.as_str()))
}

/// The source that rewrites this connection, if one does.
fn rewritten_by(sent: &NewConnection) -> Option<&'static str> {
    let source = sent.sub_type.unwrap_or(sent.kind);
    REWRITING_SOURCES.into_iter().find(|&known| known == source)
}

fn names_agree(sent: &NewConnection, row: &Connection) -> bool {
    let source = rewritten_by(sent);
    row.name.as_deref() == Some(&sent.name)
        && row.kind.as_deref() == Some(source.unwrap_or(sent.kind))
        && row.sub_type.as_deref() == source.or(sent.sub_type)
}

fn plain_fields_agree(sent: &NewConnection, row: &Connection) -> bool {
    let port = row.port.as_ref().map(|PortText(port)| port);
    let ids = row.project_ids.as_deref();
    (rewritten_by(sent).is_some() || text(&sent.host, row.host.as_ref()))
        && text(&sent.port, port)
        && text(&sent.db_name, row.db_name.as_ref())
        && text(&sent.username, row.username.as_ref())
        && sent.connection_string == row.connection_string
        && sent.oauth_id == row.oauth_id
        && flag(sent.active, row.active, true)
        && flag(sent.srv, row.srv, false)
        && flag(sent.ssl, row.ssl, false)
        && match sent.ssl_mode {
            Some(mode) => row.ssl_mode.as_deref() == Some(mode),
            None => row.ssl_mode.as_deref().is_none_or(|mode| mode == "require"),
        }
        && ids.map_or(sent.project_ids.is_empty(), |ids: &[ProjectId]| {
            !ids.is_empty() && ids == sent.project_ids
        })
}

fn password_agrees(sent: &NewConnection, row: &Connection, view: View) -> bool {
    match view {
        View::List => true,
        View::Single => {
            row.password.as_deref() == Some("") || text(&sent.password, row.password.as_ref())
        }
    }
}

fn ssh_agrees(sent: &NewConnection, row: &Connection) -> bool {
    let stored = |secret: &Option<String>| secret.as_ref().map(|text| !text.is_empty());
    flag(sent.use_ssh, row.use_ssh, false)
        && text(&sent.ssh_host, row.ssh_host.as_ref())
        && sent.ssh_port == row.ssh_port
        && text(&sent.ssh_username, row.ssh_username.as_ref())
        && text(&sent.ssh_jump_host, row.ssh_jump_host.as_ref())
        && sent.ssh_jump_port == row.ssh_jump_port
        && flag(stored(&sent.ssh_password), row.has_ssh_password, false)
        && flag(stored(&sent.ssh_passphrase), row.has_ssh_passphrase, false)
}

fn json_agrees(sent: &NewConnection, row: &Connection) -> bool {
    let objects_agree =
        |sent: &Option<Map<String, Value>>, row: &Option<Map<String, Value>>| match (sent, row) {
            (Some(sent), Some(row)) => same_object(sent, row),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
    options_agree(sent, row)
        && objects_agree(&sent.authentication, &row.authentication)
        && objects_agree(
            &sent.firebase_service_account,
            &row.firebase_service_account,
        )
        // A field that Chartbrew does not know, or takes from nobody, is not stored.
        && sent.extra.iter().all(|(name, value)| match row.extra.get(name) {
            None | Some(Value::Null) => true,
            Some(shown) => same(value, shown),
        })
}

fn options_agree(sent: &NewConnection, row: &Connection) -> bool {
    let sent_options = sent.options.as_ref().filter(|options| !options.is_null());
    match (rewritten_by(sent), sent_options, &row.options) {
        (None, None, None) => true,
        (None, Some(sent), Some(row)) => same(sent, row),
        (None, Some(_), None) | (None, None, Some(_)) => false,
        (Some(source), Some(Value::Object(sent)), Some(Value::Object(row))) => sent
            .iter()
            .filter(|&(key, _)| key != source)
            .all(|(key, value)| row.get(key).is_some_and(|shown| same(value, shown))),
        (Some(_), _, _) => true,
    }
}

/// A text that is not stored if it is empty.
fn text(sent: &Option<String>, row: Option<&String>) -> bool {
    sent.as_ref().filter(|text| !text.is_empty()) == row
}

/// A flag with a default. One that the row lacks is at its default.
fn flag(sent: Option<bool>, row: Option<bool>, default: bool) -> bool {
    match sent {
        Some(sent) => row == Some(sent),
        None => row.is_none_or(|row| row == default),
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
