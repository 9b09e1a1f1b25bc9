//! A whole gateway, as `main` builds it, on a port of its own.

use std::{net::SocketAddr, time::Duration};

use chartbrew_gateway::{
    admin,
    app::{self, App},
    chartbrew, delivery, grpc,
    proto::{
        ConnectionType, CreateRequest, CreateResponse, NewConnection,
        connection_service_client::ConnectionServiceClient,
    },
};
use chartbrew_sandbox::{self as sandbox, Handle, Sandbox};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{
    Code, Request, Response, Status,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use tonic_types::{ErrorDetails, StatusExt};

/// Starts the embedded Chartbrew.
pub(crate) async fn sandbox() -> Handle {
    sandbox_with(sandbox::Settings::default()).await
}

/// Starts one that announces to keep idle connections for this long, and does so.
pub(crate) async fn sandbox_that_keeps_for(keep_alive: Duration) -> Handle {
    sandbox_with(sandbox::Settings {
        keep_alive,
        ..sandbox::Settings::default()
    })
    .await
}

/// Starts one that is set up like this.
pub(crate) async fn sandbox_with(settings: sandbox::Settings) -> Handle {
    let sandbox = Sandbox::bind(settings).await.unwrap();
    let handle = sandbox.handle();
    tokio::spawn(sandbox.run(std::future::pending()));
    handle
}

/// A gateway before the given upstream, with waits as short as tests need them.
pub(crate) fn gateway(upstream: &str) -> Builder {
    let fast = Duration::from_millis(1);
    Builder(app::Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        admin: admin::Settings {
            listen: None,
            ..admin::Settings::default()
        },
        grpc: grpc::Settings {
            shutdown_delay: Duration::ZERO,
            ..grpc::Settings::default()
        },
        delivery: delivery::Settings {
            backoff: delivery::Backoff {
                base: fast,
                cap: fast,
            },
            recovery_window: Duration::from_secs(3),
            ..delivery::Settings::default()
        },
        reload_interval: Duration::from_millis(5),
        request_id_store: delivery::request_id::StoreSettings::Memory,
        chartbrew: chartbrew::Settings {
            url: upstream.parse().unwrap(),
            ..chartbrew::Settings::default()
        },
    })
}

pub(crate) struct Builder(app::Settings);

/// A running gateway. Stops when dropped.
pub(crate) struct Gateway {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) client: ConnectionServiceClient<Channel>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<bool>>,
}

impl Builder {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut app::Settings)) -> Self {
        change(&mut self.0);
        self
    }

    pub(crate) async fn start(self) -> Gateway {
        let gateway = self.start_without_client().await;
        let client = ConnectionServiceClient::new(channel(gateway.addr).await);
        Gateway { client, ..gateway }
    }

    /// For a port that a plain client cannot use.
    pub(crate) async fn start_without_client(self) -> Gateway {
        let app = App::bind(self.0).await.unwrap();
        let (addr, admin) = (app.grpc_addr(), app.admin_addr());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async {
            stopped.await.unwrap_or_default();
        }));
        Gateway {
            addr,
            admin,
            client: ConnectionServiceClient::new(plain(addr).connect_lazy()),
            stop: Some(stop),
            running: Some(running),
        }
    }
}

pub(crate) async fn channel(addr: SocketAddr) -> Channel {
    plain(addr).connect().await.unwrap()
}

fn plain(addr: SocketAddr) -> Endpoint {
    Channel::from_shared(format!("http://{addr}")).unwrap()
}

impl Gateway {
    /// A connection of its own.
    pub(crate) async fn channel(&self) -> Channel {
        channel(self.addr).await
    }

    /// Creates with the sandbox's token.
    pub(crate) async fn create(
        &self,
        message: CreateRequest,
    ) -> Result<Response<CreateResponse>, Status> {
        self.client.clone().create(authorized(message)).await
    }

    /// Sends the signal to stop.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for the end. Whether all work was finished.
    pub(crate) async fn stopped(&mut self) -> bool {
        self.running.take().unwrap().await.unwrap()
    }
}

/// A request with the sandbox's token.
pub(crate) fn authorized<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let token = format!("Bearer {}", sandbox::TOKEN).parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    request
}

/// The smallest create that is right.
pub(crate) fn minimal(name: &str) -> CreateRequest {
    CreateRequest {
        team_id: 1,
        connection: Some(Box::new(NewConnection {
            name: name.to_owned(),
            r#type: ConnectionType::Mongodb.into(),
            ..NewConnection::default()
        })),
        ..CreateRequest::default()
    }
}

/// The same with a new request id.
pub(crate) fn with_id(name: &str) -> CreateRequest {
    CreateRequest {
        request_id: Some(uuid::Uuid::new_v4().to_string()),
        ..minimal(name)
    }
}

/// A trailer's text. A response's trailers end up in its metadata.
pub(crate) fn trailer<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name).map(|value| value.to_str().unwrap())
}

/// What a failure says to machines.
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) details: ErrorDetails,
    pub(crate) status: Status,
}

/// Reads a failure. Every one has an `ErrorInfo` of ours and a `RequestInfo`.
pub(crate) fn failure<T>(result: Result<T, Status>) -> Failure {
    let status = result.err().expect("a failure");
    let details = status.get_error_details();
    let info = details
        .error_info()
        .expect("every failure has an ErrorInfo");
    assert_eq!(info.domain, "gateway.chartbrew.com");
    assert!(
        details
            .request_info()
            .is_some_and(|info| !info.request_id.is_empty())
    );
    assert!(status.message().len() <= 1024, "{}", status.message());
    let mut headers = http::HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    let size: usize = headers
        .iter()
        .map(|(n, v)| n.as_str().len() + v.len() + 32)
        .sum();
    assert!(size < 8192, "{size} bytes of trailers");
    Failure {
        code: status.code(),
        reason: info.reason.clone(),
        details,
        status,
    }
}

impl Failure {
    pub(crate) fn fields(&self) -> Vec<&str> {
        let violations = self
            .details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice());
        violations
            .unwrap_or_default()
            .iter()
            .map(|v| v.field.as_str())
            .collect()
    }

    pub(crate) fn metadata(&self, name: &str) -> Option<&str> {
        self.details
            .error_info()?
            .metadata
            .get(name)
            .map(String::as_str)
    }

    pub(crate) fn has_retry_info(&self) -> bool {
        self.details.retry_info().is_some()
    }
}
