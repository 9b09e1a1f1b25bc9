//! The forms in which Chartbrew tells how a test ended.

mod words;

use chartbrew_gateway::proto::{
    ConnectionFiles, ConnectionType, NewConnection, TestNewRequest, TestNewResponse, TestResponse,
};
use chartbrew_sandbox::{Fault, Handle};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{rest, test};
use crate::support::gateway::{Gateway, authorized, failure, gateway, sandbox};

const JSON: &str = "application/json; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const SECRET: &str = "pa55-secret-word";
const NO_WORDS: &str = "the test failed, and Chartbrew does not say why: look at the host, the \
                        port and the credentials";

/// What is tested: a stored connection, or settings.
#[derive(Clone, Copy, Debug)]
enum Of {
    Stored,
    New,
}

impl Of {
    const BOTH: [Self; 2] = [Self::Stored, Self::New];

    fn fault(self) -> Fault {
        match self {
            Self::Stored => Fault::test(),
            Self::New => Fault::test_new(),
        }
    }

    async fn send(self, gateway: &Gateway, sandbox: &Handle) -> Result<TestResponse, Status> {
        let mut client = gateway.client.clone();
        match self {
            Self::Stored => {
                let id = sandbox.insert(1, json!({ "name": "m", "password": SECRET }));
                Ok(client.test(authorized(test(id))).await?.into_inner())
            }
            Self::New => {
                let new = NewConnection {
                    name: "m".to_owned(),
                    r#type: ConnectionType::Mongodb.into(),
                    password: Some(SECRET.to_owned()),
                    ..NewConnection::default()
                };
                new_test(gateway, new, None).await
            }
        }
    }
}

async fn new_test(
    gateway: &Gateway,
    new: NewConnection,
    files: Option<ConnectionFiles>,
) -> Result<TestResponse, Status> {
    let message = TestNewRequest {
        team_id: 1,
        connection: Some(Box::new(new)),
        files,
    };
    let response = gateway.client.clone().test_new(authorized(message)).await?;
    let TestNewResponse {
        success,
        message,
        details,
    } = response.into_inner();
    Ok(TestResponse {
        success,
        message,
        details,
    })
}

/// A response, and whether the test succeeded, its message and its details.
type Case<'a> = (u16, &'a str, &'a str, bool, &'a str, Option<Value>);

#[tokio::test]
async fn every_form_of_a_result_is_read() {
    let orm = r#"{"name":"SequelizeConnectionRefusedError","sql":"SELECT 1","parent":{"errno":-111,
        "code":"ECONNREFUSED","syscall":"connect","address":"127.0.0.1","port":1}}"#;
    let denied = r#"{"name":"SequelizeAccessDeniedError","parent":{"code":"ER_ACCESS_DENIED_ERROR",
        "sqlMessage":"Access denied for user 'u'@'h'"}}"#;
    let schema = json!({ "schema": { "tables": ["t"], "description": { "t": ["id"] } } });
    let found = r#"{"success":true,"schema":{"tables":["t"],"description":{"t":["id"]}}}"#;
    let cases: [Case<'_>; 15] = [
        (200, JSON, found, true, "", Some(schema)),
        (200, JSON, r#"{"success":true}"#, true, "", None),
        (200, JSON, "{}", true, "", None),
        (200, JSON, "null", true, "", None),
        (200, JSON, r#"["a","b"]"#, true, "", Some(json!(["a", "b"]))),
        (200, JSON, "7", true, "", Some(json!(7))),
        (
            200,
            "text/plain",
            "Connection successful",
            true,
            "Connection successful",
            None,
        ),
        (200, JSON, r#"{"success":false}"#, false, NO_WORDS, None),
        (
            400,
            HTML,
            "connect ECONNREFUSED 127.0.0.1:1",
            false,
            "connect ECONNREFUSED 127.0.0.1:1",
            None,
        ),
        (
            400,
            JSON,
            orm,
            false,
            "connect ECONNREFUSED 127.0.0.1:1",
            None,
        ),
        (
            400,
            JSON,
            denied,
            false,
            "Access denied for user 'u'@'h'",
            None,
        ),
        (400, JSON, "{}", false, NO_WORDS, None),
        (400, JSON, "[]", false, NO_WORDS, None),
        (400, HTML, "", false, NO_WORDS, None),
        (
            400,
            HTML,
            "<!DOCTYPE html><pre>Error</pre>",
            false,
            NO_WORDS,
            None,
        ),
    ];
    for of in Of::BOTH {
        for (status, kind, body, success, message, details) in &cases {
            let sandbox = sandbox().await;
            let gateway = gateway(&sandbox.url()).start().await;
            sandbox.script([of.fault().body(*status, kind, (*body).to_owned())]);
            let tested = of.send(&gateway, &sandbox).await;
            let tested = tested.unwrap_or_else(|status| panic!("{of:?} {body}: {status}"));
            assert_eq!(
                (tested.success, &*tested.message),
                (*success, *message),
                "{of:?} {body}"
            );
            assert_eq!(
                tested.details,
                details.as_ref().map(rest::value),
                "{of:?} {body}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_no_result_of_a_test_is_a_status() {
    let blocked = r#"{"code":"SSRF_BLOCKED","reason":"private_network","message":"Blocked."}"#;
    let disabled =
        r#"{"code":"SOURCE_DISABLED","sourceId":"mysql","message":"MySQL is disabled."}"#;
    let gone = "Could not process the request. Please try again.";
    let cases = [
        (
            400,
            JSON,
            blocked,
            Code::FailedPrecondition,
            "HOST_NOT_ALLOWED",
        ),
        (
            400,
            JSON,
            disabled,
            Code::FailedPrecondition,
            "SOURCE_DISABLED",
        ),
        (400, HTML, gone, Code::Unauthenticated, "TOKEN_REJECTED"),
        (
            401,
            HTML,
            "Unauthorized access.",
            Code::Unauthenticated,
            "TOKEN_REJECTED",
        ),
        (
            403,
            JSON,
            r#"{"message":"Access denied"}"#,
            Code::PermissionDenied,
            "ACCESS_DENIED",
        ),
        (
            404,
            JSON,
            r#"{"error":"Not Found"}"#,
            Code::NotFound,
            "CONNECTION_NOT_FOUND",
        ),
        (
            404,
            HTML,
            "<html>Cannot GET",
            Code::Internal,
            "UPSTREAM_MISCONFIGURED",
        ),
        (
            200,
            HTML,
            "<html>",
            Code::Internal,
            "UPSTREAM_MISCONFIGURED",
        ),
        (
            502,
            HTML,
            "<html>",
            Code::Unavailable,
            "UPSTREAM_UNAVAILABLE",
        ),
        (
            429,
            HTML,
            "",
            Code::ResourceExhausted,
            "UPSTREAM_RATE_LIMITED",
        ),
    ];
    for of in Of::BOTH {
        for (status, kind, body, code, reason) in cases {
            let sandbox = sandbox().await;
            let gateway = gateway(&sandbox.url()).start().await;
            sandbox.script([of.fault().body(status, kind, body).forever()]);
            let failed = failure(of.send(&gateway, &sandbox).await);
            // What is not stored cannot be missing.
            let (code, reason) = match (of, code) {
                (Of::New, Code::NotFound) => (Code::Internal, "UPSTREAM_MISCONFIGURED"),
                _ => (code, reason),
            };
            let got = (failed.code, &*failed.reason);
            assert_eq!(got, (code, reason), "{of:?} {status} {body}");
        }
    }
}
