//! The result of a test of a source.
//!
//! Its texts are the source's driver's, or the source's own, and can hold what was sent to it. They
//! are shown only after the secrets were cut out of them.

use std::fmt;

use serde_json::{Map, Value};

use super::Unreadable;

/// The result of a test.
#[derive(Clone, PartialEq)]
pub struct Tested {
    /// Whether Chartbrew could connect to the source.
    pub success: bool,
    /// What was said of it, as it came. Empty if nothing was said.
    pub words: String,
    /// What was found.
    pub details: Option<Value>,
}

// === impl Tested ===

impl Tested {
    /// Reads the response of HTTP 2xx. Its form differs by the kind of source: an object with
    /// `success`, another JSON value, or a text.
    ///
    /// # Errors
    /// If it is a page, or no text.
    pub fn passed(body: &[u8]) -> Result<Self, Unreadable> {
        let Ok(json) = serde_json::from_slice::<Value>(body) else {
            let text = str::from_utf8(body)
                .map_err(|_| Unreadable::NotJson)?
                .trim();
            return match is_page(text) {
                true => Err(Unreadable::NotJson),
                false => Ok(Self {
                    success: true,
                    words: text.to_owned(),
                    details: None,
                }),
            };
        };
        let (success, details) = match json {
            Value::Object(mut object) => {
                let success = object.remove("success").is_none_or(|value| value != false);
                let details = (!object.is_empty()).then(|| object.into());
                (success, details)
            }
            Value::Null => (true, None),
            other => (true, Some(other)),
        };
        Ok(Self {
            success,
            words: String::new(),
            details,
        })
    }

    /// Reads what a tested API has returned with success: it could be reached, whatever it says.
    pub(in crate::chartbrew) fn relayed(body: &[u8]) -> Self {
        let text = str::from_utf8(body).map(str::trim).unwrap_or_default();
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let is_shown = json.is_none() && !is_page(text);
        Self {
            success: true,
            words: if is_shown {
                text.to_owned()
            } else {
                String::new()
            },
            details: json.filter(|json| !json.is_null()),
        }
    }

    /// Reads the response of HTTP 400: the driver's words, or the error object of a library.
    #[must_use]
    pub fn failed(body: &[u8]) -> Self {
        let words = match serde_json::from_slice(body) {
            Ok(Value::Object(error)) => words_of(&error),
            Ok(_) => String::new(),
            Err(_) => str::from_utf8(body)
                .ok()
                .map(str::trim)
                .filter(|text| !is_page(text))
                .unwrap_or_default()
                .to_owned(),
        };
        Self {
            success: false,
            words,
            details: None,
        }
    }
}

fn is_page(text: &str) -> bool {
    text.starts_with('<')
}

/// What is of use in the error object of the ORM or a driver. Not in it: the SQL and its
/// parameters.
fn words_of(error: &Map<String, Value>) -> String {
    let parent = error
        .get("parent")
        .and_then(Value::as_object)
        .unwrap_or(error);
    let text = |object: &Map<String, Value>, name: &str| {
        let text = object.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let said = ["sqlMessage", "message"]
        .iter()
        .find_map(|name| text(parent, name));
    let said = said
        .or_else(|| text(error, "message"))
        .or_else(|| text(error, "error"));
    let place = text(parent, "address").map(|address| match parent.get("port") {
        Some(port) => format!("{address}:{port}"),
        None => address,
    });
    let what = [
        text(parent, "syscall").or_else(|| text(error, "name")),
        text(parent, "code"),
        place,
    ];
    said.unwrap_or_else(|| what.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

impl fmt::Debug for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tested")
            .field("success", &self.success)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_is_told_in_the_words_that_there_are() {
        let refused = r#"{"name":"SequelizeConnectionRefusedError","parent":{"errno":-111,
            "code":"ECONNREFUSED","syscall":"connect","address":"127.0.0.1","port":1}}"#;
        let denied = r#"{"name":"SequelizeAccessDeniedError","parent":{"code":"ER_ACCESS_DENIED_ERROR",
            "sqlMessage":"Access denied for user 'u'@'h'","sql":"SELECT marker"}}"#;
        let cases = [
            (
                "connect ECONNREFUSED 127.0.0.1:1",
                "connect ECONNREFUSED 127.0.0.1:1",
            ),
            (refused, "connect ECONNREFUSED 127.0.0.1:1"),
            (denied, "Access denied for user 'u'@'h'"),
            (
                r#"{"name":"SequelizeConnectionError","parent":{"code":"28P01"}}"#,
                "SequelizeConnectionError 28P01",
            ),
            (
                r#"{"name":"SequelizeConnectionError","parent":{}}"#,
                "SequelizeConnectionError",
            ),
            (r#"{"error":"Not authorized"}"#, "Not authorized"),
            ("{}", ""),
            ("[]", ""),
            ("", ""),
            ("<!DOCTYPE html><pre>marker</pre>", ""),
        ];
        for (body, words) in cases {
            let tested = Tested::failed(body.as_bytes());
            assert!(!tested.success && tested.details.is_none(), "{body}");
            assert_eq!(tested.words, words, "{body}");
        }
        assert_eq!(Tested::failed(b"\xff").words, "");
    }

    #[test]
    fn a_success_comes_in_many_forms() {
        let cases = [
            (
                r#"{"success":true,"schema":{"t":1}}"#,
                true,
                Some(json!({"schema": {"t": 1}})),
            ),
            (r#"{"success":true}"#, true, None),
            (r#"{"success":false}"#, false, None),
            (r#"["a"]"#, true, Some(json!(["a"]))),
            ("{}", true, None),
            ("null", true, None),
            ("", true, None),
        ];
        for (body, success, details) in cases {
            let tested = Tested::passed(body.as_bytes()).unwrap();
            assert_eq!(
                (tested.success, tested.details),
                (success, details),
                "{body}"
            );
        }
        let relayed = [
            (
                &br#"{"success":false}"#[..],
                "",
                Some(json!({"success": false})),
            ),
            (b"<html>", "", None),
            (b"pong", "pong", None),
            (b"\xff", "", None),
            (b"null", "", None),
        ];
        for (body, words, details) in relayed {
            let tested = Tested::relayed(body);
            assert_eq!((tested.success, &*tested.words), (true, words), "{body:?}");
            assert_eq!(tested.details, details, "{body:?}");
        }
        let text = Tested::passed(b"Connection successful").unwrap();
        assert!(text.success && text.words == "Connection successful");
        assert!(Tested::passed(b"<html>").is_err());
    }
}
