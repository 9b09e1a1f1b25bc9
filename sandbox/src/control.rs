//! `/_sandbox/…`: sets faults and reads the state of the sandbox over HTTP.

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Fault, Seen,
    api::Request,
    reply::Reply,
    state::{App, Memory},
};

/// Where all paths of this kind begin.
pub(super) const PREFIX: &str = "/_sandbox/";

/// Answers a request whose path begins with [`PREFIX`].
pub(super) fn call(app: &App, request: &Request) -> Reply {
    let what = request.path.strip_prefix(PREFIX).unwrap_or_default();
    match (&request.method, what) {
        (&Method::POST, "faults") => match serde_json::from_slice::<Vec<Fault>>(&request.body) {
            Ok(faults) => {
                app.change(|m| m.faults.extend(faults));
                done()
            }
            Err(error) => refused(&error.to_string()),
        },
        (&Method::DELETE, "faults") => {
            app.change(|m| m.faults.clear());
            done()
        }
        (&Method::GET, "requests") => {
            let seen = app.read(|m| m.seen.iter().map(listed).collect());
            Reply::json(StatusCode::OK, &Value::Array(seen))
        }
        (&Method::DELETE, "requests") => {
            app.change(Memory::clear_seen);
            done()
        }
        (&Method::POST, "reset") => {
            app.reset();
            done()
        }
        (&Method::GET, what) => match what.strip_prefix("rows/").map(str::parse) {
            Some(Ok(team)) => {
                let rows = app.read(|m| m.rows_of(team));
                let rows = rows.iter().map(|row| Value::Object(row.whole()));
                Reply::json(StatusCode::OK, &rows.collect())
            }
            Some(Err(_)) => refused("the team is not a number"),
            None => unknown(),
        },
        _ => unknown(),
    }
}

fn listed(seen: &Seen) -> Value {
    json!({
        "method": seen.method.as_str(),
        "path": seen.path,
        "headers": headers(&seen.headers),
        "body": String::from_utf8_lossy(&seen.body),
        "status": seen.status,
    })
}

fn headers(headers: &HeaderMap) -> Value {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str().to_owned(), Value::from(value.into_owned()))
        })
        .collect()
}

fn done() -> Reply {
    Reply::empty(StatusCode::NO_CONTENT)
}

fn refused(error: &str) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, &json!({ "error": error }))
}

fn unknown() -> Reply {
    let body = json!({ "error": "no such part of the sandbox" });
    Reply::json(StatusCode::NOT_FOUND, &body)
}
