//! A connection as Chartbrew returns it.

use std::{borrow::Cow, fmt};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{
    field::Secret,
    fields::{OptionalFields, field},
    lenient::put,
    names,
    unreadable::Unreadable,
};

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

/// Reads a row.
struct RowVisitor;

/// A field's name, as it is in the response where no escape is in it.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

// === impl Connection ===

impl Connection {
    /// Reads the response to a create, a get or an update.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], which says nothing about whether the call took effect: after a 200 to a
    /// create, the connection exists.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        let row: Self = serde_json::from_slice(json)?;
        match row.id > 0 {
            true => Ok(row),
            false => Err(Unreadable::NoId),
        }
    }

    /// Leaves no secret in the row, nor a field that the contract does not know, since that could be
    /// one.
    pub fn hide_secrets(&mut self) {
        self.fields.hide_secrets();
        if let Some(authentication) = &mut self.fields.authentication {
            let open = [names::AUTHENTICATION_TYPE, names::AUTHENTICATION_USER];
            authentication.retain(|key, value| open.contains(&&**key) && value.is_string());
        }
        self.extra
            .retain(|name, _| field(name).is_some_and(|field| field.secret == Secret::No));
    }

    /// Takes a field of a row. If one comes twice, the last one counts.
    fn put(&mut self, name: &str, value: Value) {
        let left = match name {
            names::ID => {
                let mut id = None;
                let left = put(&mut id, value);
                self.id = id.unwrap_or_default();
                left
            }
            names::TEAM_ID => put(&mut self.team_id, value),
            names::NAME => put(&mut self.name, value),
            names::TYPE => put(&mut self.kind, value),
            names::SUB_TYPE => put(&mut self.sub_type, value),
            names::SSL_CA => put(&mut self.ssl_ca, value),
            names::SSL_CERT => put(&mut self.ssl_cert, value),
            names::SSL_KEY => put(&mut self.ssl_key, value),
            names::HAS_SSH_PASSWORD => put(&mut self.has_ssh_password, value),
            names::HAS_SSH_PRIVATE_KEY => put(&mut self.has_ssh_private_key, value),
            names::HAS_SSH_PASSPHRASE => put(&mut self.has_ssh_passphrase, value),
            names::CREATED_AT => put(&mut self.created_at, value),
            names::UPDATED_AT => put(&mut self.updated_at, value),
            _ => self.fields.put(name, value),
        };
        match left {
            Some(value) => drop(self.extra.insert(name.to_owned(), value)),
            None => drop(self.extra.remove(name)),
        }
    }
}

/// A field at a time, so that no tree of the whole row is built.
impl<'de> Deserialize<'de> for Connection {
    fn deserialize<D: Deserializer<'de>>(row: D) -> Result<Self, D::Error> {
        row.deserialize_map(RowVisitor)
    }
}

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Connection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a connection")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Connection, A::Error> {
        let mut row = Connection::default();
        while let Some((Name(name), value)) = fields.next_entry()? {
            row.put(&name, value);
        }
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
