//! What Chartbrew's ORM (Sequelize) and the database behind it say of a statement that failed.

use serde_json::Value;

use super::body::{object, text};

/// Sequelize's names for "no connection to the database was made".
const STORE_UNAVAILABLE: [&str; 5] = [
    "SequelizeConnectionRefusedError",
    "SequelizeConnectionAcquireTimeoutError",
    "SequelizeHostNotFoundError",
    "SequelizeHostNotReachableError",
    "SequelizeAccessDeniedError",
];

/// Sequelize's name for any failure of a statement.
const DATABASE_ERROR: &str = "SequelizeDatabaseError";

/// Sequelize's other names for a connection that failed. They do not say when it failed.
const STORE_LOST: [&str; 3] = [
    "SequelizeConnectionError",
    "SequelizeConnectionTimedOutError",
    "SequelizeInvalidConnectionError",
];

/// Codes of a connection that was lost, in the words of Node and of the database drivers.
const LOST: [&str; 8] = [
    "ECONNRESET",
    "ECONNABORTED",
    "EPIPE",
    "ETIMEDOUT",
    "PROTOCOL_CONNECTION_LOST",
    "PROTOCOL_SEQUENCE_TIMEOUT",
    "ER_SERVER_SHUTDOWN",
    "ER_CONNECTION_KILLED",
];

/// Whether no connection to the database was made: nothing was stored.
pub(super) fn is_unavailable(body: &Value) -> bool {
    STORE_UNAVAILABLE.contains(&text(&body["name"]))
}

/// Whether a 400 leaves open if anything was stored: Chartbrew lost its database while a statement
/// was under way, and the statement may have been executed all the same. (Measured: an INSERT
/// whose reply is cut off gets 400 `SequelizeDatabaseError`, and the row is there; on
/// PostgreSQL that error has no code at all.)
pub(in crate::chartbrew) fn leaves_open(body: &[u8]) -> bool {
    let Some(body) = object(body) else {
        // Nested too deep to be read, say: then the name has to do.
        let name = DATABASE_ERROR.as_bytes();
        return body.windows(name.len()).any(|part| part == name);
    };
    if is_unavailable(&body) {
        return false;
    }
    let name = text(&body["name"]);
    let parent = &body["parent"];
    let code = match parent.is_object() {
        true => text(&parent["code"]),
        false => text(&body["code"]),
    };
    let without_a_code = name == DATABASE_ERROR && code.is_empty();
    without_a_code
        || STORE_LOST.contains(&name)
        || parent["fatal"] == true
        || LOST.contains(&code)
        || is_a_lost_sqlstate(code)
}

/// PostgreSQL's classes "connection exception" and "operator intervention".
fn is_a_lost_sqlstate(code: &str) -> bool {
    code.len() == 5 && (code.starts_with("08") || code.starts_with("57P"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_was_lost_leaves_the_outcome_open() {
        let of = |name: &str, code: &str, fatal: &str| {
            format!(r#"{{"name":"{name}","parent":{{"code":"{code}","fatal":{fatal}}}}}"#)
        };
        let database = "SequelizeDatabaseError";
        let cases = [
            (of(database, "ECONNRESET", "true"), true),
            (of(database, "PROTOCOL_CONNECTION_LOST", "true"), true),
            (of(database, "SOMETHING_NEW", "true"), true),
            (of(database, "ETIMEDOUT", "null"), true),
            (of(database, "57P01", "{}"), true),
            (of(database, "08006", "false"), true),
            (r#"{"code":"ECONNRESET"}"#.to_owned(), true),
            // PostgreSQL: `Connection terminated unexpectedly`, without a code.
            (of(database, "", "null"), true),
            (
                r#"{"name":"SequelizeDatabaseError","parent":"x"}"#.to_owned(),
                true,
            ),
            (
                r#"{"name":"SequelizeDatabaseError","parent":{}}"#.to_owned(),
                true,
            ),
            (r#"{"name":"SequelizeDatabaseError"}"#.to_owned(), true),
            (of("SequelizeConnectionError", "ECONNREFUSED", "null"), true),
            (of(database, "ER_DATA_TOO_LONG", "false"), false),
            (of("SequelizeValidationError", "", "null"), false),
            (of(database, "22001", "false"), false),
            (
                of("SequelizeConnectionRefusedError", "ECONNREFUSED", "true"),
                false,
            ),
            ("{}".to_owned(), false),
            ("<html>".to_owned(), false),
            (
                format!(r#"{{"name":"{database}","x":{}"#, "[".repeat(200)),
                true,
            ),
        ];
        for (body, open) in cases {
            assert_eq!(leaves_open(body.as_bytes()), open, "{body}");
        }
    }
}
