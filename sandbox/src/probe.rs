//! What testing a connection gives: of a saved one the driver's error object, of a new one its words.

use std::net::IpAddr;

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Settings,
    model::Values,
    reply::Reply,
    source::{Reached, Source, reach},
    ssrf,
};

/// Tests a connection that is stored. One of an unknown type is tested as an API.
pub(super) fn saved(values: &Values, settings: &Settings) -> Result<Reply, Reply> {
    let source = Source::of(values);
    if let Some(source) = source {
        source.refuse_if_disabled(settings)?;
    }
    let kind = source.map_or("api", |s| s.kind);
    let error = match (kind, reach(values, settings)) {
        ("mysql" | "postgres", Reached::Schema(schema)) => return Ok(schema_found(schema)),
        ("clickhouse", Reached::Schema(schema)) => {
            return Ok(Reply::json(StatusCode::OK, schema));
        }
        (_, Reached::Schema(_)) => return Ok(succeeded()),
        ("api", _) => {
            ssrf::check(values)?;
            json!({})
        }
        ("mysql", Reached::Denied) => denied(values),
        ("mysql" | "postgres", Reached::Refused) => refused(port(values, kind)),
        ("mongodb", Reached::Refused) => match text(values, "host") {
            Some(host) => unknown_host(host, port(values, kind)),
            None => json!({}),
        },
        (_, Reached::Refused | Reached::Denied) => json!({}),
    };
    Ok(Reply::json(StatusCode::BAD_REQUEST, &error))
}

/// Tests settings that are not stored.
pub(super) fn unsaved(values: &Values, settings: &Settings) -> Result<Reply, Reply> {
    let Some(source) = Source::of_type(values) else {
        return Ok(failed("No request type specified".to_owned()));
    };
    source.refuse_if_disabled(settings)?;
    let kind = source.kind;
    let words = match (kind, reach(values, settings)) {
        ("mysql" | "postgres" | "clickhouse", Reached::Schema(schema)) => {
            return Ok(schema_found(schema));
        }
        (_, Reached::Schema(_)) => return Ok(succeeded()),
        ("api", _) => {
            ssrf::check(values)?;
            not_connected(host_of_url(values), "80")
        }
        ("mysql", Reached::Denied) => access_denied(values),
        ("postgres", Reached::Denied) => format!(
            "password authentication failed for user \"{}\"",
            text(values, "username").unwrap_or_default()
        ),
        ("mongodb", Reached::Denied) => "Authentication failed.".to_owned(),
        ("clickhouse", _) => {
            // The host is put behind `http://`, also if it begins with that itself.
            let host = text(values, "host").and_then(|host| host.split(':').next());
            let words = not_connected(host, port(values, kind));
            format!("Failed to fetch database schema: {words}")
        }
        ("mysql" | "postgres" | "mongodb", Reached::Refused) => {
            not_connected(text(values, "host"), port(values, kind))
        }
        // Not measured; saved ones get the same.
        (_, Reached::Refused | Reached::Denied) => {
            return Ok(Reply::json(StatusCode::BAD_REQUEST, &json!({})));
        }
    };
    Ok(failed(words))
}

fn succeeded() -> Reply {
    Reply::json(StatusCode::OK, &json!({ "success": true }))
}

fn schema_found(schema: &Value) -> Reply {
    let body = json!({ "success": true, "schema": schema });
    Reply::json(StatusCode::OK, &body)
}

fn failed(words: String) -> Reply {
    Reply::text(StatusCode::BAD_REQUEST, words)
}

// === what the values say ===

fn text<'a>(values: &'a Values, column: &str) -> Option<&'a str> {
    values.get(column).and_then(Value::as_str)
}

fn host_of_url(values: &Values) -> Option<&str> {
    let (_, rest) = text(values, "host")?.split_once("://")?;
    rest.split(['/', ':', '?']).next()
}

fn port<'a>(values: &'a Values, kind: &str) -> &'a str {
    let default = match kind {
        "mongodb" => "27017",
        "postgres" => "5432",
        "clickhouse" => "8123",
        _ => "3306",
    };
    text(values, "port").unwrap_or(default)
}

// === what drivers say ===

/// An address refuses the connection; a name has no address.
fn not_connected(host: Option<&str>, port: &str) -> String {
    match host {
        None | Some("" | "localhost") => format!("connect ECONNREFUSED 127.0.0.1:{port}"),
        Some(host) if host.parse::<IpAddr>().is_ok() => {
            format!("connect ECONNREFUSED {host}:{port}")
        }
        Some(host) => format!("getaddrinfo ENOTFOUND {host}"),
    }
}

/// MySQL's words for a wrong password.
fn access_denied(values: &Values) -> String {
    let user = text(values, "username").unwrap_or_default();
    let used = match text(values, "password") {
        None | Some("") => "NO",
        Some(_) => "YES",
    };
    format!("Access denied for user '{user}'@'localhost' (using password: {used})")
}

/// The ORM's error for a wrong password.
fn denied(values: &Values) -> Value {
    let parent = json!({
        "code": "ER_ACCESS_DENIED_ERROR", "errno": 1045, "sqlState": "28000",
        "sqlMessage": access_denied(values),
    });
    json!({ "name": "SequelizeAccessDeniedError", "parent": parent, "original": parent })
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
