//! Two gateways on one store: one row, whichever of them is asked, and also when one dies.

use std::{future::Future, time::Duration};

use chartbrew_gateway::{
    admin,
    app::{self, App},
    chartbrew, delivery,
    delivery::request_id::{RedisSettings, StoreSettings},
    grpc,
    proto::{
        ConnectionType, CreateRequest, CreateResponse, NewConnection,
        connection_service_client::ConnectionServiceClient,
    },
};
use chartbrew_sandbox::{self as sandbox, Fault, Gate, Handle, Sandbox};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::watch,
};
use tonic::{
    Code, Request, Response, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    server::{Server, wanted},
    store::dump,
};

/// A gateway in a runtime of its own, so that it can die as a process does.
struct Gateway {
    runtime: Option<Runtime>,
    channel: Channel,
}

impl Gateway {
    async fn start(sandbox: &Handle, store: RedisSettings) -> Self {
        let settings = app::Settings {
            reload_interval: Duration::from_secs(10),
            listen: "127.0.0.1:0".parse().unwrap(),
            grpc: grpc::Settings {
                shutdown_delay: Duration::ZERO,
                ..grpc::Settings::default()
            },
            delivery: delivery::Settings {
                recovery_window: Duration::from_secs(2),
                ..delivery::Settings::default()
            },
            chartbrew: chartbrew::Settings {
                url: sandbox.url().parse().unwrap(),
                ..chartbrew::Settings::default()
            },
            request_id_store: StoreSettings::Redis(store),
            admin: admin::Settings {
                listen: None,
                ..admin::Settings::default()
            },
        };
        let runtime = Runtime::new().unwrap();
        let app = runtime.spawn(App::bind(settings)).await.unwrap().unwrap();
        let channel = Endpoint::try_from(format!("http://{}", app.grpc_addr())).unwrap();
        runtime.spawn(app.run(std::future::pending()));
        Self {
            runtime: Some(runtime),
            channel: channel.connect().await.unwrap(),
        }
    }

    /// The same request each time, under this id. Needs the gateway no longer once it is called.
    fn create(
        &self,
        request_id: Option<Uuid>,
    ) -> impl Future<Output = Result<Response<CreateResponse>, Status>> + use<> {
        self.create_within(request_id, Duration::from_secs(60))
    }

    fn create_within(
        &self,
        request_id: Option<Uuid>,
        timeout: Duration,
    ) -> impl Future<Output = Result<Response<CreateResponse>, Status>> + use<> {
        let mut client = ConnectionServiceClient::new(self.channel.clone());
        let mut request = Request::new(CreateRequest {
            team_id: 1,
            connection: Some(Box::new(NewConnection {
                name: "marker-name".to_owned(),
                r#type: ConnectionType::Postgres.into(),
                host: Some("db.example.invalid".to_owned()),
                password: Some("marker-password".to_owned()),
                ..NewConnection::default()
            })),
            request_id: request_id.map(|id| id.to_string()),
            ..CreateRequest::default()
        });
        let token = MetadataValue::try_from(format!("Bearer {}", sandbox::TOKEN)).unwrap();
        request.metadata_mut().insert("authorization", token);
        request.set_timeout(timeout);
        async move { client.create(request).await }
    }

    /// Ends it between two instructions: nothing is finished, nothing is given up.
    fn crash(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}

/// A way to the server that can be cut.
struct Way {
    url: String,
    is_cut: watch::Sender<bool>,
}

impl Way {
    async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let server = server.url().replace("redis://", "");
        let is_cut = watch::Sender::new(false);
        let cut = is_cut.subscribe();
        tokio::spawn(async move {
            while let Ok((mut peer, _)) = listener.accept().await {
                let (mut cut, server) = (cut.clone(), server.clone());
                tokio::spawn(async move {
                    let pass = async {
                        let mut server = TcpStream::connect(server).await?;
                        tokio::io::copy_bidirectional(&mut peer, &mut server).await
                    };
                    tokio::select! {
                        biased;
                        cut = cut.wait_for(|is_cut| *is_cut) => drop(cut),
                        passed = pass => drop(passed),
                    }
                });
            }
        });
        Self { url, is_cut }
    }

    fn settings(&self) -> RedisSettings {
        RedisSettings::parse(&self.url).unwrap()
    }
}

async fn sandbox() -> Handle {
    let sandbox = Sandbox::bind(sandbox::Settings::default()).await.unwrap();
    let handle = sandbox.handle();
    tokio::spawn(sandbox.run(std::future::pending()));
    handle
}

fn id(response: &Response<CreateResponse>) -> i32 {
    response.get_ref().connection.as_ref().unwrap().id
}

fn outcome(response: &Response<CreateResponse>) -> Option<&str> {
    let value = response.metadata().get("x-outcome")?;
    value.to_str().ok()
}

#[tokio::test]
async fn two_gateways_asked_at_once_make_one_row() {
    if !wanted() {
        return;
    }
    let (server, sandbox) = (Server::start(), sandbox().await);
    let first = Gateway::start(&sandbox, server.settings()).await;
    let second = Gateway::start(&sandbox, server.settings()).await;
    let gate = Gate::new();
    sandbox.script([Fault::create().hold_before_storing(&gate)]);
    let request_id = Uuid::new_v4();
    let open = async {
        gate.reached().await;
        // The other has found the claim taken meanwhile.
        tokio::time::sleep(Duration::from_millis(100)).await;
        gate.open();
    };
    let (one, other, ()) = tokio::join!(
        first.create(Some(request_id)),
        second.create(Some(request_id)),
        open
    );
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(id(&one), id(&other));
    let mut outcomes = [outcome(&one), outcome(&other)];
    outcomes.sort_unstable();
    assert_eq!(outcomes, [None, Some("replayed")]);
    assert_eq!(sandbox.rows(1).len(), 1);

    let dump = dump(&mut server.connection().await).await;
    assert_eq!(dump.len(), 2, "{dump:?}");
    for (key, content) in dump {
        for secret in ["marker", sandbox::TOKEN, &request_id.to_string()] {
            assert!(!key.contains(secret), "{key}");
            assert!(!content.contains(secret), "{content}");
        }
    }
}

#[tokio::test]
async fn what_a_crashed_gateway_sent_is_recovered_by_another() {
    if !wanted() {
        return;
    }
    let (server, sandbox) = (Server::start(), sandbox().await);
    let lease = Duration::from_millis(500);
    let settings = || server.settings().with_lease(lease);
    let first = Gateway::start(&sandbox, settings()).await;
    let second = Gateway::start(&sandbox, settings()).await;
    let gate = Gate::new();
    sandbox.script([Fault::create().hold_after_storing(&gate)]);
    let request_id = Some(Uuid::new_v4());
    let calling = first.create(request_id);
    let crash = async {
        gate.reached().await;
        first.crash();
    };
    let (failed, ()) = tokio::join!(calling, crash);
    failed.unwrap_err();

    let found = second.create(request_id).await.unwrap();
    assert_eq!(outcome(&found), Some("recovered"));
    assert_eq!(sandbox.rows(1).len(), 1);
    assert_eq!(sandbox.rows(1)[0]["id"], id(&found));
    let again = second.create(request_id).await.unwrap();
    assert_eq!(outcome(&again), Some("replayed"));
    assert_eq!(id(&again), id(&found));
}

#[tokio::test]
async fn what_was_created_during_an_outage_of_the_store_is_kept_after_it() {
    if !wanted() {
        return;
    }
    let (server, sandbox) = (Server::start(), sandbox().await);
    let way = Way::to(&server).await;
    let first = Gateway::start(&sandbox, way.settings()).await;
    let second = Gateway::start(&sandbox, server.settings()).await;
    let gate = Gate::new();
    sandbox.script([Fault::create().hold_after_storing(&gate)]);
    let request_id = Some(Uuid::new_v4());
    let calling = tokio::spawn(first.create(request_id));
    gate.reached().await;
    way.is_cut.send_replace(true);
    gate.open();
    let created = calling.await.unwrap().unwrap();
    way.is_cut.send_replace(false);
    // Not "recovered": the other gateway does not have to look for it.
    let again = second.create(request_id).await.unwrap();
    assert_eq!(outcome(&again), Some("replayed"));
    assert_eq!(id(&again), id(&created));
    assert_eq!(sandbox.rows(1).len(), 1);
}

/// Identical creates that two gateways send: while the response to one is on its way, the other,
/// whose request was lost, may take its row. Then the first must not respond with it too.
#[tokio::test]
async fn two_gateways_never_return_one_row_for_two_creates() {
    if !wanted() {
        return;
    }
    let (server, sandbox) = (Server::start(), sandbox().await);
    let first = Gateway::start(&sandbox, server.settings()).await;
    let second = Gateway::start(&sandbox, server.settings()).await;
    let gate = Gate::new();
    sandbox.script([
        Fault::create().hold_after_storing(&gate),
        Fault::create().drop_before_storing(),
    ]);
    let slow = tokio::spawn(first.create(Some(Uuid::new_v4())));
    gate.reached().await;
    let lost = second.create(Some(Uuid::new_v4())).await.unwrap();
    assert_eq!(outcome(&lost), Some("recovered"));
    gate.open();
    // There is one row, and it is the other's.
    let unknown = slow.await.unwrap().unwrap_err();
    assert_eq!(unknown.code(), Code::Unknown);
    assert_eq!(sandbox.rows(1).len(), 1);
}

#[tokio::test]
async fn without_the_store_only_creates_without_a_request_id_go_on() {
    if !wanted() {
        return;
    }
    let (server, sandbox) = (Server::start(), sandbox().await);
    let gateway = Gateway::start(&sandbox, server.settings()).await;
    server.freeze();
    let refused = gateway.create(Some(Uuid::new_v4())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(sandbox.rows(1).len(), 0);

    let start = tokio::time::Instant::now();
    gateway.create(None).await.unwrap();
    // No longer than one operation may take.
    assert!(start.elapsed() < Duration::from_millis(1000));
    assert_eq!(sandbox.rows(1).len(), 1);

    server.thaw();
    gateway.create(Some(Uuid::new_v4())).await.unwrap();
    assert_eq!(sandbox.rows(1).len(), 2);
}

/// The connection is there, and the store that knows it does not say so in time.
#[tokio::test]
async fn a_repeat_without_a_response_of_the_store_reports_only_on_itself() {
    if !wanted() {
        return;
    }
    let (server, sandbox) = (Server::start(), sandbox().await);
    let gateway = Gateway::start(&sandbox, server.settings()).await;
    let request_id = Some(Uuid::new_v4());
    let first = gateway.create(request_id).await.unwrap();
    server.freeze();
    // Shorter than the limit of one operation.
    let repeat = gateway.create_within(request_id, Duration::from_millis(200));
    let failed = repeat.await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    let details = failed.get_error_details();
    let reason = &details.error_info().unwrap().reason;
    assert_eq!(reason, "REQUEST_ID_STORE_UNAVAILABLE", "{failed}");

    server.thaw();
    let again = gateway.create(request_id).await.unwrap();
    assert_eq!(outcome(&again), Some("replayed"));
    assert_eq!(id(&again), id(&first));

    // Of a call that nobody came before, nothing is sent after it was told so.
    server.freeze();
    let request_id = Some(Uuid::new_v4());
    let early = gateway.create_within(request_id, Duration::from_millis(200));
    early.await.unwrap_err();
    server.thaw();
    gateway.create(request_id).await.unwrap();
    assert_eq!(sandbox.rows(1).len(), 2);
}

/// A server that is silent for a moment does what it was asked as soon as it is back: a claim that
/// nobody waits for any more must not hold up the next call until its lease lapses.
#[tokio::test]
async fn a_claim_that_was_given_too_late_holds_up_nobody() {
    if !wanted() {
        return;
    }
    let (server, sandbox) = (Server::start(), sandbox().await);
    let gateway = Gateway::start(&sandbox, server.settings()).await;
    gateway.create(Some(Uuid::new_v4())).await.unwrap();
    server.freeze();
    let request_id = Some(Uuid::new_v4());
    let failed = gateway.create(request_id).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    server.thaw();
    // Much less than a lease.
    let again = gateway.create_within(request_id, Duration::from_secs(5));
    assert_eq!(outcome(&again.await.unwrap()), None);
    assert_eq!(sandbox.rows(1).len(), 2);
}

#[tokio::test]
async fn a_gateway_without_its_store_stays_in_service() {
    if !wanted() {
        return;
    }
    let (mut server, sandbox) = (Server::start(), sandbox().await);
    let gateway = Gateway::start(&sandbox, server.settings()).await;
    let mut health = HealthClient::new(gateway.channel.clone());
    let watched = health.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watched = watched.into_inner();
    let mut first = async || watched.message().await.unwrap().unwrap().status();
    assert_eq!(first().await, ServingStatus::Serving);
    server.stop();
    let refused = gateway.create(Some(Uuid::new_v4())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let request = HealthCheckRequest::default();
    let now = health.check(request).await.unwrap().into_inner().status();
    assert_eq!(now, ServingStatus::Serving);
}
