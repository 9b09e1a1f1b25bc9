//! Delete: what a 404 means, and what becomes of the datasets.

use chartbrew_gateway::proto::DeleteRequest;
use chartbrew_sandbox::Fault;
use tonic::Code;

use super::{Call, delete, insert, row};
use crate::support::gateway::{authorized, failure, gateway, sandbox, trailer};

/// What the attempts of one call meet, and what it comes to: `None` is success.
type Case = (&'static str, Vec<Fault>, Option<(Code, &'static str)>);

const NOT_FOUND: Option<(Code, &str)> = Some((Code::NotFound, "CONNECTION_NOT_FOUND"));

fn missing() -> Fault {
    Fault::delete().body(404, "application/json", r#"{"error":"Not Found"}"#)
}

#[tokio::test]
async fn a_404_is_success_exactly_if_an_attempt_before_it_may_have_deleted() {
    let limited = || Fault::delete().status(429).header("retry-after", "0");
    let cases: [Case; 12] = [
        ("deleted", vec![], None),
        ("first 404", vec![missing()], NOT_FOUND),
        (
            "lost after",
            vec![Fault::delete().drop_after_storing()],
            None,
        ),
        (
            "lost twice",
            vec![
                Fault::delete().drop_before_storing(),
                Fault::delete().drop_after_storing(),
            ],
            None,
        ),
        ("garbled", vec![Fault::delete().garbled_answer()], None),
        ("cut short", vec![Fault::delete().cut_answer_at(3)], None),
        (
            "504 and done",
            vec![Fault::delete().store_then_body(504, "text/html", "")],
            None,
        ),
        (
            "503 and done",
            vec![Fault::delete().store_then_body(503, "text/html", "")],
            None,
        ),
        (
            "lost, 429, 404",
            vec![Fault::delete().drop_after_storing(), limited()],
            None,
        ),
        ("429, 404", vec![limited(), missing()], NOT_FOUND),
        (
            "not forwarded, 404",
            vec![Fault::delete().not_forwarded(), missing()],
            NOT_FOUND,
        ),
        (
            "404 for the route",
            vec![Fault::delete().body(404, "text/html", "Cannot DELETE")],
            Some((Code::Internal, "UPSTREAM_MISCONFIGURED")),
        ),
    ];
    for (name, faults, expected) in cases {
        let sandbox = sandbox().await;
        let gateway = gateway(&sandbox.url()).start().await;
        let id = insert(&sandbox);
        let other = insert(&sandbox);
        let attempts = faults.len().max(1);
        sandbox.script(faults);
        let result = Call::Delete.send(&gateway.client, id).await;
        match expected {
            None => {
                result.unwrap_or_else(|status| panic!("{name}: {status}"));
                assert!(row(&sandbox, id).is_none(), "{name}");
            }
            Some(expected) => {
                let failed = failure(result);
                assert_eq!((failed.code, &*failed.reason), expected, "{name}");
                assert!(row(&sandbox, id).is_some(), "{name}");
            }
        }
        assert!(row(&sandbox, other).is_some(), "{name}");
        assert!(sandbox.requests().len() >= attempts, "{name}");
        assert_eq!(sandbox.cut_off(), 0, "{name}");
    }
}

#[tokio::test]
async fn a_second_call_says_that_there_is_no_such_connection() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = insert(&sandbox);
    let first = Call::Delete.send(&gateway.client, id).await.unwrap();
    assert_eq!(trailer(&first, "x-upstream-attempts"), Some("1"));
    for call in Call::ALL {
        let failed = failure(call.send(&gateway.client, id).await);
        assert_eq!(failed.code, Code::NotFound, "{call:?}");
        assert_eq!(failed.reason, "CONNECTION_NOT_FOUND", "{call:?}");
        assert!(!failed.has_retry_info(), "{call:?}");
        let message = failed.status.message();
        assert!(message.contains("connection 1"), "{call:?}: {message}");
    }
}

/// Chartbrew takes `removeDatasets=false` for true.
#[tokio::test]
async fn datasets_are_deleted_only_on_request() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    for (remove_datasets, query) in [(false, ""), (true, "?removeDatasets=true")] {
        let id = insert(&sandbox);
        sandbox.clear_requests();
        let message = DeleteRequest {
            remove_datasets,
            ..delete(id)
        };
        gateway
            .client
            .clone()
            .delete(authorized(message))
            .await
            .unwrap();
        let seen = sandbox.requests();
        assert_eq!(seen[0].path, format!("/team/1/connections/{id}{query}"));
        assert_eq!((seen.len(), seen[0].body.len()), (1, 0));
    }
}
