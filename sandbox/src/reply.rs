//! Responses in the forms that Express gives them.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::Respond;

/// How Express types JSON.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// How Express types strings, whether or not they are HTML.
const HTML: &str = "text/html; charset=utf-8";

/// A response, before it is known how it goes out.
pub(super) struct Reply {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its own headers; the transport's are added on the way out.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body, whole.
    pub(super) body: Bytes,
}

impl Reply {
    /// A response with a JSON body.
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self::written_json(status, body.to_string())
    }

    /// The same, of a body that is written already.
    pub(super) fn written_json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, JSON, body)
    }

    /// A response with a bare string as its body.
    pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, HTML, body)
    }

    /// The page with which Express answers what no route has answered.
    pub(super) fn page(status: StatusCode, message: &str) -> Self {
        let message = message
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;");
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <title>Error</title>\n</head>\n<body>\n<pre>{message}</pre>\n</body>\n</html>\n"
        );
        Self::new(status, HTML, page)
    }

    /// A response without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// The true answer, its body replaced by something that is neither JSON nor UTF-8.
    pub(super) fn garbled(mut self) -> Self {
        self.body = Bytes::from_static(b"{\"id\":\xff\xfe,\"na");
        self
    }

    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        Self {
            status,
            headers: vec![(header::CONTENT_TYPE, content_type)],
            body: body.into(),
        }
    }
}

impl From<Respond> for Reply {
    fn from(respond: Respond) -> Self {
        let Respond {
            status,
            content_type,
            headers: more,
            body,
        } = respond;
        let headers = [("content-type".to_owned(), content_type)]
            .into_iter()
            .chain(more)
            .filter_map(|(name, value)| {
                let name = HeaderName::try_from(name).ok()?;
                Some((name, HeaderValue::try_from(value).ok()?))
            })
            .collect();
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers,
            body,
        }
    }
}
