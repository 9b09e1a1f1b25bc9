//! The data sources: what they are called, which are switched off, and what reaching one gives.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Settings, model::Values, reply::Reply};

/// Every source: its id, its type, its name, and whether the server does something of its own when
/// a connection of it is created. Only then is it noticed on creation that it is switched off.
const SOURCES: [(&str, &str, &str, bool); 17] = [
    ("mongodb", "mongodb", "MongoDB", true),
    ("api", "api", "API", false),
    ("mysql", "mysql", "MySQL", true),
    ("postgres", "postgres", "PostgreSQL", true),
    ("realtimedb", "realtimedb", "Realtime DB", false),
    ("firestore", "firestore", "Firestore", false),
    (
        "googleAnalytics",
        "googleAnalytics",
        "Google Analytics",
        false,
    ),
    ("customerio", "customerio", "Customer.io", false),
    ("clickhouse", "clickhouse", "ClickHouse", true),
    ("jira", "jira", "Jira", true),
    ("stripeOfficial", "stripeOfficial", "Stripe", true),
    ("timescaledb", "postgres", "Timescale", true),
    ("supabasedb", "postgres", "Supabase DB", true),
    ("rdsPostgres", "postgres", "RDS Postgres", true),
    ("rdsMysql", "mysql", "RDS MySQL", true),
    ("strapi", "api", "Strapi", false),
    ("stripe", "api", "Stripe Legacy", false),
];

/// A source, as a connection's type and subType name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    id: &'static str,
    /// Its type.
    pub(super) kind: &'static str,
    name: &'static str,
    /// Whether the server does something of its own when a connection is created.
    pub(super) prepares: bool,
}

impl Source {
    /// The source of a connection with these values: the one its subType names, else its type.
    pub(super) fn of(values: &Values) -> Option<Self> {
        let text = |name| values.get(name).and_then(Value::as_str);
        let kind = text("type");
        let id = text("subType").filter(|s| !s.is_empty()).or(kind);
        let named = |id: Option<&str>| SOURCES.into_iter().find(|s| Some(s.0) == id);
        let (id, kind, name, prepares) = named(id).or_else(|| named(kind))?;
        Some(Self {
            id,
            kind,
            name,
            prepares,
        })
    }

    /// The source that the type alone names.
    pub(super) fn of_type(values: &Values) -> Option<Self> {
        let kind = values.get("type")?.as_str()?;
        let is_type = SOURCES.into_iter().any(|(_, k, _, _)| k == kind);
        is_type.then(|| Self::of(values)).flatten()
    }

    /// The response to a request for a source that is switched off.
    pub(super) fn refuse_if_disabled(self, settings: &Settings) -> Result<(), Reply> {
        let off = |id: &&str| settings.disabled_sources.iter().any(|off| off == id);
        if ![self.id, self.kind].iter().any(off) {
            return Ok(());
        }
        let body = json!({
            "code": "SOURCE_DISABLED",
            "sourceId": self.id,
            "message": format!("{} is disabled on this server.", self.name),
        });
        Err(Reply::json(StatusCode::BAD_REQUEST, &body))
    }

    /// What the server adds to a connection before it stores it: the schema of a database that it
    /// can reach. Jira and Stripe must be reached and never are.
    pub(super) fn prepare(self, values: &mut Values, settings: &Settings) -> Result<(), Reply> {
        match self.kind {
            "jira" | "stripeOfficial" => Err(Reply::json(StatusCode::BAD_REQUEST, &json!({}))),
            "mysql" | "postgres" | "clickhouse" => {
                if let Reached::Schema(schema) = reach(values, settings) {
                    values.insert("schema".to_owned(), schema.clone());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What comes of connecting to a database.
pub(super) enum Reached<'a> {
    /// It can be reached: its schema.
    Schema(&'a Value),
    /// It does not take the password.
    Denied,
    /// Nothing listens there.
    Refused,
}

/// Connects to the database of a connection with these values.
pub(super) fn reach<'a>(values: &Values, settings: &'a Settings) -> Reached<'a> {
    let text = |name| values.get(name).and_then(Value::as_str);
    let host = text("host").unwrap_or_default();
    let databases = &settings.databases;
    let database = match text("port") {
        Some(port) => databases.get(&format!("{host}:{port}")),
        None => None,
    };
    match database.or_else(|| databases.get(host)) {
        None => Reached::Refused,
        Some(database) => match &database.password {
            Some(password) if text("password") != Some(password) => Reached::Denied,
            _ => Reached::Schema(&database.schema),
        },
    }
}
