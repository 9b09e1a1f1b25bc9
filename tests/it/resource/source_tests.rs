//! Tests of connections, one at a time for each: who joins one, and who waits for its end.

use std::time::Duration;

use chartbrew_gateway::proto::{ListRequest, TestResponse};
use chartbrew_sandbox::{Fault, Gate, Handle, Seen, Settings, User};
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status};

use super::{Call, insert, test, with_token};
use crate::support::{
    gateway::{Gateway, authorized, failure, gateway, sandbox_with, trailer},
    time::soon,
};

type Tested = JoinHandle<Result<Response<TestResponse>, Status>>;

/// A connection that is being tested with the token "one": the sandbox holds the test.
struct Running {
    sandbox: Handle,
    gateway: Gateway,
    id: i32,
    gate: Gate,
    first: Tested,
}

impl Running {
    /// The gateway has room for so many callers.
    async fn begin(fault: Fault, room: usize) -> Self {
        let owners = ["sandbox-token", "one", "two"];
        let sandbox = sandbox_with(Settings {
            users: owners.map(|token| User::owner(token, [1])).into(),
            ..Settings::default()
        })
        .await;
        let gateway = gateway(&sandbox.url())
            .with(|settings| settings.delivery.max_in_flight = room)
            .start()
            .await;
        let id = insert(&sandbox);
        let gate = Gate::new();
        sandbox.script([fault.hold_before_storing(&gate)]);
        let first = test_with(&gateway, "one", id, None);
        soon(gate.reached()).await;
        Self {
            sandbox,
            gateway,
            id,
            gate,
            first,
        }
    }

    /// Another caller, that the gateway has taken in as the last for which it has room.
    async fn last(&self, token: &'static str, timeout: Option<Duration>) -> Tested {
        let last = test_with(&self.gateway, token, self.id, timeout);
        soon(async { while self.has_room().await {} }).await;
        last
    }

    /// Whether the gateway would take in another caller.
    async fn has_room(&self) -> bool {
        let message = ListRequest {
            team_id: 1,
            ..ListRequest::default()
        };
        let mut client = self.gateway.client.clone();
        let listed = client.list(with_token("one", message)).await;
        !is_overloaded(&listed)
    }

    /// The tokens of the tests that the sandbox has received.
    fn tests(&self) -> Vec<String> {
        let seen = self.sandbox.requests();
        let tests = seen.iter().filter(|seen| is_test(seen));
        let token = |seen: &Seen| seen.headers["authorization"].to_str().unwrap().to_owned();
        tests.map(token).collect()
    }
}

fn is_test(seen: &Seen) -> bool {
    seen.path.ends_with("/test")
}

fn is_overloaded<T>(result: &Result<T, Status>) -> bool {
    result
        .as_ref()
        .is_err_and(|status| status.code() == Code::ResourceExhausted)
}

/// A call that is repeated while the gateway has no room for it.
fn test_with(gateway: &Gateway, token: &'static str, id: i32, timeout: Option<Duration>) -> Tested {
    let mut client = gateway.client.clone();
    tokio::spawn(async move {
        loop {
            let mut request = with_token(token, test(id));
            if let Some(timeout) = timeout {
                request.set_timeout(timeout);
            }
            let tested = client.test(request).await;
            if !is_overloaded(&tested) {
                return tested;
            }
        }
    })
}

fn attempts(tested: &Response<TestResponse>) -> &str {
    trailer(tested.metadata(), "x-upstream-attempts").unwrap()
}

#[tokio::test]
async fn a_second_caller_with_the_same_token_joins() {
    let mut running = Running::begin(Fault::test(), 2).await;
    let second = running.last("one", None).await;
    running.gate.open();
    let first = soon(&mut running.first).await.unwrap().unwrap();
    let second = soon(second).await.unwrap().unwrap();
    assert_eq!((attempts(&first), attempts(&second)), ("1", "0"));
    assert_eq!(first.into_inner(), second.into_inner());
    assert_eq!(running.tests().len(), 1);
    // The next one is new.
    soon(test_with(&running.gateway, "one", running.id, None))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(running.tests().len(), 2);
}

#[tokio::test]
async fn a_second_caller_with_another_token_waits_and_makes_its_own_test() {
    let running = Running::begin(Fault::test(), 2).await;
    let second = running.last("two", None).await;
    assert_eq!(running.tests(), ["Bearer one"]);
    let gate = Gate::new();
    running
        .sandbox
        .script([Fault::test().hold_before_storing(&gate)]);
    running.gate.open();
    soon(gate.reached()).await;
    let first = running
        .sandbox
        .requests()
        .into_iter()
        .find(is_test)
        .unwrap();
    assert!(first.status.is_some(), "the first has ended");
    gate.open();
    let second = soon(second).await.unwrap().unwrap();
    assert_eq!(attempts(&second), "1");
    assert_eq!(running.tests(), ["Bearer one", "Bearer two"]);
    soon(running.first).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_result_is_not_given_to_a_token_that_chartbrew_rejects() {
    let running = Running::begin(Fault::test(), 2).await;
    let second = running.last("nobody", None).await;
    running.gate.open();
    let failed = failure(soon(second).await.unwrap());
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Unauthenticated, "TOKEN_REJECTED")
    );
    soon(running.first).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_test_of_before_a_change_is_not_joined() {
    for (change, code) in [
        (Call::Update, Code::Ok),
        (Call::UploadFiles, Code::Ok),
        (Call::Delete, Code::NotFound),
    ] {
        let running = Running::begin(Fault::test(), 2).await;
        change
            .send(&running.gateway.client, running.id)
            .await
            .unwrap();
        let second = running.last("one", None).await;
        assert_eq!(running.tests().len(), 1, "{change:?}");
        running.gate.open();
        let second = soon(second).await.unwrap();
        assert_eq!(
            second.map_or_else(|status| status.code(), |_| Code::Ok),
            code,
            "{change:?}"
        );
        assert_eq!(running.tests().len(), 2, "{change:?}");
        drop(soon(running.first).await.unwrap());
        assert_eq!(running.sandbox.cut_off(), 0);
    }
}

#[tokio::test]
async fn a_test_that_outlasts_its_caller_is_joined_by_the_next() {
    let mut running = Running::begin(Fault::test(), 1).await;
    running.first.abort();
    assert!((&mut running.first).await.is_err());
    soon(async { while !running.has_room().await {} }).await;
    let next = running.last("one", None).await;
    running.gate.open();
    let next = soon(next).await.unwrap().unwrap();
    assert_eq!(attempts(&next), "0");
    assert_eq!(running.tests().len(), 1);
    assert_eq!(running.sandbox.cut_off(), 0);
}

#[tokio::test]
async fn a_caller_that_has_joined_is_told_at_its_deadline_that_the_test_goes_on() {
    let mut running = Running::begin(Fault::test(), 2).await;
    let joined = running.last("one", Some(Duration::from_secs(2))).await;
    let failed = failure(soon(joined).await.unwrap());
    let got = (failed.code, &*failed.reason);
    assert_eq!(got, (Code::DeadlineExceeded, "UPSTREAM_UNAVAILABLE"));
    assert!(failed.has_retry_info());
    let message = failed.status.message();
    assert!(message.contains("the test goes on"), "{message}");
    running.gate.open();
    soon(&mut running.first).await.unwrap().unwrap();
    assert_eq!(running.tests().len(), 1);
}

/// Both make another attempt then, which is one test again.
#[tokio::test]
async fn a_test_that_is_lost_is_made_again_once_for_all() {
    let mut running = Running::begin(Fault::test().drop_after_storing(), 2).await;
    let second = running.last("one", None).await;
    running.gate.open();
    soon(&mut running.first).await.unwrap().unwrap();
    soon(second).await.unwrap().unwrap();
    assert_eq!(running.tests().len(), 2);
}

#[tokio::test]
async fn tests_of_different_connections_run_at_the_same_time_but_not_without_limit() {
    const MAX: usize = 128;
    let sandbox = sandbox_with(Settings::default()).await;
    let gateway = gateway(&sandbox.url()).start().await;
    let gate = Gate::new();
    sandbox.script([Fault::test().hold_before_storing(&gate).forever()]);
    let test = |id| test_with(&gateway, chartbrew_sandbox::TOKEN, id, None);
    let running: Vec<_> = (0..MAX).map(|_| test(insert(&sandbox))).collect();
    soon(sandbox.seen(MAX)).await;
    let id = insert(&sandbox);
    let one_more = gateway
        .client
        .clone()
        .test(authorized(super::test(id)))
        .await;
    let failed = failure(one_more);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::ResourceExhausted, "OVERLOADED")
    );
    assert!(failed.has_retry_info());
    // Whoever wants something else is not held up.
    for call in [Call::Get, Call::Update, Call::UploadFiles, Call::Delete] {
        soon(call.send(&gateway.client, id)).await.unwrap();
    }
    gate.open();
    for tested in soon(join_all(running)).await {
        tested.unwrap().unwrap();
    }
    assert_eq!(sandbox.cut_off(), 0);
}
