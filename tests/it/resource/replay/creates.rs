//! The first recording.

use tonic::Code::{InvalidArgument, NotFound, PermissionDenied, Unauthenticated};

use super::{
    Case,
    Expected::{Done, DoneBut, Failed, Refused},
    LeftOut,
};

const INVALID: &str = "INVALID_FIELD";

#[rustfmt::skip]
pub(super) const CASES: [Case; 51] = [
    ("create_minimal", Done),
    ("create_full_mongodb", Done),
    // Its team in the body is another than that of the path, which the contract cannot say.
    ("create_docs_sample", Done),
    ("create_type_api", Done),
    ("create_type_mysql", Done),
    ("create_type_postgres", Done),
    ("create_type_realtimedb", Done),
    ("create_type_firestore", Done),
    ("create_type_googleAnalytics", Done),
    ("create_type_customerio", Done),
    ("create_type_clickhouse", Done),
    ("create_type_jira", Refused(tonic::Code::FailedPrecondition, "REJECTED_BY_CHARTBREW", &[])),
    ("create_type_stripeOfficial", Refused(tonic::Code::FailedPrecondition, "REJECTED_BY_CHARTBREW", &[])),
    ("create_subtype_timescaledb", Done),
    ("create_subtype_supabasedb", Done),
    ("create_subtype_rdsPostgres", Done),
    ("create_subtype_rdsMysql", Done),
    ("create_subtype_strapi", Done),
    ("create_subtype_stripe", Done),
    ("create_no_name", Refused(InvalidArgument, INVALID, &["connection.name"])),
    ("create_no_type", Refused(InvalidArgument, INVALID, &["connection.type"])),
    ("create_empty", Refused(InvalidArgument, INVALID, &["connection.name", "connection.type"])),
    ("create_name_too_long", Refused(InvalidArgument, INVALID, &["connection.name"])),
    ("create_oauth_bad", Refused(InvalidArgument, INVALID, &["connection.oauth_id"])),
    ("create_null_options", Done),
    ("create_project_ids_strings", Done),
    ("create_unicode", Done),
    // The key, which Chartbrew drops from the body, is uploaded.
    ("create_ssh", DoneBut(&["hasSshPrivateKey"])),
    ("create_duplicate_1", Done),
    ("create_duplicate_2", Done),
    ("auth_missing", Refused(Unauthenticated, "TOKEN_MISSING", &[])),
    ("auth_bad", Refused(Unauthenticated, "TOKEN_REJECTED", &[])),
    ("auth_lowercase_bearer", Done),
    ("auth_no_scheme", Refused(Unauthenticated, "TOKEN_MISSING", &[])),
    ("team_missing", Refused(PermissionDenied, "ACCESS_DENIED", &[])),
    ("team_zero", Refused(InvalidArgument, INVALID, &["team_id"])),
    ("team_neg", Refused(InvalidArgument, INVALID, &["team_id"])),
    ("body_150k", Refused(InvalidArgument, "TOO_LARGE", &["connection"])),
    ("body_99k", Done),
    ("options_100k_text", Refused(InvalidArgument, INVALID, &["connection.options"])),
    ("list", Done),
    ("get_1", Done),
    ("get_404", Refused(NotFound, "CONNECTION_NOT_FOUND", &[])),
    ("update", Done),
    ("test_1", Failed("getaddrinfo ENOTFOUND h2")),
    ("files_ok", Done),
    ("files_sshkey", Done),
    ("files_none", Refused(InvalidArgument, INVALID, &["files"])),
    ("files_too_big", Refused(InvalidArgument, "TOO_LARGE", &["files.ssl_ca"])),
    ("delete", Done),
    ("delete_404", Refused(NotFound, "CONNECTION_NOT_FOUND", &[])),
];

pub(super) const LEFT_OUT: [LeftOut; 19] = [
    ("create_subtype_nonexistent", "no value of the enum"),
    ("create_unknown_type", "no value of the enum"),
    ("create_type_number", "an enum is no number without a name"),
    ("create_name_number", "a name is a text"),
    ("create_name_object", "a name is a text"),
    ("create_port_number", "a port is a text"),
    ("create_ssl_string", "ssl is a flag"),
    (
        "create_with_id",
        "no message carries the id of a new connection",
    ),
    (
        "create_team_mismatch",
        "there is one team_id, for the path and the body",
    ),
    ("team_nan", "a team is a number"),
    ("team_huge", "a team is a number of 32 bits"),
    ("team_1abc", "a team is a number"),
    ("body_malformed", "the gateway writes the JSON"),
    ("body_array", "the gateway writes an object"),
    ("body_empty", "the gateway always writes a body"),
    ("body_text", "the gateway writes the JSON"),
    ("get_nan", "a connection's id is a number"),
    ("files_bad_field", "the four files have fields of their own"),
    ("post_to_404", "no call has another route"),
];
