//! The REST names of a connection's fields, once each.

macro_rules! names {
    ($($name:ident = $text:literal,)+) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: &str = $text;
        )+

        /// Every name above: the fields that the gateway's contract models, in a request or in an
        /// answer.
        pub const MODELLED: &[&str] = &[$($text),+];
    };
}

names! {
    ID = "id",
    TEAM_ID = "team_id",
    PROJECT_IDS = "project_ids",
    OAUTH_ID = "oauth_id",
    NAME = "name",
    TYPE = "type",
    SUB_TYPE = "subType",
    ACTIVE = "active",
    HOST = "host",
    DB_NAME = "dbName",
    PORT = "port",
    USERNAME = "username",
    PASSWORD = "password",
    SRV = "srv",
    OPTIONS = "options",
    CONNECTION_STRING = "connectionString",
    AUTHENTICATION = "authentication",
    FIREBASE_SERVICE_ACCOUNT = "firebaseServiceAccount",
    SSL = "ssl",
    SSL_MODE = "sslMode",
    SSL_CA = "sslCa",
    SSL_CERT = "sslCert",
    SSL_KEY = "sslKey",
    SCHEMA = "schema",
    USE_SSH = "useSsh",
    SSH_HOST = "sshHost",
    SSH_PORT = "sshPort",
    SSH_USERNAME = "sshUsername",
    SSH_PASSWORD = "sshPassword",
    SSH_PRIVATE_KEY = "sshPrivateKey",
    SSH_PASSPHRASE = "sshPassphrase",
    SSH_JUMP_HOST = "sshJumpHost",
    SSH_JUMP_PORT = "sshJumpPort",
    HAS_SSH_PASSWORD = "hasSshPassword",
    HAS_SSH_PRIVATE_KEY = "hasSshPrivateKey",
    HAS_SSH_PASSPHRASE = "hasSshPassphrase",
    CREATED_AT = "createdAt",
    UPDATED_AT = "updatedAt",
}

/// `type`, inside `authentication`.
pub const AUTHENTICATION_TYPE: &str = "type";
/// `token`, inside `authentication`.
pub const AUTHENTICATION_TOKEN: &str = "token";
/// `user`, inside `authentication`.
pub const AUTHENTICATION_USER: &str = "user";
/// `pass`, inside `authentication`.
pub const AUTHENTICATION_PASS: &str = "pass";

/// Whether the contract models the REST field of this name (exact case).
#[must_use]
pub fn is_modelled(name: &str) -> bool {
    MODELLED.contains(&name)
}
