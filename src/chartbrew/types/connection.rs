//! A connection as Chartbrew returns it.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{fields::OptionalFields, lenient::put, names, unreadable::Unreadable};

/// A row, read leniently: a modelled field that is absent, null or of another JSON type is `None`;
/// what is not null in it is kept in `extra`.
#[derive(Clone, Default, PartialEq, Serialize)]
pub struct Connection {
    /// The id, greater than 0. A row without one is no [`Connection`].
    pub id: i32,
    /// The team that owns it. `None` only in what a project-scoped role sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team_id: Option<i32>,
    /// The display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The kind of source, any text.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The flavour of the source, any text.
    #[serde(rename = "subType", skip_serializing_if = "Option::is_none")]
    pub sub_type: Option<String>,
    /// What a request may set.
    #[serde(flatten)]
    pub fields: OptionalFields,
    /// Path of the CA certificate on Chartbrew's server.
    #[serde(rename = "sslCa", skip_serializing_if = "Option::is_none")]
    pub ssl_ca: Option<String>,
    /// Path of the client certificate on Chartbrew's server.
    #[serde(rename = "sslCert", skip_serializing_if = "Option::is_none")]
    pub ssl_cert: Option<String>,
    /// Path of the client key on Chartbrew's server.
    #[serde(rename = "sslKey", skip_serializing_if = "Option::is_none")]
    pub ssl_key: Option<String>,
    /// Whether an SSH password is stored.
    #[serde(rename = "hasSshPassword", skip_serializing_if = "Option::is_none")]
    pub has_ssh_password: Option<bool>,
    /// Whether an SSH key is stored.
    #[serde(rename = "hasSshPrivateKey", skip_serializing_if = "Option::is_none")]
    pub has_ssh_private_key: Option<bool>,
    /// Whether a passphrase is stored.
    #[serde(rename = "hasSshPassphrase", skip_serializing_if = "Option::is_none")]
    pub has_ssh_passphrase: Option<bool>,
    /// When it was created: milliseconds in the create response, whole seconds when read back.
    #[serde(rename = "createdAt", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When it was last changed.
    #[serde(rename = "updatedAt", skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// By REST name: every field that is not modelled, null included, and every modelled one whose
    /// value is not of the modelled type.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

// === impl Connection ===

impl Connection {
    /// Reads the response to a create, a get or an update.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], which says nothing about whether the call took effect: after a 200 to a
    /// create, the connection exists.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        let Value::Object(object) = serde_json::from_slice(json)? else {
            return Err(Unreadable::WrongShape);
        };
        let mut id = None;
        let mut row = Self::default();
        for (name, value) in object {
            let left = match &*name {
                names::ID => put(&mut id, value),
                names::TEAM_ID => put(&mut row.team_id, value),
                names::NAME => put(&mut row.name, value),
                names::TYPE => put(&mut row.kind, value),
                names::SUB_TYPE => put(&mut row.sub_type, value),
                names::SSL_CA => put(&mut row.ssl_ca, value),
                names::SSL_CERT => put(&mut row.ssl_cert, value),
                names::SSL_KEY => put(&mut row.ssl_key, value),
                names::HAS_SSH_PASSWORD => put(&mut row.has_ssh_password, value),
                names::HAS_SSH_PRIVATE_KEY => put(&mut row.has_ssh_private_key, value),
                names::HAS_SSH_PASSPHRASE => put(&mut row.has_ssh_passphrase, value),
                names::CREATED_AT => put(&mut row.created_at, value),
                names::UPDATED_AT => put(&mut row.updated_at, value),
                _ => row.fields.put(&name, value),
            };
            if let Some(value) = left {
                row.extra.insert(name, value);
            }
        }
        row.id = id.filter(|id| *id > 0).ok_or(Unreadable::NoId)?;
        Ok(row)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("team_id", &self.team_id)
            .finish_non_exhaustive()
    }
}
