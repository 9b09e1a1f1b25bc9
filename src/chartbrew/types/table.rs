//! The fields of a connection: one row each, and nowhere else.
//!
//! A new optional field is a row here, a field of the contract's messages, and tests. The rest
//! follows from the row, by macros that read the whole table:
//!
//! | macro | makes |
//! |---|---|
//! | `define_fields` in `types/fields.rs` | `OptionalFields` and `SshFields`; the list of rules |
//! | `check_fields` in `convert/new_connection.rs` | a request → these types |
//! | `select_fields` in `convert/update.rs` | the fields of a request that an update names |
//! | `show_fields` in `convert/response.rs` | these types → a response |
//!
//! A row reads
//!
//! ```text
//! field: type = "restName" { check: …, show: …, compare: …, clear: …, secret: … }
//! ```
//!
//! | | |
//! |---|---|
//! | `field` | its name in the contract: in `NewConnection` and `Connection`, or in `SshTunnel` |
//! | `type` | what its JSON value is read as, and written from |
//! | `check` | the function of `convert/check.rs` that checks and maps it in a request |
//! | `show` | the function of `convert/show.rs` that maps it in a response |
//! | `compare` | how a recovery compares it with a row: see [`Compare`] |
//! | `clear` | what clears it in an update: see [`Clear`] |
//! | `secret` | whether callers must ask for it: see [`Secret`] |
//!
//! A field that every request has, or that none carries, has code of its own where it is used;
//! [`OTHERS`] has its names and rules.

use super::{
    field::{Clear, Compare, Field, Secret},
    names,
};

/// Calls a macro with the table of optional fields. They are sent in this order.
#[rustfmt::skip]
macro_rules! connection_fields {
    ($reader:ident) => { $reader! {
    fields {
        /// Host name, address or base URL.
        host: String = "host" {
            check: as_is, show: as_is, compare: Host, clear: Never, secret: No,
        }
        /// The port, which must be sent as text.
        port: PortText = "port" {
            check: port_text, show: port_text, compare: NonEmpty, clear: Never, secret: No,
        }
        /// The name of the database.
        db_name: String = "dbName" {
            check: encrypted_text, show: as_is, compare: NonEmpty, clear: Never, secret: No,
        }
        /// The user name for the source.
        username: String = "username" {
            check: encrypted_text, show: as_is, compare: NonEmpty, clear: Never, secret: No,
        }
        /// The password, in clear.
        password: String = "password" {
            check: encrypted_text, show: as_is, compare: Password, clear: Never, secret: Yes,
        }
        /// Options of the source: an object or an array; in a request null, too.
        options: Value = "options" {
            check: options, show: value, compare: Options, clear: Null, secret: Yes,
        }
        /// The connection string, in clear. Chartbrew stores an empty one.
        connection_string: String = "connectionString" {
            check: encrypted_text, show: as_is, compare: Equal, clear: Null, secret: Yes,
        }
        /// Whether the host is a DNS seed list.
        srv: bool = "srv" {
            check: as_is, show: as_is, compare: DefaultFlag(false), clear: Null, secret: No,
        }
        /// The authentication against an API source, in clear. Its keys are in `names`.
        authentication: Map<String, Value> = "authentication" {
            check: authentication, show: authentication,
            compare: Equal, clear: Null, secret: SomeKeys,
        }
        /// The key of a Google service account, in clear.
        firebase_service_account: Map<String, Value> = "firebaseServiceAccount" {
            check: object, show: object, compare: Equal, clear: Null, secret: Yes,
        }
        /// Whether the source is reached over TLS.
        ssl: bool = "ssl" {
            check: as_is, show: as_is, compare: DefaultFlag(false), clear: Null, secret: No,
        }
        /// How strictly the certificate is checked; in a row any text.
        ssl_mode: String = "sslMode" {
            check: ssl_mode, show: ssl_mode,
            compare: DefaultText("require"), clear: Null, secret: No,
        }
        /// The schema of the source. Not in a list, and replaced by the server for SQL,
        /// ClickHouse, MongoDB, Jira and Stripe.
        schema: Map<String, Value> = "schema" {
            check: object, show: object, compare: Never, clear: Null, secret: No,
        }
        /// The projects that may use it. Never empty in a request.
        project_ids: Vec<ProjectId> = "project_ids" {
            check: project_ids, show: project_ids, compare: Equal, clear: Null, secret: No,
        }
        /// Whether it is in use.
        active: bool = "active" {
            check: as_is, show: as_is, compare: DefaultFlag(true), clear: Null, secret: No,
        }
        /// The OAuth grant that it uses.
        oauth_id: String = "oauth_id" {
            check: oauth_id, show: as_is, compare: Equal, clear: Null, secret: No,
        }
    }
    ssh {
        /// Whether the SSH tunnel is used.
        enabled: bool = "useSsh" {
            check: as_is, show: as_is, compare: DefaultFlag(false), clear: Null, secret: No,
        }
        /// The SSH server.
        host: String = "sshHost" {
            check: encrypted_text, show: as_is, compare: NonEmpty, clear: Never, secret: No,
        }
        /// The SSH server's port.
        port: i32 = "sshPort" {
            check: port_number, show: as_is, compare: Equal, clear: Null, secret: No,
        }
        /// The user on the SSH server.
        username: String = "sshUsername" {
            check: encrypted_text, show: as_is, compare: NonEmpty, clear: Never, secret: No,
        }
        /// The password on the SSH server. Chartbrew 5.3.0 never returns it.
        password: String = "sshPassword" {
            check: encrypted_text, show: as_is, compare: SshPassword, clear: Never, secret: Yes,
        }
        /// The passphrase of the tunnel's key. Chartbrew 5.3.0 never returns it.
        passphrase: String = "sshPassphrase" {
            check: encrypted_text, show: as_is, compare: SshPassphrase, clear: Never, secret: Yes,
        }
        /// The jump host.
        jump_host: String = "sshJumpHost" {
            check: encrypted_text, show: as_is, compare: NonEmpty, clear: Never, secret: No,
        }
        /// The jump host's port.
        jump_port: i32 = "sshJumpPort" {
            check: port_number, show: as_is, compare: Equal, clear: Null, secret: No,
        }
    }
    }};
}
pub(crate) use connection_fields;

/// The other fields.
#[rustfmt::skip]
pub(super) static OTHERS: [Field; 14] = [
    shown_only(names::ID, Compare::Never),
    required(names::TEAM_ID, "team_id"),
    required(names::NAME, "connection.name"),
    required(names::TYPE, "connection.type"),
    Field { clear: Clear::Null, ..required(names::SUB_TYPE, "connection.sub_type") },
    file(names::SSL_CA, "files.ssl_ca"),
    file(names::SSL_CERT, "files.ssl_cert"),
    file(names::SSL_KEY, "files.ssl_key"),
    // Chartbrew 5.3.0 never returns it. It would be the key itself, not a path.
    Field { secret: Secret::Yes, ..file(names::SSH_PRIVATE_KEY, "files.ssh_private_key") },
    shown_only(names::HAS_SSH_PASSWORD, Compare::ByHand),
    shown_only(names::HAS_SSH_PRIVATE_KEY, Compare::Never),
    shown_only(names::HAS_SSH_PASSPHRASE, Compare::ByHand),
    shown_only(names::CREATED_AT, Compare::Never),
    shown_only(names::UPDATED_AT, Compare::Never),
];

/// A field that tells which connection it is: compared before all others.
const fn required(rest: &'static str, path: &'static str) -> Field {
    Field {
        rest,
        path: Some(path),
        compare: Compare::ByHand,
        clear: Clear::Refused,
        secret: Secret::No,
    }
}

/// A file, which an upload may set right after the create. A row has its path on the server.
const fn file(rest: &'static str, path: &'static str) -> Field {
    Field {
        rest,
        path: Some(path),
        compare: Compare::Never,
        clear: Clear::Refused,
        secret: Secret::No,
    }
}

/// A field that only rows have.
const fn shown_only(rest: &'static str, compare: Compare) -> Field {
    Field {
        rest,
        path: None,
        compare,
        clear: Clear::Refused,
        secret: Secret::No,
    }
}
