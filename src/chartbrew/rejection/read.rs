//! Reads a refusal's body.
//!
//! Chartbrew's 400s are its ORM's error objects: SQL text, bound parameters and the row itself,
//! secrets included. The readers take only what is on their lists (column names that the API has,
//! error names and texts known from Chartbrew's source) and turn it into values of their own; no
//! upstream text passes. The body is read as Chartbrew's and never as a `google.rpc.Status`.

use std::time::Duration;

use super::{
    Rejection,
    body::{object, text},
    database, fields,
};

const NO_SUCH_USER: &str = "Could not process the request. Please try again.";

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
            404 if of_a_connection && is_not_found(body) => Self::ConnectionNotFound,
            409 => Self::AlreadyExists,
            413 => Self::TooLarge,
            429 => Self::RateLimited(retry_after),
            503 => Self::NotForwarded(retry_after),
            100..=399 | 404 | 405 | 410 | 421 => Self::NotTheApi(status),
            _ => Self::Unexplained(status),
        }
    }
}

/// Chartbrew's own words. A proxy that knows no route says something else.
fn is_not_found(body: &[u8]) -> bool {
    object(body).is_some_and(|body| text(&body["error"]) == "Not Found")
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
    if database::is_unavailable(&body) {
        return Rejection::StoreUnavailable;
    }
    let fields = fields::refused(&body);
    if fields.is_empty() {
        Rejection::Unexplained(status)
    } else {
        Rejection::Fields(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_host_that_chartbrew_may_not_connect_to_is_its_own_rejection() {
        let body = br#"{"code":"SSRF_BLOCKED","reason":"private_network","message":"marker"}"#;
        assert_eq!(
            Rejection::read(400, None, body, false),
            Rejection::HostNotAllowed
        );
    }
}
