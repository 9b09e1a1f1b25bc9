//! What upstream does, and what the callers of which methods must get for it.

use chartbrew_sandbox::Fault;
use tonic::Code::{self, *};

use crate::support::rpc::{
    ALL,
    Rpc::{self, Delete, Get, List, Test, TestNew, Update, UploadFiles},
};

pub(super) const JSON: &str = "application/json; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const NOT_FOUND: &str = r#"{"error":"Not Found"}"#;
/// The methods whose path names a connection.
pub(super) const OF_A_CONNECTION: &[Rpc] = &[Get, Update, Delete, Test, UploadFiles];
pub(super) const NOT_TESTS: &[Rpc] = &[Get, List, Update, Delete, UploadFiles];
pub(super) const TESTS: &[Rpc] = &[Test, TestNew];
pub(super) const READS: &[Rpc] = &[Get, List, Test, TestNew];
pub(super) const NOT_TESTING_READS: &[Rpc] = &[Get, List];
pub(super) const CHANGES: &[Rpc] = &[Update, Delete, UploadFiles];
/// Stands for what a method did not do.
pub(super) const NOTHING: &str = "nothing was";
pub(super) const SAFE: &str = "safe";

/// What upstream did, and what the callers of some methods must get for it.
pub(super) struct Row {
    pub(super) of: &'static [Rpc],
    pub(super) what: fn(Fault) -> Fault,
    pub(super) code: Code,
    pub(super) reason: &'static str,
    pub(super) says: &'static str,
    pub(super) retry_info: bool,
    pub(super) attempts: &'static str,
}

fn row(
    of: &'static [Rpc],
    what: fn(Fault) -> Fault,
    code: Code,
    reason: &'static str,
    says: &'static str,
) -> Row {
    Row {
        of,
        what,
        code,
        reason,
        says,
        retry_info: false,
        attempts: "1",
    }
}

impl Row {
    /// It happens each time.
    fn after_retries(self) -> Self {
        Self {
            attempts: "3",
            ..self
        }
    }

    fn with_retry_info(self) -> Self {
        Self {
            retry_info: true,
            ..self.after_retries()
        }
    }
}

#[rustfmt::skip]
pub(super) fn rows() -> Vec<Row> {
    vec![
        row(&ALL, |f| f.body(401, HTML, "Unauthorized access."), Unauthenticated, "TOKEN_REJECTED", "rejected the token"),
        row(&ALL, |f| f.body(400, HTML, "Could not process the request. Please try again."), Unauthenticated, "TOKEN_REJECTED", "its user is gone"),
        row(&ALL, |f| f.body(403, JSON, r#"{"message":"Access denied"}"#), PermissionDenied, "ACCESS_DENIED", "team 1"),
        row(OF_A_CONNECTION, |f| f.body(404, JSON, NOT_FOUND), NotFound, "CONNECTION_NOT_FOUND", "team 1 has no connection 1"),
        row(&[List, TestNew], |f| f.body(404, JSON, NOT_FOUND), Internal, "UPSTREAM_MISCONFIGURED", "CHARTBREW_URL"),
        row(&ALL, |f| f.body(404, HTML, "<pre>Cannot GET /</pre>"), Internal, "UPSTREAM_MISCONFIGURED", "CHARTBREW_URL"),
        row(&ALL, |f| f.status(302).header("location", "http://127.0.0.1:1/login"), Internal, "UPSTREAM_MISCONFIGURED", "redirect"),
        row(&ALL, |f| f.body(405, HTML, ""), Internal, "UPSTREAM_MISCONFIGURED", "CHARTBREW_URL"),
        row(&ALL, |f| f.body(200, HTML, "<html>a login page</html>"), Internal, "UPSTREAM_MISCONFIGURED", "not Chartbrew's JSON").after_retries(),
        row(&[Get], |f| f.body(200, JSON, "[]"), Internal, "UPSTREAM_MISCONFIGURED", "not Chartbrew's JSON").after_retries(),
        row(&[List], |f| f.body(200, JSON, "{}"), Internal, "UPSTREAM_MISCONFIGURED", "not Chartbrew's JSON").after_retries(),
        row(&[Update, UploadFiles], |f| f.body(200, JSON, "[]"), Unknown, "OUTCOME_UNKNOWN", SAFE).with_retry_info(),
        row(NOT_TESTS, |f| f.body(400, JSON, "{}"), FailedPrecondition, "REJECTED_BY_CHARTBREW", "without saying why"),
        row(&ALL, |f| f.body(418, JSON, "{}"), FailedPrecondition, "REJECTED_BY_CHARTBREW", "HTTP 418"),
        row(NOT_TESTS, |f| f.body(400, JSON, r#"{"name":"SequelizeDatabaseError","parent":{"code":"ER_DATA_TOO_LONG","sqlMessage":"Data too long for column 'name' at row 1"}}"#),
            InvalidArgument, "REJECTED_BY_CHARTBREW", "connection.name: is too long"),
        row(&ALL, |f| f.body(400, JSON, r#"{"code":"SOURCE_DISABLED","sourceId":"mongodb","message":"m"}"#), FailedPrecondition, "SOURCE_DISABLED", "switched off"),
        row(&ALL, |f| f.body(400, JSON, r#"{"code":"SSRF_BLOCKED","reason":"private_network","message":"m"}"#), FailedPrecondition, "HOST_NOT_ALLOWED", "private network"),
        row(&ALL, |f| f.body(409, JSON, "{}"), AlreadyExists, "ALREADY_EXISTS", "exists"),
        row(&ALL, |f| f.body(413, HTML, "<pre>Payload Too Large</pre>"), InvalidArgument, "TOO_LARGE", "too large"),
        row(&ALL, |f| f.status(429), ResourceExhausted, "UPSTREAM_RATE_LIMITED", NOTHING).with_retry_info(),
        row(&ALL, |f| f.not_forwarded(), Unavailable, "UPSTREAM_UNAVAILABLE", NOTHING).with_retry_info(),
        row(NOT_TESTS, |f| f.body(400, JSON, r#"{"name":"SequelizeConnectionRefusedError","parent":{"code":"ECONNREFUSED"}}"#),
            Unavailable, "UPSTREAM_UNAVAILABLE", "its own database").with_retry_info(),
        row(&ALL, |f| f.body(500, HTML, "<pre>boom</pre>"), Internal, "UPSTREAM_ERROR", "HTTP 500").after_retries(),
        row(CHANGES, |f| f.body(501, HTML, ""), Internal, "UPSTREAM_ERROR", SAFE).after_retries(),
        // What leaves it open is of no concern to a read.
        row(READS, |f| f.body(500, HTML, "").header("server", "nginx"), Unavailable, "UPSTREAM_UNAVAILABLE", "HTTP 500").with_retry_info(),
        row(READS, |f| f.body(408, HTML, ""), Unavailable, "UPSTREAM_UNAVAILABLE", "HTTP 408").with_retry_info(),
        row(READS, |f| f.body(502, HTML, ""), Unavailable, "UPSTREAM_UNAVAILABLE", "HTTP 502").with_retry_info(),
        row(READS, |f| f.body(503, HTML, "x"), Unavailable, "UPSTREAM_UNAVAILABLE", "HTTP 503").with_retry_info(),
        row(READS, |f| f.body(522, HTML, ""), Unavailable, "UPSTREAM_UNAVAILABLE", "HTTP 522").with_retry_info(),
        row(READS, |f| f.drop_after_storing(), Unavailable, "UPSTREAM_UNAVAILABLE", "no whole response").with_retry_info(),
        row(NOT_TESTING_READS, |f| f.body(400, JSON, r#"{"name":"SequelizeDatabaseError","parent":{}}"#), Unavailable, "UPSTREAM_UNAVAILABLE", "lost its database").with_retry_info(),
        row(CHANGES, |f| f.body(500, HTML, "").header("server", "nginx"), Unknown, "OUTCOME_UNKNOWN", "HTTP 500").with_retry_info(),
        row(CHANGES, |f| f.body(408, HTML, ""), Unknown, "OUTCOME_UNKNOWN", "HTTP 408").with_retry_info(),
        row(CHANGES, |f| f.body(502, HTML, ""), Unknown, "OUTCOME_UNKNOWN", "HTTP 502").with_retry_info(),
        row(CHANGES, |f| f.body(503, HTML, "x"), Unknown, "OUTCOME_UNKNOWN", SAFE).with_retry_info(),
        row(CHANGES, |f| f.body(522, HTML, ""), Unknown, "OUTCOME_UNKNOWN", SAFE).with_retry_info(),
        row(CHANGES, |f| f.drop_before_storing(), Unknown, "OUTCOME_UNKNOWN", "the response was lost").with_retry_info(),
        row(CHANGES, |f| f.body(400, JSON, r#"{"name":"SequelizeDatabaseError","parent":{}}"#), Unknown, "OUTCOME_UNKNOWN", "lost its database").with_retry_info(),
    ]
}
