//! How the server reads JSON bodies, before it looks at anything else of a request.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::{model::Values, reply::Reply};

/// The most bytes that a JSON body may have.
const MOST_BYTES: usize = 102_400;

/// The fields of a JSON body; `None` if none was sent or it is not declared as JSON. An array has
/// no fields.
///
/// # Errors
/// The page for a body that is too long, or not an object or array of JSON.
pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Option<Values>, Reply> {
    let sent = headers.contains_key(header::CONTENT_LENGTH)
        || headers.contains_key(header::TRANSFER_ENCODING);
    if !sent || !is_json(headers) {
        return Ok(None);
    }
    if body.len() > MOST_BYTES {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(Reply::page(status, "Payload Too Large"));
    }
    if body.is_empty() {
        return Ok(Some(Values::new()));
    }
    match serde_json::from_str(&String::from_utf8_lossy(body)) {
        Ok(Value::Object(fields)) => Ok(Some(fields)),
        Ok(Value::Array(_)) => Ok(Some(Values::new())),
        Ok(_) | Err(_) => Err(Reply::page(StatusCode::BAD_REQUEST, "Bad Request")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .is_some_and(|v| v.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_the_server_reads_them() {
        let long = format!("{{\"a\":\"{}\"}}", "y".repeat(MOST_BYTES));
        let table = [
            ("application/json", r#"{"a":1}"#, Ok(Some(1))),
            ("Application/JSON; charset=utf-8", r#"{"a":1}"#, Ok(Some(1))),
            ("application/json", "", Ok(Some(0))),
            ("application/json", "[1,2]", Ok(Some(0))),
            ("application/json", "5", Err(400)),
            ("application/json", "{\"name\":", Err(400)),
            ("application/json", &long, Err(413)),
            ("text/plain", &long, Ok(None)),
            ("text/plain", "hello", Ok(None)),
        ];
        for (content_type, body, expected) in table {
            let headers = [("content-type", content_type), ("content-length", "1")];
            let headers = headers
                .into_iter()
                .map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()))
                .collect();
            let read = read(&headers, &Bytes::copy_from_slice(body.as_bytes()))
                .map(|fields| fields.map(|f| f.len()))
                .map_err(|reply| reply.status.as_u16());
            assert_eq!(read, expected, "{content_type} {body:.20}");
        }
    }
}
