//! The REST names of the fields that code names one by one. Those of the others are in the table.

/// `id`
pub const ID: &str = "id";
/// `team_id`
pub const TEAM_ID: &str = "team_id";
/// `name`
pub const NAME: &str = "name";
/// `type`
pub const TYPE: &str = "type";
/// `subType`
pub const SUB_TYPE: &str = "subType";
/// `sslCa`
pub const SSL_CA: &str = "sslCa";
/// `sslCert`
pub const SSL_CERT: &str = "sslCert";
/// `sslKey`
pub const SSL_KEY: &str = "sslKey";
/// `sshPrivateKey`
pub const SSH_PRIVATE_KEY: &str = "sshPrivateKey";
/// `hasSshPassword`
pub const HAS_SSH_PASSWORD: &str = "hasSshPassword";
/// `hasSshPrivateKey`
pub const HAS_SSH_PRIVATE_KEY: &str = "hasSshPrivateKey";
/// `hasSshPassphrase`
pub const HAS_SSH_PASSPHRASE: &str = "hasSshPassphrase";
/// `createdAt`
pub const CREATED_AT: &str = "createdAt";
/// `updatedAt`
pub const UPDATED_AT: &str = "updatedAt";

/// A whole connection string, of which not all is secret.
pub const CONNECTION_STRING: &str = "connectionString";
/// The `type` of a source that is an API.
pub const API: &str = "api";
/// `type`, inside `authentication`.
pub const AUTHENTICATION_TYPE: &str = "type";
/// `token`, inside `authentication`.
pub const AUTHENTICATION_TOKEN: &str = "token";
/// `user`, inside `authentication`.
pub const AUTHENTICATION_USER: &str = "user";
/// `pass`, inside `authentication`.
pub const AUTHENTICATION_PASS: &str = "pass";
