//! A response that a fault gives instead of the true one.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::reply::JSON;

/// A response to give instead of the true one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Respond {
    /// The status; one that HTTP does not know becomes 500.
    pub status: u16,
    /// The `Content-Type`; default JSON.
    pub content_type: String,
    /// Further headers; a name or value that HTTP forbids is left out.
    pub headers: BTreeMap<String, String>,
    /// The body; default empty.
    #[serde(with = "text")]
    pub body: Bytes,
}

impl Default for Respond {
    fn default() -> Self {
        Self {
            status: 200,
            content_type: JSON.into(),
            headers: BTreeMap::new(),
            body: Bytes::new(),
        }
    }
}

impl Respond {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: content_type.into(),
            headers: BTreeMap::new(),
            body: body.into(),
        }
    }
}

/// Bodies are text in JSON.
mod text {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(body: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&String::from_utf8_lossy(body))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        String::deserialize(from).map(Bytes::from)
    }
}
