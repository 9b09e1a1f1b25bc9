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
    kind: &'static str,
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
                if let Some(schema) = reachable(values, settings) {
                    values.insert("schema".to_owned(), schema.clone());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What testing a stored connection gives.
pub(super) fn test(values: &Values, settings: &Settings) -> Reply {
    let source = Source::of(values);
    if let Some(Err(refused)) = source.map(|s| s.refuse_if_disabled(settings)) {
        return refused;
    }
    let kind = source.map(|s| s.kind);
    if let Some(schema) = reachable(values, settings) {
        let body = match kind {
            Some("mysql" | "postgres") => json!({ "success": true, "schema": schema }),
            Some("clickhouse") => schema.clone(),
            _ => json!({ "success": true }),
        };
        return Reply::json(StatusCode::OK, &body);
    }
    let body = match (kind, values.get("host").and_then(Value::as_str)) {
        (Some("mongodb"), Some(host)) => unknown_host(host, port(values, "27017")),
        (Some("mysql"), _) => refused(port(values, "3306")),
        (Some("postgres"), _) => refused(port(values, "5432")),
        _ => json!({}),
    };
    Reply::json(StatusCode::BAD_REQUEST, &body)
}

fn reachable<'a>(values: &Values, settings: &'a Settings) -> Option<&'a Value> {
    settings.databases.get(values.get("host")?.as_str()?)
}

fn port<'a>(values: &'a Values, default: &'a str) -> &'a str {
    values
        .get("port")
        .and_then(Value::as_str)
        .unwrap_or(default)
}

/// The ORM's error for a database that refuses the connection.
fn refused(port: &str) -> Value {
    let parent = json!({
        "errno": -111, "code": "ECONNREFUSED", "syscall": "connect",
        "address": "127.0.0.1", "port": port.parse::<u16>().unwrap_or_default(), "fatal": true,
    });
    json!({ "name": "SequelizeConnectionRefusedError", "parent": parent, "original": parent })
}

/// The MongoDB driver's error for a host without an address.
fn unknown_host(host: &str, port: &str) -> Value {
    let server = format!("{host}:{port}");
    let topology = json!({
        "type": "Unknown",
        "servers": { server.clone(): {
            "address": server, "type": "Unknown", "hosts": [], "passives": [], "arbiters": [],
            "tags": {}, "minWireVersion": 0, "maxWireVersion": 0, "roundTripTime": -1,
            "minRoundTripTime": 0, "lastUpdateTime": 0, "lastWriteDate": 0,
            "error": { "errorLabelSet": {}, "beforeHandshake": false },
            "topologyVersion": null, "setName": null, "setVersion": null, "electionId": null,
            "logicalSessionTimeoutMinutes": null, "maxMessageSizeBytes": null,
            "maxWriteBatchSize": null, "maxBsonObjectSize": null, "primary": null, "me": null,
            "$clusterTime": null, "iscryptd": false,
        } },
        "stale": false, "compatible": true, "heartbeatFrequencyMS": 10_000,
        "localThresholdMS": 15, "setName": null, "maxElectionId": null, "maxSetVersion": null,
        "commonWireVersion": 0, "logicalSessionTimeoutMinutes": null,
    });
    json!({
        "message": format!("getaddrinfo ENOTFOUND {host}"),
        "errorLabelSet": {}, "reason": topology, "cause": topology,
    })
}
