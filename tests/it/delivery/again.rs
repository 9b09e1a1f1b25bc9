//! One rule for every request that may be sent again: attempts, budget, `Retry-After`, circuit.

use std::time::Duration;

use chartbrew_gateway::{
    app,
    proto::{ConnectionFiles, CreateRequest},
};
use tonic::Code;

use super::{Fault, Handle, Outcome, outcome};
use crate::support::{
    gateway::{Gateway, authorized, failure, gateway, minimal, sandbox, trailer, with_id},
    time::soon,
};

/// A request that a call makes after its create, and that may be sent again.
#[derive(Clone, Copy, Debug)]
enum After {
    Read,
    Upload,
}

impl After {
    const ALL: [Self; 2] = [Self::Read, Self::Upload];

    fn fault(self) -> Fault {
        match self {
            Self::Read => Fault::get(),
            Self::Upload => Fault::files(),
        }
    }

    /// How often it was sent.
    fn sent(self, sandbox: &Handle) -> usize {
        let seen = sandbox.requests();
        let is_it = |method: &str, path: &str| match self {
            Self::Read => method == "GET" && path.ends_with("/1"),
            Self::Upload => path.ends_with("/files"),
        };
        let sent = seen
            .iter()
            .filter(|seen| is_it(seen.method.as_str(), &seen.path));
        sent.count()
    }

    /// A call that makes it, once what it is about exists.
    async fn message(self, gateway: &Gateway) -> CreateRequest {
        match self {
            Self::Read => {
                let message = with_id("m");
                gateway.create(message.clone()).await.unwrap();
                message
            }
            Self::Upload => CreateRequest {
                files: Some(ConnectionFiles {
                    ssl_ca: Some("CA".into()),
                    ..ConnectionFiles::default()
                }),
                ..minimal("m")
            },
        }
    }
}

async fn start(sandbox: &Handle, change: impl FnOnce(&mut app::Settings)) -> Gateway {
    let gateway = gateway(&sandbox.url()).with(|settings| {
        settings.delivery.breaker.failures = u32::MAX;
        change(settings);
    });
    gateway.start().await
}

#[tokio::test]
async fn a_wait_that_was_asked_for_is_not_cut_short() {
    for after in After::ALL {
        let sandbox = sandbox().await;
        let gateway = start(&sandbox, |_| {}).await;
        let message = after.message(&gateway).await;
        let busy = after.fault().status(429).header("retry-after", "60");
        sandbox.script([busy.forever()]);
        let mut request = authorized(message);
        // Too short for the wait, which is not begun then.
        request.set_timeout(Duration::from_secs(20));
        failure(soon(gateway.client.clone().create(request)).await);
        assert_eq!(after.sent(&sandbox), 1, "{after:?}");
    }
}

#[tokio::test]
async fn every_request_that_is_sent_again_is_paid_for() {
    const CALLS: usize = 30;
    // What the budget holds without any income: one a second for ten seconds.
    const RESERVE: usize = 10;
    for after in After::ALL {
        let sandbox = sandbox().await;
        let gateway = start(&sandbox, |settings| {
            settings.delivery.retries_per_second = 1;
            settings.delivery.retry_ratio = 0.0;
        })
        .await;
        let message = after.message(&gateway).await;
        sandbox.script([after.fault().status(503).forever()]);
        for _ in 0..CALLS {
            failure(soon(gateway.create(message.clone())).await);
        }
        let sent = after.sent(&sandbox);
        assert!(sent > CALLS, "{after:?}: none was sent again");
        assert!(sent <= CALLS + RESERVE, "{after:?}: {sent}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_without_a_response_closes_no_circuit() {
    let sandbox = sandbox().await;
    let gateway = start(&sandbox, |settings| {
        settings.delivery.attempts = 1;
        settings.delivery.recovery_window = Duration::from_millis(1);
        settings.delivery.breaker.failures = 2;
        settings.delivery.breaker.probe_after = Duration::from_secs(3600);
    })
    .await;
    sandbox.script([
        Fault::create().not_forwarded(),
        Fault::create().drop_before_storing(),
        Fault::create().not_forwarded(),
    ]);
    for reason in [
        "UPSTREAM_UNAVAILABLE",
        "OUTCOME_UNKNOWN",
        "UPSTREAM_UNAVAILABLE",
    ] {
        let failed = failure(soon(gateway.create(minimal("m"))).await);
        assert_eq!(failed.reason, reason);
    }
    // Two failures, and nothing that proves the contrary between them.
    let failed = failure(soon(gateway.create(minimal("m"))).await);
    let message = failed.status.message();
    assert!(message.contains("the circuit is open"), "{message}");
    assert_eq!(
        trailer(failed.status.metadata(), "x-upstream-attempts"),
        Some("0")
    );
}

#[tokio::test]
async fn a_replay_reads_the_row_and_says_so() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let request = with_id("m");
    let first = gateway.create(request.clone()).await.unwrap();
    let again = gateway.create(request.clone()).await.unwrap();
    assert_eq!(trailer(first.metadata(), "x-outcome"), None);
    assert_eq!(trailer(again.metadata(), "x-outcome"), Some("replayed"));
    assert_eq!(trailer(again.metadata(), "x-upstream-attempts"), Some("0"));
    assert_eq!(outcome(&Ok(first)), outcome(&Ok(again)));
    // The same id in another team is another creation.
    let elsewhere = CreateRequest {
        team_id: 2,
        ..request
    };
    assert!(matches!(
        outcome(&gateway.create(elsewhere).await),
        Outcome::NotCreated(_)
    ));
    assert_eq!(sandbox.rows(1).len(), 1);
}

#[tokio::test]
async fn a_refused_request_id_may_be_tried_again() {
    let sandbox = sandbox().await;
    sandbox.script([
        Fault::create().status(401),
        Fault::create().not_forwarded().times(3),
    ]);
    let gateway = gateway(&sandbox.url()).start().await;
    let request = with_id("m");
    for _ in 0..2 {
        assert!(matches!(
            outcome(&gateway.create(request.clone()).await),
            Outcome::NotCreated(_)
        ));
    }
    assert!(matches!(
        outcome(&gateway.create(request).await),
        Outcome::Created(_)
    ));
    assert_eq!(sandbox.rows(1).len(), 1);
}

#[tokio::test]
async fn a_retry_waits_as_long_as_it_was_asked_to() {
    let sandbox = sandbox().await;
    sandbox.script([Fault::create().status(429).header("retry-after", "1")]);
    let gateway = gateway(&sandbox.url()).start().await;
    let began = tokio::time::Instant::now();
    let response = gateway.create(minimal("m")).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        trailer(response.metadata(), "x-upstream-attempts"),
        Some("2")
    );
}

#[tokio::test]
async fn callers_that_retry_by_themselves_earn_no_retries() {
    let sandbox = sandbox().await;
    sandbox.script([Fault::create().not_forwarded().forever()]);
    let gateway = gateway(&sandbox.url())
        .with(|s| {
            s.delivery.retries_per_second = 1;
            s.delivery.retry_ratio = 1.0;
            s.delivery.breaker.failures = 1_000;
        })
        .start()
        .await;
    let attempts = async |retry: bool| {
        let mut sum = 0;
        for _ in 0..30 {
            let mut request = authorized(minimal("m"));
            if retry {
                request
                    .metadata_mut()
                    .insert("grpc-previous-rpc-attempts", "1".parse().unwrap());
            }
            let status = gateway.client.clone().create(request).await.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable);
            let count = trailer(status.metadata(), "x-upstream-attempts").unwrap();
            sum += count.parse::<usize>().unwrap();
        }
        sum
    };
    // A reserve of ten a second's worth for ten seconds, then nothing more is earned.
    let retried = attempts(true).await;
    assert!(retried <= 30 + 10, "{retried}");
    let fresh = attempts(false).await;
    assert!(fresh >= 30 + 29, "{fresh}");
}
