//! The body of `POST /team/{team_id}/connections`.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::{ProjectId, names};

/// What to create. `None` is not sent; Chartbrew then uses its default, or null.
///
/// Chartbrew validates nothing: what is in here is stored as it is.
#[derive(Clone, Default, PartialEq)]
pub struct NewConnection {
    /// The team. Chartbrew goes by the path and ignores this; it is sent as documented.
    pub team_id: i32,
    /// The display name, at most 255 characters.
    pub name: String,
    /// The kind of source.
    pub kind: &'static str,
    /// The flavour of the source.
    pub sub_type: Option<&'static str>,
    /// Host name, address or base URL. Chartbrew does not store an empty one.
    pub host: Option<String>,
    /// The port, which must be sent as text. Chartbrew does not store an empty one.
    pub port: Option<String>,
    /// The database. Chartbrew does not store an empty one.
    pub db_name: Option<String>,
    /// The user name. Chartbrew does not store an empty one.
    pub username: Option<String>,
    /// The password. Chartbrew does not store an empty one.
    pub password: Option<String>,
    /// Options: an object, an array or null.
    pub options: Option<Value>,
    /// The connection string. Chartbrew stores an empty one.
    pub connection_string: Option<String>,
    /// Whether the host is a DNS seed list. Default false.
    pub srv: Option<bool>,
    /// See [`authentication`].
    pub authentication: Option<Map<String, Value>>,
    /// The key of a Google service account.
    pub firebase_service_account: Option<Map<String, Value>>,
    /// Whether to use TLS. Default false.
    pub ssl: Option<bool>,
    /// How strictly to check the certificate. Default `require`.
    pub ssl_mode: Option<&'static str>,
    /// The schema of the source. Chartbrew replaces it for most kinds.
    pub schema: Option<Map<String, Value>>,
    /// The projects that may use it. Not sent if empty.
    pub project_ids: Vec<ProjectId>,
    /// Whether it is in use. Default true.
    pub active: Option<bool>,
    /// The OAuth grant.
    pub oauth_id: Option<String>,
    /// Whether to use the SSH tunnel. Default false.
    pub use_ssh: Option<bool>,
    /// The SSH server. Chartbrew does not store an empty one, nor any empty text below.
    pub ssh_host: Option<String>,
    /// The SSH server's port.
    pub ssh_port: Option<i32>,
    /// The user on the SSH server.
    pub ssh_username: Option<String>,
    /// The password on the SSH server.
    pub ssh_password: Option<String>,
    /// The passphrase of the tunnel's key.
    pub ssh_passphrase: Option<String>,
    /// The jump host.
    pub ssh_jump_host: Option<String>,
    /// The jump host's port.
    pub ssh_jump_port: Option<i32>,
    /// Fields that are not modelled, by REST name. Must hold none that is.
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

impl Serialize for NewConnection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let project_ids = (!self.project_ids.is_empty()).then_some(&self.project_ids);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(names::NAME, &self.name)?;
        map.serialize_entry(names::TYPE, self.kind)?;
        put(&mut map, names::SUB_TYPE, self.sub_type.as_ref())?;
        map.serialize_entry(names::TEAM_ID, &self.team_id)?;
        put(&mut map, names::HOST, self.host.as_ref())?;
        put(&mut map, names::PORT, self.port.as_ref())?;
        put(&mut map, names::DB_NAME, self.db_name.as_ref())?;
        put(&mut map, names::USERNAME, self.username.as_ref())?;
        put(&mut map, names::PASSWORD, self.password.as_ref())?;
        put(&mut map, names::OPTIONS, self.options.as_ref())?;
        put(
            &mut map,
            names::CONNECTION_STRING,
            self.connection_string.as_ref(),
        )?;
        put(&mut map, names::SRV, self.srv.as_ref())?;
        put(
            &mut map,
            names::AUTHENTICATION,
            self.authentication.as_ref(),
        )?;
        put(
            &mut map,
            names::FIREBASE_SERVICE_ACCOUNT,
            self.firebase_service_account.as_ref(),
        )?;
        put(&mut map, names::SSL, self.ssl.as_ref())?;
        put(&mut map, names::SSL_MODE, self.ssl_mode.as_ref())?;
        put(&mut map, names::SCHEMA, self.schema.as_ref())?;
        put(&mut map, names::PROJECT_IDS, project_ids)?;
        put(&mut map, names::ACTIVE, self.active.as_ref())?;
        put(&mut map, names::OAUTH_ID, self.oauth_id.as_ref())?;
        put(&mut map, names::USE_SSH, self.use_ssh.as_ref())?;
        put(&mut map, names::SSH_HOST, self.ssh_host.as_ref())?;
        put(&mut map, names::SSH_PORT, self.ssh_port.as_ref())?;
        put(&mut map, names::SSH_USERNAME, self.ssh_username.as_ref())?;
        put(&mut map, names::SSH_PASSWORD, self.ssh_password.as_ref())?;
        put(
            &mut map,
            names::SSH_PASSPHRASE,
            self.ssh_passphrase.as_ref(),
        )?;
        put(&mut map, names::SSH_JUMP_HOST, self.ssh_jump_host.as_ref())?;
        put(&mut map, names::SSH_JUMP_PORT, self.ssh_jump_port.as_ref())?;
        for (name, value) in &self.extra {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Writes a field if it is there.
fn put<M: SerializeMap, T: Serialize>(
    map: &mut M,
    name: &'static str,
    value: Option<&T>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, value))
}

impl fmt::Debug for NewConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewConnection")
            .field("team_id", &self.team_id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
