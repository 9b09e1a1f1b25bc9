//! The body of `POST /team/{team_id}/connections`, as a type.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{fields::OptionalFields, names};

/// What to create. Chartbrew validates nothing: what is in here is stored as it is.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct NewConnection {
    /// The display name, at most 255 characters.
    pub name: String,
    /// The kind of source.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The flavour of the source.
    #[serde(rename = "subType", skip_serializing_if = "Option::is_none")]
    pub sub_type: Option<&'static str>,
    /// The team. Chartbrew goes by the path and ignores this; it is sent as documented.
    pub team_id: i32,
    /// What may be left out.
    #[serde(flatten)]
    pub fields: OptionalFields,
    /// Fields that are not modelled, by REST name. Must hold none that is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The JSON object of `authentication`.
#[must_use]
pub fn authentication(
    kind: &str,
    token: Option<String>,
    user: Option<String>,
    pass: Option<String>,
) -> Map<String, Value> {
    [
        (names::AUTHENTICATION_TYPE, Some(kind.to_owned())),
        (names::AUTHENTICATION_TOKEN, token),
        (names::AUTHENTICATION_USER, user),
        (names::AUTHENTICATION_PASS, pass),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?))))
    .collect()
}

// === impl NewConnection ===

impl fmt::Debug for NewConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewConnection")
            .field("team_id", &self.team_id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
