//! Whether the gateway can serve: one handle that all parts report to, served as
//! `grpc.health.v1`.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::proto::connection_service_server;

/// How long a rejection of the gateway's own token counts. It may have been corrected since, and only
/// a call can show that.
const TOKEN_REJECTED_FOR: Duration = Duration::from_secs(60);

/// What keeps the gateway from serving, and what its callers will notice.
///
/// Ready is about this process. An outage that all replicas share, of Chartbrew or of the store,
/// takes none of them out of service: callers get an error that says what is wrong instead of a
/// connection that is refused. A rejected token does, though replicas may share it: without a token
/// a gateway can serve nobody, and other replicas may have another one already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The gateway is stopping. Not ready.
    pub stopping: bool,
    /// Chartbrew rejected the gateway's own token lately. Not ready.
    pub token_rejected: bool,
    /// Chartbrew cannot be reached.
    pub circuit_open: bool,
    /// The store of request ids cannot be reached.
    pub store_unreachable: bool,
}

/// The writing end. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    condition: Arc<watch::Sender<Condition>>,
}

// === impl Condition ===

impl Condition {
    /// Whether calls should be sent here.
    #[must_use]
    pub fn is_ready(self) -> bool {
        !(self.stopping || self.token_rejected)
    }

    /// All that is wrong, for people.
    #[must_use]
    pub fn problems(self) -> Vec<&'static str> {
        let Self {
            stopping,
            token_rejected,
            circuit_open,
            store_unreachable,
        } = self;
        let all = [
            (stopping, "stopping"),
            (token_rejected, "gateway token rejected by Chartbrew"),
            (circuit_open, "circuit open: Chartbrew cannot be reached"),
            (store_unreachable, "request_id store unreachable"),
        ];
        let present = all.into_iter().filter(|(is_so, _)| *is_so);
        present.map(|(_, problem)| problem).collect()
    }

    fn status(self) -> ServingStatus {
        match self.is_ready() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        }
    }
}

// === impl Health ===

impl Health {
    /// From now on the gateway should get no new calls.
    pub fn set_stopping(&self) {
        self.change(|condition| condition.stopping = true);
    }

    /// Whether the gateway is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.condition.borrow().stopping
    }

    /// Chartbrew rejected the gateway's own token. Forgotten after a minute, or when it is replaced.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn token_rejected(&self) {
        if self.change(|condition| condition.token_rejected = true) {
            let health = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(TOKEN_REJECTED_FOR).await;
                health.change(|condition| condition.token_rejected = false);
            });
        }
    }

    /// The gateway has another token of its own, of which nothing is known yet.
    pub fn token_replaced(&self) {
        self.change(|condition| condition.token_rejected = false);
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

    /// Whether that changed anything.
    fn change(&self, change: impl FnOnce(&mut Condition)) -> bool {
        self.condition.send_if_modified(|condition| {
            let before = *condition;
            change(condition);
            *condition != before
        })
    }

    /// Reports every change to the health service. Ends with the last handle.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rejected_token_counts_for_a_minute_and_an_outage_never() {
        let health = Health::default();
        let condition = health.watch();
        let is_ready = || condition.borrow().is_ready();
        health.set_circuit_open(true);
        health.set_store_unreachable(true);
        assert!(is_ready());
        assert_eq!(condition.borrow().problems().len(), 2);

        health.token_rejected();
        tokio::time::sleep(TOKEN_REJECTED_FOR - Duration::from_secs(1)).await;
        assert!(!is_ready());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(is_ready());

        health.token_rejected();
        health.token_replaced();
        assert!(is_ready(), "nothing is known of the new one");

        health.token_rejected();
        health.set_stopping();
        tokio::time::sleep(TOKEN_REJECTED_FOR * 2).await;
        assert!(!is_ready(), "it is stopping");
    }
}
