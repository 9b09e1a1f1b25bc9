//! One rule for every request that may be sent again: attempts, budget, `Retry-After`, circuit.

use std::time::Duration;

use chartbrew_gateway::{
    app,
    proto::{ConnectionFiles, CreateRequest},
};

use super::{Fault, Handle};
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
