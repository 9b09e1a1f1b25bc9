//! Every row of the error table for the methods beside Create: what a caller gets for what
//! Chartbrew, or the way to it, did.

mod rows;

use std::time::Duration;

use chartbrew_gateway::{chartbrew::Token, grpc::OwnToken};
use chartbrew_sandbox::{Fault, Gate, Handle};
use serde_json::json;
use tonic::Code::*;

use self::rows::{JSON, NOTHING, OF_A_CONNECTION, TESTS, rows};

use crate::support::{
    gateway::{Failure, Gateway, failure, gateway, sandbox, trailer},
    raw::nobody,
    rpc::{
        ALL, NEW_NAME,
        Rpc::{self, Delete, Get, List, Test, TestNew, Update, UploadFiles},
    },
    time::soon,
};

/// A sandbox with the connection 1, and a gateway before it.
async fn start() -> (Handle, Gateway) {
    let sandbox = sandbox().await;
    assert_eq!(sandbox.insert(1, json!({"name": "m"})), 1);
    let gateway = gateway(&sandbox.url()).start().await;
    (sandbox, gateway)
}

/// The end of a sentence that says what was not done; empty for a read.
fn and_nothing(rpc: Rpc) -> &'static str {
    match rpc {
        // Of an upload the first file may be there.
        Get | List | Test | TestNew | UploadFiles => "",
        Update => "nothing was changed",
        Delete => "nothing was deleted",
    }
}

/// Fails if a message speaks of what another method does, or is wrong about what was done.
fn words(rpc: Rpc, failed: &Failure, sandbox: Option<&Handle>) {
    let message = failed.status.message();
    let case = format!("{rpc:?}: {message}");
    for other in ["creat", "request_id"] {
        assert!(!message.contains(other), "{case}");
    }
    for other in [Update, Delete] {
        assert!(
            other == rpc || !message.contains(and_nothing(other)),
            "{case}"
        );
    }
    // Where nothing can be done by itself, the message says what can.
    let is_unclear = failed.reason == "OUTCOME_UNKNOWN";
    assert_eq!(
        is_unclear,
        message.contains("repeat the call, which is safe"),
        "{case}"
    );
    assert!(!is_unclear || !message.contains(NOTHING), "{case}");
    if is_unclear {
        assert_eq!(failed.metadata("team_id"), Some("1"), "{case}");
        assert_eq!(failed.metadata("connection_id"), Some("1"), "{case}");
    }
    // For the clients that do not read RetryInfo. None of these is ever forbidden to repeat.
    let pushback = trailer(failed.status.metadata(), "grpc-retry-pushback-ms");
    let pushback = pushback.map(|text| text.parse::<i64>().unwrap());
    assert_eq!(pushback.is_some(), failed.has_retry_info(), "{case}");
    assert!(pushback.is_none_or(|ms| ms > 0), "{case}");
    if let Some(row) = sandbox.map(|sandbox| sandbox.rows(1)) {
        let is_untouched = row.len() == 1 && row[0]["name"] == "m" && row[0]["sslCert"].is_null();
        assert!(!message.contains(NOTHING) || is_untouched, "{case}");
    }
}

#[tokio::test]
async fn every_response_of_upstream_has_its_row_for_every_method() {
    let mut wrong = String::new();
    for row in rows() {
        for rpc in row.of {
            let fault = (row.what)(rpc.fault()).forever();
            let case = format!("{rpc:?} {:?}", fault.what);
            let (sandbox, gateway) = start().await;
            sandbox.script([fault]);
            let result = rpc.call(&gateway.client, 1, None).await;
            if result.is_ok() {
                wrong += &format!("{case}: no failure\n");
                continue;
            }
            let failed = failure(result);
            let message = failed.status.message();
            let says = match row.says {
                NOTHING => and_nothing(*rpc),
                says => says,
            };
            let attempts = trailer(failed.status.metadata(), "x-upstream-attempts");
            let found = (
                failed.code,
                &*failed.reason,
                failed.has_retry_info(),
                attempts,
            );
            let expected = (row.code, row.reason, row.retry_info, Some(row.attempts));
            if found != expected || !message.contains(says) {
                wrong += &format!("{case}: {found:?} {message:?}, not {expected:?} {says:?}\n");
            }
            words(*rpc, &failed, Some(&sandbox));
            assert_eq!(sandbox.cut_off(), 0, "{case}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[tokio::test]
async fn no_answer_of_a_source_is_an_error_of_its_test() {
    for rpc in TESTS {
        for body in [
            "{}",
            r#"{"name":"SequelizeConnectionRefusedError","parent":{"code":"ECONNREFUSED"}}"#,
            r#"{"name":"SequelizeDatabaseError","parent":{}}"#,
            r#"{"message":"no such database"}"#,
        ] {
            let (sandbox, gateway) = start().await;
            sandbox.script([rpc.fault().body(400, JSON, body)]);
            let tested = rpc.call(&gateway.client, 1, None).await;
            assert!(tested.is_ok(), "{rpc:?} {body}: {tested:?}");
        }
    }
}

#[tokio::test]
async fn a_deadline_that_passes_says_what_is_known_then() {
    for rpc in ALL {
        let (sandbox, gateway) = start().await;
        sandbox.script([rpc.fault().silent()]);
        let timeout = Duration::from_millis(400);
        let failed = failure(rpc.call(&gateway.client, 1, Some(timeout)).await);
        let reason = match rpc.is_read() {
            true => "UPSTREAM_UNAVAILABLE",
            false => "OUTCOME_UNKNOWN",
        };
        let found = (failed.code, &*failed.reason);
        assert_eq!(
            found,
            (DeadlineExceeded, reason),
            "{rpc:?}: {}",
            failed.status
        );
        assert!(failed.has_retry_info(), "{rpc:?}");
        words(rpc, &failed, Some(&sandbox));
        assert_eq!(sandbox.cut_off(), 0, "{rpc:?}");
    }
}

#[tokio::test]
async fn what_is_refused_here_is_never_sent() {
    for rpc in ALL {
        // Nobody there.
        let alone = gateway(&nobody().await).start().await;
        let failed = failure(rpc.call(&alone.client, 1, None).await);
        let found = (failed.code, &*failed.reason);
        assert_eq!(found, (Unavailable, "UPSTREAM_UNAVAILABLE"), "{rpc:?}");
        assert!(
            failed.status.message().ends_with(and_nothing(rpc)),
            "{}",
            failed.status
        );
        assert!(failed.has_retry_info());
        words(rpc, &failed, None);
        // The circuit is open.
        failure(rpc.call(&alone.client, 1, None).await);
        let failed = failure(rpc.call(&alone.client, 1, None).await);
        let found = (failed.code, &*failed.reason);
        assert_eq!(found, (Unavailable, "UPSTREAM_UNAVAILABLE"), "{rpc:?}");
        assert!(
            failed.status.message().contains("circuit"),
            "{}",
            failed.status
        );
        words(rpc, &failed, None);
        // Too many calls.
        let (sandbox, _) = start().await;
        let narrow = gateway(&sandbox.url()).with(|s| s.delivery.max_in_flight = 1);
        let narrow = narrow.start().await;
        let gate = Gate::new();
        sandbox.script([Fault::list().hold_before_storing(&gate)]);
        let client = narrow.client.clone();
        let first = tokio::spawn(async move { List.call(&client, 1, None).await });
        soon(gate.reached()).await;
        let failed = failure(rpc.call(&narrow.client, 1, None).await);
        let found = (failed.code, &*failed.reason);
        assert_eq!(found, (ResourceExhausted, "OVERLOADED"), "{rpc:?}");
        assert!(failed.has_retry_info());
        words(rpc, &failed, Some(&sandbox));
        gate.open();
        soon(first).await.unwrap().unwrap();
        assert_eq!(sandbox.requests().len(), 1, "{rpc:?}");
        // A connection that cannot be.
        if OF_A_CONNECTION.contains(&rpc) {
            let failed = failure(rpc.call(&narrow.client, 0, None).await);
            let found = (failed.code, &*failed.reason);
            assert_eq!(found, (InvalidArgument, "INVALID_FIELD"), "{rpc:?}");
            assert_eq!(failed.fields(), ["connection_id"]);
        }
        // The time is too short for a file that must not be cut off.
        if rpc == UploadFiles {
            let soon = Some(Duration::from_millis(90));
            let failed = failure(rpc.call(&narrow.client, 1, soon).await);
            let found = (failed.code, &*failed.reason);
            assert_eq!(
                found,
                (DeadlineExceeded, "DEADLINE_TOO_SHORT"),
                "{}",
                failed.status
            );
            words(rpc, &failed, Some(&sandbox));
        }
        assert_eq!(sandbox.requests().len(), 1, "{rpc:?}");
    }
}

#[tokio::test]
async fn the_gateways_own_bad_token_is_no_callers_fault() {
    for rpc in ALL {
        let (sandbox, _) = start().await;
        let own = Token::parse("wrong").unwrap();
        let gateway =
            gateway(&sandbox.url()).with(|s| s.grpc.own_token = Some(OwnToken::Fixed(own)));
        let failed = failure(rpc.call(&gateway.start().await.client, 1, None).await);
        let found = (failed.code, &*failed.reason);
        assert_eq!(
            found,
            (FailedPrecondition, "GATEWAY_TOKEN_REJECTED"),
            "{rpc:?}"
        );
        words(rpc, &failed, Some(&sandbox));
        assert_ne!(sandbox.rows(1)[0]["name"], NEW_NAME);
    }
}
