//! A request whose path names a connection is carried to its end, whoever goes away: cut off, it
//! would end Chartbrew's process.

use std::time::Duration;

use chartbrew_gateway::proto::{ListRequest, connection_service_client::ConnectionServiceClient};
use chartbrew_sandbox::{Gate, Handle};
use futures_util::future::join_all;
use tokio::{task::JoinHandle, time::timeout};
use tonic::{Code, Status, metadata::MetadataMap};

use super::{Call, insert};
use crate::support::{
    gateway::{Gateway, authorized, failure, gateway, sandbox, trailer},
    time::soon,
};

/// A deadline that passes while the sandbox holds the request.
const SHORT: Duration = Duration::from_secs(2);

/// A call whose request the sandbox holds.
struct Held {
    sandbox: Handle,
    gateway: Gateway,
    gate: Gate,
    call: Call,
    id: i32,
    response: JoinHandle<Result<MetadataMap, Status>>,
}

impl Held {
    /// The gateway has room for one caller.
    async fn begin(call: Call, deadline: Option<Duration>, grace: Duration) -> Self {
        let sandbox = sandbox().await;
        let gateway = gateway(&sandbox.url())
            .with(|settings| {
                settings.delivery.max_in_flight = 1;
                settings.grpc.shutdown_grace = grace;
            })
            .start()
            .await;
        let id = insert(&sandbox);
        let gate = Gate::new();
        sandbox.script([call.fault().hold_before_storing(&gate)]);
        let client = gateway.client.clone();
        let response = tokio::spawn(async move { call.send_within(&client, id, deadline).await });
        soon(gate.reached()).await;
        Self {
            sandbox,
            gateway,
            gate,
            call,
            id,
            response,
        }
    }

    /// The caller leaves, and the gateway has learned it: then there is room for another. (Not so
    /// of an upload, which holds its files and counts until it has ended.)
    async fn caller_leaves(&mut self) {
        self.response.abort();
        assert!((&mut self.response).await.is_err());
        if self.call == Call::UploadFiles {
            return;
        }
        let list = async || {
            let message = ListRequest {
                team_id: 1,
                ..ListRequest::default()
            };
            self.gateway.client.clone().list(authorized(message)).await
        };
        soon(async { while list().await.is_err() {} }).await;
    }

    /// The signal to stop came, and the port is closed.
    async fn stop(&mut self) {
        self.gateway.stop();
        let url = format!("http://{}", self.gateway.addr);
        while ConnectionServiceClient::connect(url.clone()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// The request is still under way; let go on, it comes to its end.
    async fn comes_to_its_end(&self) {
        let Self {
            sandbox, call, id, ..
        } = self;
        let seen = sandbox.requests();
        assert_eq!(seen[0].status, None, "{call:?} is under way");
        assert_eq!(sandbox.cut_off(), 0, "{call:?}");
        self.gate.open();
        soon(async {
            while sandbox.requests()[0].status.is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(sandbox.cut_off(), 0, "{call:?}");
        assert!(call.is_done(sandbox, *id), "{call:?}");
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_has_begun_goes_on_when_its_caller_leaves() {
    join_all(Call::ALL.map(async |call| {
        let mut held = Held::begin(call, None, LONG).await;
        held.caller_leaves().await;
        held.comes_to_its_end().await;
    }))
    .await;
}

#[tokio::test]
async fn what_has_begun_goes_on_when_its_deadline_passes() {
    join_all(Call::ALL.map(async |call| {
        let mut held = Held::begin(call, Some(SHORT), LONG).await;
        let failed = failure((&mut held.response).await.unwrap());
        let reason = match call.is_read() {
            true => "UPSTREAM_UNAVAILABLE",
            false => "OUTCOME_UNKNOWN",
        };
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::DeadlineExceeded, reason), "{call:?}");
        may_be_repeated(&failed, call);
        let message = failed.status.message();
        assert!(!message.contains("nothing"), "{call:?}: {message}");
        let attempts = trailer(failed.status.metadata(), "x-upstream-attempts");
        assert_eq!(attempts, Some("1"), "{call:?}");
        held.comes_to_its_end().await;
    }))
    .await;
}

/// Every one of these calls is safe to repeat, and its status says when.
fn may_be_repeated(failed: &crate::support::gateway::Failure, call: Call) {
    assert!(failed.has_retry_info(), "{call:?}");
    let pushback = trailer(failed.status.metadata(), "grpc-retry-pushback-ms").unwrap();
    assert!(pushback.parse::<u32>().unwrap() > 0, "{call:?}: {pushback}");
    if !call.is_read() {
        assert_eq!(failed.metadata("team_id"), Some("1"), "{call:?}");
        assert_eq!(failed.metadata("connection_id"), Some("1"), "{call:?}");
    }
}

#[tokio::test]
async fn the_process_ends_only_when_what_has_begun_has_ended() {
    join_all(Call::ALL.map(async |call| {
        let mut held = Held::begin(call, None, LONG).await;
        held.caller_leaves().await;
        held.stop().await;
        waits_for_the_end(&mut held).await;
    }))
    .await;
}

/// Also when the grace period is over: a little longer is better than the end of Chartbrew.
#[tokio::test]
async fn the_grace_period_does_not_cut_off_what_has_begun() {
    join_all(Call::ALL.map(async |call| {
        let mut held = Held::begin(call, None, Duration::from_millis(50)).await;
        held.stop().await;
        let failed = failure(soon(&mut held.response).await.unwrap());
        let expected = match call.is_read() {
            true => (Code::Unavailable, "UPSTREAM_UNAVAILABLE"),
            false => (Code::Unknown, "OUTCOME_UNKNOWN"),
        };
        assert_eq!((failed.code, &*failed.reason), expected, "{call:?}");
        may_be_repeated(&failed, call);
        waits_for_the_end(&mut held).await;
    }))
    .await;
}

async fn waits_for_the_end(held: &mut Held) {
    // Long enough for a gateway that does not wait to have ended.
    const LONG_ENOUGH: Duration = Duration::from_millis(200);
    let (gate, sandbox, call, id) = (&held.gate, &held.sandbox, held.call, held.id);
    let stopped = held.gateway.stopped();
    let mut stopped = std::pin::pin!(stopped);
    let ended = timeout(LONG_ENOUGH, stopped.as_mut()).await;
    assert!(ended.is_err(), "{call:?}: it has ended before the request");
    assert_eq!(sandbox.cut_off(), 0, "{call:?}");
    gate.open();
    soon(stopped).await;
    assert!(sandbox.requests()[0].status.is_some(), "{call:?}");
    assert_eq!(sandbox.cut_off(), 0, "{call:?}");
    assert!(call.is_done(sandbox, id), "{call:?}");
}
