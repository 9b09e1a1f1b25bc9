//! Reads a refusal's body.
//!
//! Chartbrew's 400s are its ORM's error objects: SQL text, bound parameters and the row itself,
//! secrets included. The reader takes only what is on its lists (column names that the API has,
//! error names and texts known from Chartbrew's source) and turns it into values of its own; no
//! upstream text passes. The body is read as Chartbrew's and never as a `google.rpc.Status`.

use std::time::Duration;

use serde_json::Value;

use super::{FieldError, Problem, Rejection};
use crate::chartbrew::types::names;

const MYSQL_CODES: [(&str, Problem); 9] = [
    ("ER_DATA_TOO_LONG", Problem::TooLong),
    ("ER_TRUNCATED_WRONG_VALUE_FOR_FIELD", Problem::WrongType),
    ("ER_TRUNCATED_WRONG_VALUE", Problem::WrongType),
    ("WARN_DATA_TRUNCATED", Problem::WrongType),
    ("ER_WARN_DATA_OUT_OF_RANGE", Problem::OutOfRange),
    ("ER_BAD_NULL_ERROR", Problem::Missing),
    ("ER_NO_DEFAULT_FOR_FIELD", Problem::Missing),
    ("ER_DUP_ENTRY", Problem::NotUnique),
    ("ER_NO_REFERENCED_ROW_2", Problem::NoSuchReference),
];

/// Sequelize's names for "no connection to the database was made". Nothing was stored.
const STORE_UNAVAILABLE: [&str; 5] = [
    "SequelizeConnectionRefusedError",
    "SequelizeConnectionAcquireTimeoutError",
    "SequelizeHostNotFoundError",
    "SequelizeHostNotReachableError",
    "SequelizeAccessDeniedError",
];

/// Sequelize's name for whatever goes wrong with a statement.
const DATABASE_ERROR: &str = "SequelizeDatabaseError";

/// Sequelize's other names for a connection that failed: not said when.
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

const NO_SUCH_USER: &str = "Could not process the request. Please try again.";

/// Envoy, when no host of the cluster can be used.
const NO_HEALTHY_UPSTREAM: &str = "no healthy upstream";
/// Envoy, before the reason why the first and only attempt failed. Where Envoy has retried, it
/// writes "retried and the latest reset reason": what became of the earlier attempts is not said.
const RESET: &str = "upstream connect error or disconnect/reset before headers. reset reason: ";
/// Envoy's reasons that come before anything is forwarded.
const NOT_CONNECTED: [&str; 4] = [
    "connection failure",
    "remote connection failure",
    "connection timeout",
    "overflow",
];
/// HAProxy, when no server of the backend can be used.
const NO_SERVER: &str = "No server is available to handle this request";

impl Rejection {
    /// Reads a 3xx or 4xx response, or a 503 for which nothing was forwarded. A 404 is about a
    /// connection only where the route names one (`of_a_connection`).
    #[must_use]
    pub fn read(
        status: u16,
        retry_after: Option<Duration>,
        body: &[u8],
        of_a_connection: bool,
    ) -> Self {
        match status {
            400 | 422 => read_400(status, body),
            401 => Self::TokenRejected,
            403 => Self::AccessDenied,
            404 if of_a_connection && object(body).is_some() => Self::ConnectionNotFound,
            409 => Self::AlreadyExists,
            413 => Self::TooLarge,
            429 => Self::RateLimited(retry_after),
            503 => Self::NotForwarded(retry_after),
            100..=399 | 404 | 405 | 410 | 421 => Self::NotTheApi(status),
            _ => Self::Unexplained(status),
        }
    }
}

/// Whether the body of a 503 proves that the proxy which wrote it had forwarded nothing. Any other
/// 503 may come after the request was forwarded, and read.
pub(in crate::chartbrew) fn says_not_forwarded(body: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(body) else {
        return false;
    };
    let text = text.trim();
    let reason = text.strip_prefix(RESET);
    // The reason ends the text, or a comma does and what the transport has to say follows.
    let reason = reason.and_then(|text| text.split(',').next());
    text == NO_HEALTHY_UPSTREAM
        || reason.is_some_and(|reason| NOT_CONNECTED.contains(&reason.trim()))
        || text.contains(NO_SERVER)
}

/// Whether a 400 leaves open if anything was stored: Chartbrew lost its database while a statement
/// was under way, and the statement may have been executed all the same. (Measured: an INSERT
/// whose reply is cut off is answered with 400 `SequelizeDatabaseError`, and the row is there; on
/// PostgreSQL that error has no code at all.)
pub(in crate::chartbrew) fn leaves_open(body: &[u8]) -> bool {
    let Some(body) = object(body) else {
        // Nested too deep to be read, say: then the name has to do.
        let name = DATABASE_ERROR.as_bytes();
        return body.windows(name.len()).any(|part| part == name);
    };
    let name = text(&body["name"]);
    if STORE_UNAVAILABLE.contains(&name) {
        return false;
    }
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

fn read_400(status: u16, body: &[u8]) -> Rejection {
    if str::from_utf8(body).is_ok_and(|text| text.trim() == NO_SUCH_USER) {
        return Rejection::TokenRejected;
    }
    let Some(body) = object(body) else {
        return Rejection::Unexplained(status);
    };
    match text(&body["code"]) {
        "SOURCE_DISABLED" => return Rejection::SourceDisabled,
        "SSRF_BLOCKED" => return Rejection::HostNotAllowed,
        _ => {}
    }
    if STORE_UNAVAILABLE.contains(&text(&body["name"])) {
        return Rejection::StoreUnavailable;
    }
    let fields = fields(&body);
    if fields.is_empty() {
        Rejection::Unexplained(status)
    } else {
        Rejection::Fields(fields)
    }
}

/// The body, if it is a JSON object.
fn object(body: &[u8]) -> Option<Value> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.is_object().then_some(body)
}

/// A text; anything else counts as an empty one.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn fields(body: &Value) -> Vec<FieldError> {
    let mut fields = Vec::new();
    let errors = body["errors"].as_array();
    let named = errors.into_iter().flatten().filter_map(named_field);
    for error in named.chain(column_of_the_database(&body["parent"])) {
        let seen = |known: &FieldError| known.field == error.field;
        // A row has at most as many fields as the API: a body with more is not Chartbrew's.
        if !fields.iter().any(seen) && fields.len() < names::MODELLED.len() {
            fields.push(error);
        }
    }
    fields
}

fn named_field(error: &Value) -> Option<FieldError> {
    let problem = match text(&error["validatorKey"]) {
        "not_a_string" => Problem::NotText,
        "is_null" => Problem::Missing,
        "not_unique" => Problem::NotUnique,
        "len" => Problem::TooLong,
        _ => Problem::Invalid,
    };
    field(text(&error["path"]), problem)
}

/// `Data too long for column 'name' at row 1`; `… for column `db`.`Connection`.`ssl` at …`; a
/// foreign key's `… FOREIGN KEY (`oauth_id`) REFERENCES …`.
fn column_of_the_database(parent: &Value) -> Option<FieldError> {
    let code = text(&parent["code"]);
    let (_, problem) = MYSQL_CODES.iter().find(|(known, _)| *known == code)?;
    let message = text(&parent["sqlMessage"]);
    let from = ["column ", "Column ", "Field ", "FOREIGN KEY ("]
        .iter()
        .find_map(|mark| message.split_once(mark))?
        .1;
    let quoted = from.split([' ', ')']).next()?;
    let column = quoted.rsplit('.').next()?;
    field(column.trim_matches(['\'', '`', '"']), *problem)
}

fn field(name: &str, problem: Problem) -> Option<FieldError> {
    let field = names::MODELLED.iter().find(|known| **known == name)?;
    Some(FieldError { field, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Vec<(&'static str, Problem)> {
        match Rejection::read(400, None, body.as_bytes(), false) {
            Rejection::Fields(fields) => fields.into_iter().map(|e| (e.field, e.problem)).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn columns_are_found_in_every_wording_of_the_database() {
        let cases = [
            (
                "ER_DATA_TOO_LONG",
                "Data too long for column 'name' at row 1",
                "name",
                Problem::TooLong,
            ),
            (
                "ER_TRUNCATED_WRONG_VALUE_FOR_FIELD",
                "Incorrect integer value: 'no' for column `chartbrew`.`Connection`.`ssl` at row 1",
                "ssl",
                Problem::WrongType,
            ),
            (
                "ER_BAD_NULL_ERROR",
                "Column 'type' cannot be null",
                "type",
                Problem::Missing,
            ),
            (
                "ER_NO_REFERENCED_ROW_2",
                "… CONSTRAINT `c` FOREIGN KEY (`oauth_id`) REFERENCES `OAuth` (`id`)",
                "oauth_id",
                Problem::NoSuchReference,
            ),
            (
                "ER_WARN_DATA_OUT_OF_RANGE",
                "Out of range value for column 'sshPort' at row 1",
                "sshPort",
                Problem::OutOfRange,
            ),
        ];
        for (code, message, field, problem) in cases {
            let parent = serde_json::json!({"code": code, "sqlMessage": message});
            let body = serde_json::json!({"name": "SequelizeDatabaseError", "parent": parent});
            assert_eq!(fields(&body.to_string()), [(field, problem)], "{message}");
        }
    }

    #[test]
    fn what_is_on_no_list_is_not_read() {
        let cases = [
            r#"{"errors":[{"path":"marker","message":"marker"}]}"#,
            r#"{"errors":[{"path":{"a":1}},{"path":5},{"path":null}]}"#,
            r#"{"parent":{"code":"ER_DATA_TOO_LONG","sqlMessage":"too long for column 'marker'"}}"#,
            r#"{"parent":{"code":"marker","sqlMessage":"for column 'name'"}}"#,
            r#"{"parent":"marker","errors":"marker"}"#,
            r#"{"errors":[{"path":"PRIMARY","validatorKey":"not_unique"}]}"#,
            "[]",
            "",
            "null",
            "{",
        ];
        for body in cases {
            let read = Rejection::read(400, None, body.as_bytes(), false);
            assert_eq!(read, Rejection::Unexplained(400), "{body}");
        }
    }

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

    #[test]
    fn only_known_texts_prove_that_nothing_was_forwarded() {
        let reset = |reason: &str| format!("{RESET}{reason}");
        let cases = [
            (NO_HEALTHY_UPSTREAM.to_owned(), true),
            ("no healthy upstream\n".to_owned(), true),
            (reset("connection failure"), true),
            (reset("remote connection failure"), true),
            (
                reset("remote connection failure, transport failure reason: delayed connect error"),
                true,
            ),
            (reset("connection timeout"), true),
            (reset("overflow"), true),
            (
                format!("<html><body><h1>503</h1>\n{NO_SERVER}.\n</body></html>"),
                true,
            ),
            (reset("connection termination"), false),
            (reset("remote reset"), false),
            (reset("protocol error, connection failure"), false),
            (
                "upstream connect error or disconnect/reset before headers. retried and the \
                 latest reset reason: connection failure"
                    .to_owned(),
                false,
            ),
            ("Service Unavailable".to_owned(), false),
            ("upstream request timeout".to_owned(), false),
            ("not quite: no healthy upstream".to_owned(), false),
            (String::new(), false),
        ];
        for (body, proves) in cases {
            assert_eq!(says_not_forwarded(body.as_bytes()), proves, "{body}");
        }
        assert!(!says_not_forwarded(b"\xff no healthy upstream"));
    }

    #[test]
    fn a_host_that_chartbrew_may_not_connect_to_is_its_own_rejection() {
        let body = br#"{"code":"SSRF_BLOCKED","reason":"private_network","message":"marker"}"#;
        assert_eq!(
            Rejection::read(400, None, body, false),
            Rejection::HostNotAllowed
        );
    }

    #[test]
    fn a_field_is_named_once() {
        let body = r#"{"errors":[{"path":"name","validatorKey":"not_a_string"},{"path":"name"}],
                       "parent":{"code":"ER_DATA_TOO_LONG","sqlMessage":"for column 'name' at"}}"#;
        assert_eq!(fields(body), [("name", Problem::NotText)]);
    }
}
