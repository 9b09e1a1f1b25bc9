//! Changes whose responses are lost: repeated within the call, and never told to have changed
//! nothing unless that is so.

use std::time::Duration;

use chartbrew_sandbox::Fault;
use tonic::Code;

use super::{Call, insert};
use crate::support::gateway::{Failure, failure, gateway, sandbox, trailer};

/// The ways in which a response can be lost, made or not.
fn losses(call: Call) -> [Fault; 8] {
    [
        call.fault().drop_before_reading(),
        call.fault().drop_before_storing(),
        call.fault().drop_after_storing(),
        call.fault().cut_answer_at(10),
        call.fault().garbled_answer(),
        call.fault().status(408),
        call.fault().status(502),
        call.fault().store_then_body(504, "text/html", "<html>"),
    ]
}

#[tokio::test]
async fn a_lost_change_is_repeated_within_the_call() {
    for call in Call::CHANGES {
        for fault in losses(call) {
            let sandbox = sandbox().await;
            let gateway = gateway(&sandbox.url()).start().await;
            let id = insert(&sandbox);
            sandbox.script([fault.clone()]);
            let metadata = call.send(&gateway.client, id).await;
            let metadata = metadata.unwrap_or_else(|status| panic!("{call:?} {fault:?}: {status}"));
            assert!(call.is_done(&sandbox, id), "{call:?} {fault:?}");
            let attempts = trailer(&metadata, "x-upstream-attempts");
            assert_eq!(attempts, Some("2"), "{call:?} {fault:?}");
            assert_eq!(sandbox.requests().len(), 2, "{call:?} {fault:?}");
            assert_eq!(sandbox.cut_off(), 0, "{call:?} {fault:?}");
        }
    }
}

/// The outcome is open: the status says so, and that and when the call may be repeated.
fn is_open(failed: &Failure, context: &str) {
    assert_eq!(failed.reason, "OUTCOME_UNKNOWN", "{context}");
    assert_eq!(failed.code, Code::Unknown, "{context}");
    assert!(failed.has_retry_info(), "{context}");
    let pushback = trailer(failed.status.metadata(), "grpc-retry-pushback-ms").unwrap();
    assert!(
        pushback.parse::<u32>().unwrap() > 0,
        "{context}: {pushback}"
    );
    let message = failed.status.message();
    assert!(!message.contains("nothing"), "{context}: {message}");
    assert!(message.contains("repeat the call"), "{context}: {message}");
    assert_eq!(failed.metadata("team_id"), Some("1"), "{context}");
    assert_eq!(failed.metadata("connection_id"), Some("1"), "{context}");
}

/// What may come after a loss, so that the repetition is not made or has no effect.
#[derive(Clone, Copy, Debug)]
enum Then {
    LostAgain,
    NotForwarded,
    RateLimited,
    DatabaseAway,
    LongWait,
    NoAttemptsLeft,
    NoBudget,
    CircuitOpen,
}

impl Then {
    const ALL: [Self; 8] = [
        Self::LostAgain,
        Self::NotForwarded,
        Self::RateLimited,
        Self::DatabaseAway,
        Self::LongWait,
        Self::NoAttemptsLeft,
        Self::NoBudget,
        Self::CircuitOpen,
    ];

    fn fault(self, call: Call) -> Fault {
        let away = r#"{"name":"SequelizeConnectionRefusedError","parent":{"code":"ECONNREFUSED"}}"#;
        match self {
            Self::NotForwarded => call.fault().not_forwarded(),
            Self::RateLimited => call.fault().status(429).header("retry-after", "0"),
            Self::DatabaseAway => call.fault().body(400, "application/json", away),
            Self::LongWait => call.fault().status(429).header("retry-after", "600"),
            Self::LostAgain | Self::NoAttemptsLeft | Self::NoBudget | Self::CircuitOpen => {
                call.fault().drop_before_storing()
            }
        }
    }
}

#[tokio::test]
async fn if_the_repetition_comes_to_nothing_the_outcome_stays_open() {
    for call in Call::CHANGES {
        for then in Then::ALL {
            let context = format!("{call:?} {then:?}");
            let sandbox = sandbox().await;
            let gateway = gateway(&sandbox.url())
                .with(|settings| {
                    let delivery = &mut settings.delivery;
                    match then {
                        Then::NoAttemptsLeft => delivery.attempts = 1,
                        Then::NoBudget => {
                            delivery.retries_per_second = 0;
                            delivery.retry_ratio = 0.0;
                        }
                        Then::CircuitOpen => {
                            delivery.breaker.failures = 1;
                            delivery.breaker.probe_after = Duration::from_secs(3600);
                        }
                        _ => delivery.breaker.failures = u32::MAX,
                    }
                })
                .start()
                .await;
            let id = insert(&sandbox);
            let lost = match then {
                // A 503 of which nobody knows whether it was forwarded opens the circuit too.
                Then::CircuitOpen => call.fault().store_then_body(503, "text/html", "<html>"),
                _ => call.fault().drop_after_storing(),
            };
            // A deletion that was made would be found out.
            let lost = match call {
                Call::Delete => call.fault().status(503),
                _ => lost,
            };
            sandbox.script([lost, then.fault(call).forever()]);
            let failed = failure(call.send(&gateway.client, id).await);
            is_open(&failed, &context);
            let sent = sandbox.requests().len();
            let expected = match then {
                Then::NoAttemptsLeft | Then::NoBudget | Then::CircuitOpen => 1,
                Then::LongWait => 2,
                _ => 3,
            };
            assert_eq!(sent, expected, "{context}");
            let attempts = trailer(failed.status.metadata(), "x-upstream-attempts").unwrap();
            assert_eq!(attempts, sent.to_string(), "{context}");
        }
    }
}

#[tokio::test]
async fn only_what_certainly_had_no_effect_is_told_to_have_had_none() {
    for call in Call::CHANGES {
        let sandbox = sandbox().await;
        let gateway = gateway(&sandbox.url()).start().await;
        let id = insert(&sandbox);
        sandbox.script([call.fault().not_forwarded().forever()]);
        let failed = failure(call.send(&gateway.client, id).await);
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::Unavailable, "UPSTREAM_UNAVAILABLE"), "{call:?}");
        assert!(failed.has_retry_info(), "{call:?}");
        assert!(!call.is_done(&sandbox, id), "{call:?}");
    }
}

/// What Chartbrew says of the repetition counts, where it says it for certain.
#[tokio::test]
async fn a_refusal_of_the_repetition_is_told_as_it_is() {
    for call in Call::CHANGES {
        let sandbox = sandbox().await;
        let gateway = gateway(&sandbox.url()).start().await;
        let id = insert(&sandbox);
        sandbox.script([call.fault().drop_before_storing(), call.fault().status(403)]);
        let failed = failure(call.send(&gateway.client, id).await);
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::PermissionDenied, "ACCESS_DENIED"), "{call:?}");
        let message = failed.status.message();
        assert!(!message.contains("nothing"), "{call:?}: {message}");
    }
}

#[tokio::test]
async fn reads_are_repeated_too_and_say_that_there_was_no_response() {
    for call in [Call::Get, Call::Test] {
        let sandbox = sandbox().await;
        let gateway = gateway(&sandbox.url()).start().await;
        let id = insert(&sandbox);
        sandbox.script([call.fault().drop_after_storing(), call.fault().status(502)]);
        let metadata = call.send(&gateway.client, id).await.unwrap();
        assert_eq!(
            trailer(&metadata, "x-upstream-attempts"),
            Some("3"),
            "{call:?}"
        );
        sandbox.script([call.fault().drop_after_storing().forever()]);
        let failed = failure(call.send(&gateway.client, id).await);
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::Unavailable, "UPSTREAM_UNAVAILABLE"), "{call:?}");
        assert!(failed.has_retry_info(), "{call:?}");
    }
}
