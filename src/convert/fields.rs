//! REST names ⇄ the contract's names.

use crate::chartbrew::types::names;

/// Every REST field that a request can carry, and where the contract has it.
#[rustfmt::skip]
const FIELDS: &[(&str, &str)] = &[
    (names::TEAM_ID, "team_id"),
    (names::NAME, "connection.name"),
    (names::TYPE, "connection.type"),
    (names::SUB_TYPE, "connection.sub_type"),
    (names::HOST, "connection.host"),
    (names::PORT, "connection.port"),
    (names::DB_NAME, "connection.db_name"),
    (names::USERNAME, "connection.username"),
    (names::PASSWORD, "connection.password"),
    (names::OPTIONS, "connection.options"),
    (names::CONNECTION_STRING, "connection.connection_string"),
    (names::SRV, "connection.srv"),
    (names::AUTHENTICATION, "connection.authentication"),
    (names::FIREBASE_SERVICE_ACCOUNT, "connection.firebase_service_account"),
    (names::SSL, "connection.ssl"),
    (names::SSL_MODE, "connection.ssl_mode"),
    (names::SCHEMA, "connection.schema"),
    (names::PROJECT_IDS, "connection.project_ids"),
    (names::ACTIVE, "connection.active"),
    (names::OAUTH_ID, "connection.oauth_id"),
    (names::USE_SSH, "connection.ssh.enabled"),
    (names::SSH_HOST, "connection.ssh.host"),
    (names::SSH_PORT, "connection.ssh.port"),
    (names::SSH_USERNAME, "connection.ssh.username"),
    (names::SSH_PASSWORD, "connection.ssh.password"),
    (names::SSH_PASSPHRASE, "connection.ssh.passphrase"),
    (names::SSH_JUMP_HOST, "connection.ssh.jump_host"),
    (names::SSH_JUMP_PORT, "connection.ssh.jump_port"),
    (names::SSL_CA, "files.ssl_ca"),
    (names::SSL_CERT, "files.ssl_cert"),
    (names::SSL_KEY, "files.ssl_key"),
    (names::SSH_PRIVATE_KEY, "files.ssh_private_key"),
];

/// Where `CreateRequest` has the REST field of this name (exact case): `subType` →
/// `connection.sub_type`. `None` if a request has no such field.
#[must_use]
pub fn proto_field(rest_name: &str) -> Option<&'static str> {
    FIELDS
        .iter()
        .find_map(|&(rest, proto)| (rest == rest_name).then_some(proto))
}
