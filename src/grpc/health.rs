//! Whether the gateway can serve: one handle that everybody reports to, told to callers by
//! `grpc.health.v1`.

use std::sync::Arc;

use tokio::sync::watch;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::proto::connection_service_server;

/// What stands in the way of serving. Ready when nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The gateway is stopping.
    pub stopping: bool,
    /// Chartbrew rejects the gateway's own token.
    pub token_rejected: bool,
    /// Chartbrew cannot be reached.
    pub circuit_open: bool,
    /// The store of request ids cannot be reached.
    pub store_unreachable: bool,
}

/// The writing end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Health {
    condition: Arc<watch::Sender<Condition>>,
}

// === impl Condition ===

impl Condition {
    /// Whether calls should be sent here.
    #[must_use]
    pub fn is_ready(self) -> bool {
        let Self {
            stopping,
            token_rejected,
            circuit_open,
            store_unreachable,
        } = self;
        !(stopping || token_rejected || circuit_open || store_unreachable)
    }

    /// What stands in the way, for people.
    #[must_use]
    pub fn reasons(self) -> Vec<&'static str> {
        let Self {
            stopping,
            token_rejected,
            circuit_open,
            store_unreachable,
        } = self;
        let all = [
            (stopping, "stopping"),
            (circuit_open, "circuit open: Chartbrew cannot be reached"),
            (token_rejected, "gateway token rejected by Chartbrew"),
            (store_unreachable, "request_id store unreachable"),
        ];
        let standing = all.into_iter().filter(|(stands, _)| *stands);
        standing.map(|(_, reason)| reason).collect()
    }

    fn status(self) -> ServingStatus {
        match self.is_ready() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        }
    }
}

// === impl Health ===

impl Default for Health {
    fn default() -> Self {
        let ready = Condition {
            stopping: false,
            token_rejected: false,
            circuit_open: false,
            store_unreachable: false,
        };
        Self {
            condition: Arc::new(watch::Sender::new(ready)),
        }
    }
}

impl Health {
    /// From now on the gateway takes no new calls.
    pub fn set_stopping(&self) {
        self.change(|condition| condition.stopping = true);
    }

    /// Whether Chartbrew accepts the gateway's own token.
    pub fn set_token_accepted(&self, accepted: bool) {
        self.change(|condition| condition.token_rejected = !accepted);
    }

    /// Whether Chartbrew cannot be reached.
    pub fn set_circuit_open(&self, open: bool) {
        self.change(|condition| condition.circuit_open = open);
    }

    /// Whether the store of request ids cannot be reached.
    pub fn set_store_unreachable(&self, unreachable: bool) {
        self.change(|condition| condition.store_unreachable = unreachable);
    }

    /// The condition as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut Condition)) {
        self.condition.send_if_modified(|condition| {
            let before = *condition;
            change(condition);
            *condition != before
        });
    }

    /// Tells callers of the health service about every change. Ends with the last handle.
    pub(super) async fn report_to(self, reporter: HealthReporter) {
        let mut condition = self.watch();
        loop {
            let status = condition.borrow_and_update().status();
            // The empty name stands for the server as a whole (gRPC health checking protocol).
            for service in ["", connection_service_server::SERVICE_NAME] {
                reporter.set_service_status(service, status).await;
            }
            if condition.changed().await.is_err() {
                return;
            }
        }
    }
}
