//! A connection as Chartbrew returns it.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::{
    lenient::{PortText, ProjectId, take},
    names,
    unreadable::Unreadable,
};

/// One list of the modelled fields makes the struct, its reader and its writer, so that none of
/// them can forget a field.
macro_rules! connection {
    ($($(#[$doc:meta])* $field:ident: $kind:ty = $name:path,)+) => {
        /// A row, read leniently: a modelled field that is absent, null or of another JSON type
        /// is `None`; what is not null in it is kept in `extra`.
        #[derive(Clone, Default, PartialEq)]
        pub struct Connection {
            /// The id, greater than 0. A row without one is no [`Connection`].
            pub id: i32,
            $($(#[$doc])* pub $field: Option<$kind>,)+
            /// By REST name: every field that is not modelled, null included, and every modelled
            /// one whose value is not of the modelled type.
            pub extra: Map<String, Value>,
        }

        impl Connection {
            /// Takes the modelled fields out of a row; the rest is `extra`.
            fn read(id: i32, mut row: Map<String, Value>) -> Self {
                Self {
                    id,
                    $($field: take(&mut row, $name),)+
                    extra: row,
                }
            }
        }

        /// Writes the row under its REST names; `None` is left out.
        impl Serialize for Connection {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry(names::ID, &self.id)?;
                $(
                    if let Some(value) = &self.$field {
                        map.serialize_entry($name, value)?;
                    }
                )+
                for (name, value) in &self.extra {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    };
}

connection! {
    /// The team that owns it. `None` only in what a project-scoped role sees.
    team_id: i32 = names::TEAM_ID,
    /// The projects that may use it.
    project_ids: Vec<ProjectId> = names::PROJECT_IDS,
    /// The OAuth grant that it uses.
    oauth_id: String = names::OAUTH_ID,
    /// The display name.
    name: String = names::NAME,
    /// The kind of source, any text.
    kind: String = names::TYPE,
    /// The flavour of the source, any text.
    sub_type: String = names::SUB_TYPE,
    /// Whether it is in use.
    active: bool = names::ACTIVE,
    /// Host name, address or base URL.
    host: String = names::HOST,
    /// The name of the database.
    db_name: String = names::DB_NAME,
    /// The port.
    port: PortText = names::PORT,
    /// The user name for the source.
    username: String = names::USERNAME,
    /// The password, in clear. Never in a list; empty for roles that may not see it.
    password: String = names::PASSWORD,
    /// Whether the host is a DNS seed list.
    srv: bool = names::SRV,
    /// Options of the source: an object or an array.
    options: Value = names::OPTIONS,
    /// The connection string, in clear.
    connection_string: String = names::CONNECTION_STRING,
    /// The authentication against an API source, in clear.
    authentication: Map<String, Value> = names::AUTHENTICATION,
    /// The key of a Google service account, in clear.
    firebase_service_account: Map<String, Value> = names::FIREBASE_SERVICE_ACCOUNT,
    /// Whether the source is reached over TLS.
    ssl: bool = names::SSL,
    /// How strictly the certificate is checked, any text.
    ssl_mode: String = names::SSL_MODE,
    /// Path of the CA certificate on Chartbrew's server.
    ssl_ca: String = names::SSL_CA,
    /// Path of the client certificate on Chartbrew's server.
    ssl_cert: String = names::SSL_CERT,
    /// Path of the client key on Chartbrew's server.
    ssl_key: String = names::SSL_KEY,
    /// The schema of the source. Never in a list.
    schema: Map<String, Value> = names::SCHEMA,
    /// Whether the SSH tunnel is used.
    use_ssh: bool = names::USE_SSH,
    /// The SSH server.
    ssh_host: String = names::SSH_HOST,
    /// The SSH server's port.
    ssh_port: i32 = names::SSH_PORT,
    /// The user on the SSH server.
    ssh_username: String = names::SSH_USERNAME,
    /// The password on the SSH server. Chartbrew 5.3.0 never returns it.
    ssh_password: String = names::SSH_PASSWORD,
    /// The passphrase of the tunnel's key. Chartbrew 5.3.0 never returns it.
    ssh_passphrase: String = names::SSH_PASSPHRASE,
    /// The jump host.
    ssh_jump_host: String = names::SSH_JUMP_HOST,
    /// The jump host's port.
    ssh_jump_port: i32 = names::SSH_JUMP_PORT,
    /// Whether an SSH password is stored.
    has_ssh_password: bool = names::HAS_SSH_PASSWORD,
    /// Whether an SSH key is stored.
    has_ssh_private_key: bool = names::HAS_SSH_PRIVATE_KEY,
    /// Whether a passphrase is stored.
    has_ssh_passphrase: bool = names::HAS_SSH_PASSPHRASE,
    /// When it was created: milliseconds in the create answer, whole seconds when read back.
    created_at: Timestamp = names::CREATED_AT,
    /// When it was last changed.
    updated_at: Timestamp = names::UPDATED_AT,
}

// === impl Connection ===

impl Connection {
    /// Reads the answer to a create, a get or an update.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], which says nothing about whether the call took effect: after a 200 to a
    /// create, the connection exists.
    pub fn from_json(json: &[u8]) -> Result<Self, Unreadable> {
        let Value::Object(mut row) = serde_json::from_slice(json)? else {
            return Err(Unreadable::WrongShape);
        };
        let id = take(&mut row, names::ID).filter(|id| *id > 0);
        Ok(Self::read(id.ok_or(Unreadable::NoId)?, row))
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
