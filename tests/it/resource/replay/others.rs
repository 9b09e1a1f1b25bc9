//! The recording of the rest of the resource.

use tonic::Code::{FailedPrecondition, InvalidArgument, NotFound, PermissionDenied};

use super::{
    Case,
    Expected::{Done, DoneBut, Failed, Passed, Refused},
    LeftOut,
};

const INVALID: &str = "INVALID_FIELD";
const NO_CALL: &str = "the contract has no such call";
const MISSING: super::Expected = Refused(NotFound, "CONNECTION_NOT_FOUND", &[]);
const BLOCKED: super::Expected = Refused(FailedPrecondition, "HOST_NOT_ALLOWED", &[]);

/// `name: null` was refused.
const RENAMED: &[&str] = &["name"];

#[rustfmt::skip]
pub(super) const CASES: [Case; 38] = [
    ("create_full", Done),
    ("update_name", Done),
    ("get_after_rename", Done),
    ("update_password", Done),
    // Chartbrew keeps both.
    ("update_null_clears", Refused(InvalidArgument, INVALID, &["connection.host", "connection.username"])),
    ("get_after_clear", Done),
    ("update_empty_body", Refused(InvalidArgument, INVALID, &["update_mask"])),
    ("update_unknown_field", Done),
    ("update_type", Done),
    ("update_name_null", Refused(InvalidArgument, INVALID, &["connection.name"])),
    ("update_long_name", Refused(InvalidArgument, INVALID, &["connection.name"])),
    ("update_missing", MISSING),
    ("update_ssh_password", DoneBut(RENAMED)),
    ("update_ssh_password_empty", Refused(InvalidArgument, INVALID, &["connection.ssh.password"])),
    ("update_project_ids", DoneBut(RENAMED)),
    ("update_active", DoneBut(RENAMED)),
    ("update_schema_field", DoneBut(RENAMED)),
    // The recorded row had a type that the contract does not know.
    ("test_saved_refused", Failed("connect ECONNREFUSED 127.0.0.1:1")),
    ("create_api", Done),
    ("test_saved_api", BLOCKED),
    ("test_saved_missing", MISSING),
    ("test_unsaved_mysql_ok", Passed),
    ("test_unsaved_mysql_wrong_password", Failed("Access denied for user 'cb'@'localhost' (using password: YES)")),
    ("test_unsaved_mysql_refused", Failed("connect ECONNREFUSED 127.0.0.1:1")),
    ("test_unsaved_postgres_refused", Failed("connect ECONNREFUSED 127.0.0.1:1")),
    ("test_unsaved_mongodb_refused", Failed("connect ECONNREFUSED 127.0.0.1:1")),
    ("test_unsaved_api_ok", BLOCKED),
    ("test_unsaved_api_refused", BLOCKED),
    ("test_unsaved_clickhouse_refused", Failed("Failed to fetch database schema: getaddrinfo ENOTFOUND http")),
    ("create_mysql_reachable", Done),
    ("test_saved_mysql_ok", Passed),
    // No call has moved a row there.
    ("get_moved", MISSING),
    ("list", Done),
    ("delete_keep_datasets", Done),
    ("delete", Done),
    ("delete_again", MISSING),
    ("get_deleted", MISSING),
    ("delete_other_team", Refused(PermissionDenied, "ACCESS_DENIED", &[])),
];

pub(super) const LEFT_OUT: [LeftOut; 9] = [
    ("update_team", "the team of a connection cannot be changed"),
    ("update_bad_type", "no value of the enum"),
    ("update_port_number", "a port is a text"),
    ("duplicate", NO_CALL),
    ("duplicate_no_name", NO_CALL),
    ("duplicate_missing", NO_CALL),
    ("test_unsaved_unknown_type", "no value of the enum"),
    ("update_schema_route", NO_CALL),
    ("update_id", "no message changes an id"),
];
