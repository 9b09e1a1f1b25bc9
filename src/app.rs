//! The composition root: builds the client for Chartbrew, the rules of delivery, the gRPC server and
//! the admin port, connects them, and stops them in order.

use std::{future::Future, net::SocketAddr, time::Duration};

use crate::{
    admin::{self, Admin, Readiness},
    chartbrew::{self, Client, InvalidClient},
    delivery::{
        self, Delivery,
        request_id::{Store, StoreError, StoreSettings},
    },
    grpc::{self, BindError, Health, Server},
    reload::FileProblem,
    telemetry::{self, CircuitState, Event},
};

/// The settings of all parts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where callers connect.
    pub listen: SocketAddr,
    /// The admin port.
    pub admin: admin::Settings,
    /// The gRPC server.
    pub grpc: grpc::Settings,
    /// The rules of delivery.
    pub delivery: delivery::Settings,
    /// The client for Chartbrew.
    pub chartbrew: chartbrew::Settings,
    /// Where request ids are kept.
    pub request_id_store: StoreSettings,
    /// How often files that can change are read again.
    pub reload_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            admin: admin::Settings::default(),
            grpc: grpc::Settings::default(),
            delivery: delivery::Settings::default(),
            chartbrew: chartbrew::Settings::default(),
            request_id_store: StoreSettings::default(),
            reload_interval: Duration::from_secs(10),
        }
    }
}

/// A gateway that is bound and not running yet.
#[derive(Debug)]
pub struct App {
    server: Server,
    admin: Option<Admin>,
    delivery: Delivery,
    health: Health,
}

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The client cannot be set up.
    #[error("CHARTBREW_URL: {0}")]
    Client(InvalidClient),
    /// The store of request ids cannot be set up.
    #[error("GATEWAY_REQUEST_ID_STORE: {0}")]
    Store(#[from] StoreError),
    /// A file of the settings cannot be used.
    #[error(transparent)]
    File(#[from] FileProblem),
    /// The address cannot be bound.
    #[error("GATEWAY_LISTEN: cannot listen on {addr}: {error}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
    /// The admin port cannot be bound.
    #[error("GATEWAY_ADMIN_LISTEN: cannot listen on {addr}: {error}")]
    ListenAdmin {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
}

impl From<InvalidClient> for StartError {
    fn from(error: InvalidClient) -> Self {
        match error {
            InvalidClient::File(problem) => Self::File(problem),
            InvalidClient::Url | InvalidClient::Plaintext(_) => Self::Client(error),
        }
    }
}

impl App {
    /// Builds everything and binds the sockets. Nothing is contacted.
    ///
    /// # Errors
    /// If a setting cannot work or a socket cannot be bound.
    pub async fn bind(settings: Settings) -> Result<Self, StartError> {
        let Settings {
            listen,
            admin,
            grpc,
            delivery,
            chartbrew,
            request_id_store,
            reload_interval,
        } = settings;
        let client = Client::new(&chartbrew, reload_interval)?;
        // Gateways that share a store must call the same Chartbrew by the same name.
        let upstream = chartbrew.url.as_str().trim_end_matches('/').to_owned();
        let store = Store::open(&request_id_store, &upstream)?;
        let delivery = Delivery::new(delivery, client, upstream, store);
        let health = Health::default();
        let server = Server::bind(
            listen,
            grpc,
            reload_interval,
            delivery.clone(),
            health.clone(),
        )
        .await
        .map_err(|error| match error {
            BindError::File(problem) => StartError::File(problem),
            BindError::Listen(error) => {
                let addr = listen;
                StartError::Listen { addr, error }
            }
        })?;
        let admin = match admin.listen {
            None => None,
            Some(addr) => Some(bind_admin(addr, admin.remote_log, &health).await?),
        };
        Ok(Self {
            server,
            admin,
            delivery,
            health,
        })
    }

    /// Where callers connect.
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The address of the admin port.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::addr)
    }

    /// Serves until the signal, then lets calls and work under way finish. Returns whether all
    /// of it did within the grace period. What must not be cut off is waited for in any case.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> bool {
        let Self {
            server,
            admin,
            delivery,
            health,
        } = self;
        // The admin port is served until everything else has ended.
        let admin = admin.map(|admin| tokio::spawn(admin.run(std::future::pending())));
        let circuit = tokio::spawn(report_circuit(delivery.clone(), health.clone()));
        let store = tokio::spawn(report_store(delivery.clone(), health));
        let (until, calls_finished) = server.run(shutdown).await;
        // Operations whose callers have left.
        let work_finished = delivery.drain(until).await;
        circuit.abort();
        store.abort();
        if let Some(admin) = admin {
            admin.abort();
        }
        calls_finished && work_finished
    }
}

async fn bind_admin(
    addr: SocketAddr,
    remote_log: bool,
    health: &Health,
) -> Result<Admin, StartError> {
    let condition = health.watch();
    let readiness = Readiness::new(move || {
        let condition = *condition.borrow();
        (condition.is_ready(), condition.problems())
    });
    let bound = Admin::bind(addr, remote_log, readiness).await;
    bound.map_err(|error| StartError::ListenAdmin { addr, error })
}

async fn report_circuit(delivery: Delivery, health: Health) {
    let mut circuit = delivery.watch_circuit();
    loop {
        health.set_circuit_open(*circuit.borrow_and_update() != CircuitState::Closed);
        if circuit.changed().await.is_err() {
            return;
        }
    }
}

async fn report_store(delivery: Delivery, health: Health) {
    let mut reachable = delivery.watch_store();
    loop {
        let now = *reachable.borrow_and_update();
        telemetry::record(Event::StoreReachable(now));
        health.set_store_unreachable(!now);
        if reachable.changed().await.is_err() {
            return;
        }
    }
}
