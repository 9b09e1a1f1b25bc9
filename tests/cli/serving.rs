//! The long-running subcommands: what they write while they serve, and how they stop.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    time::Duration,
};

use chartbrew_gateway::proto::{
    Connection, ConnectionType, CreateRequest, NewConnection,
    connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox::{Fault, Gate, Handle, Sandbox, Settings, TOKEN};
use serde_json::Value;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tonic::{Code, Request, Status, transport::Channel};

use crate::binary::{LIMIT, Running, gateway};

/// "At once", for a process with nothing to wait for, on a machine that is busy.
const SOON: Duration = Duration::from_secs(10);

/// An embedded Chartbrew in the test's own process.
struct Upstream {
    handle: Handle,
    url: String,
    task: JoinHandle<()>,
}

/// A gateway with one Create under way that Chartbrew holds at the gate.
struct Held {
    upstream: Upstream,
    gateway: Running,
    gate: Gate,
    call: JoinHandle<Result<Connection, Status>>,
}

impl Upstream {
    async fn start() -> Self {
        let sandbox = Sandbox::bind(Settings::default()).await.unwrap();
        Self {
            handle: sandbox.handle(),
            url: sandbox.url(),
            task: tokio::spawn(sandbox.run(std::future::pending())),
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Held {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        let fault = Fault::create().hold_before_storing(&gate);
        upstream.handle.script([fault]);
        let mut all = vec![("CHARTBREW_URL", &*upstream.url)];
        all.extend(variables);
        let (gateway, addr) = Running::serve(&all).await;
        let call = tokio::spawn(async move { create(&mut connect(addr).await).await });
        gate.reached().await;
        Self {
            upstream,
            gateway,
            gate,
            call,
        }
    }
}

async fn connect(addr: SocketAddr) -> ConnectionServiceClient<Channel> {
    let url = format!("http://{addr}");
    ConnectionServiceClient::connect(url).await.unwrap()
}

async fn create(client: &mut ConnectionServiceClient<Channel>) -> Result<Connection, Status> {
    let mut request = Request::new(CreateRequest {
        team_id: 1,
        connection: Some(Box::new(NewConnection {
            name: "orders".to_owned(),
            r#type: ConnectionType::Mongodb.into(),
            ..NewConnection::default()
        })),
        ..CreateRequest::default()
    });
    let token = format!("Bearer {TOKEN}").parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    let response = client.create(request).await?.into_inner();
    Ok(*response.connection.unwrap())
}

#[tokio::test]
async fn after_sigterm_a_slow_create_is_answered_before_the_end() {
    let Held {
        upstream,
        mut gateway,
        gate,
        call,
    } = Held::start(&[]).await;

    gateway.signal("TERM");
    let line = gateway.logged("stopping").await;
    assert_eq!(line["signal"], "SIGTERM");
    gate.open();

    let created = call.await.unwrap().unwrap();
    let ended = gateway.end().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""), "{ended:?}");
    assert!(ended.stderr.contains(r#""message":"stopped""#), "{ended:?}");
    let rows = upstream.handle.rows(1);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["id"], created.id);
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut held = Held::start(&[]).await;
    held.gateway.signal("TERM");
    held.gateway.logged("stopping").await;
    held.gateway.signal("TERM");
    held.gateway.logged("stopping at once").await;
    // The gate is still shut: nothing but the signal can have ended it.
    let ended = held.gateway.end().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
    held.call.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn the_grace_period_ends_what_does_not_end() {
    let mut held = Held::start(&[("GATEWAY_SHUTDOWN_GRACE", "50ms")]).await;
    held.gateway.signal("TERM");
    let message = "stopped with work unfinished: the grace period is over";
    held.gateway.logged(message).await;
    let ended = held.gateway.end().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    held.call.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn idle_it_ends_quickly_with_sigint_and_sigterm() {
    for (signal, name) in [("INT", "SIGINT"), ("TERM", "SIGTERM")] {
        let (mut gateway, addr) = Running::serve(&[]).await;
        // A connection without a call on it is no reason to wait.
        let client = connect(addr).await;
        let began = Instant::now();
        gateway.signal(signal);
        let line = gateway.logged("stopping").await;
        assert_eq!(line["signal"], name);
        let ended = gateway.end().await;
        assert_eq!((ended.code, &*ended.stdout), (Some(0), ""), "{ended:?}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        drop(client);
    }
}

#[tokio::test]
async fn calls_do_not_wait_for_whoever_reads_the_log() {
    // More than a pipe holds (64 KiB), at over 200 bytes a line.
    const CALLS: usize = 1_000;
    let mut process = gateway(&["serve", "--listen", "127.0.0.1:0"], &[])
        .spawn()
        .unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    let mut serving = String::new();
    log.read_line(&mut serving).unwrap();
    let serving: Value = serde_json::from_str(&serving).unwrap();
    let mut client = connect(serving["addr"].as_str().unwrap().parse().unwrap()).await;
    for _ in 0..CALLS {
        // Without a token, so that it ends in the gateway.
        let refused = timeout(LIMIT, client.create(CreateRequest::default())).await;
        assert_eq!(refused.unwrap().unwrap_err().code(), Code::Unauthenticated);
    }
    process.kill().unwrap();
    process.wait().unwrap();
    drop(log);
}

#[tokio::test]
async fn a_call_is_a_line_of_json_on_stderr_and_nothing_on_stdout() {
    let upstream = Upstream::start().await;
    let (mut gateway, addr) = Running::serve(&[("CHARTBREW_URL", &upstream.url)]).await;
    create(&mut connect(addr).await).await.unwrap();
    let line = gateway.logged("call").await;
    assert_eq!(
        line["method"],
        "chartbrew.connection.v1.ConnectionService/Create"
    );
    assert_eq!(
        (&line["code"], &line["attempts"]),
        (&"Ok".into(), &1.into())
    );
    assert!(!line.to_string().contains(TOKEN), "{line}");
    gateway.signal("TERM");
    assert_eq!(gateway.end().await.stdout, "");
}

#[tokio::test]
async fn the_sandbox_prints_its_url_and_its_token() {
    let mut sandbox = Running::start(&["sandbox", "--listen", "127.0.0.1:0"], &[]);
    let url = sandbox.printed("url ").await;
    assert_eq!(sandbox.printed("token ").await, TOKEN);

    let (gateway, addr) = Running::serve(&[("CHARTBREW_URL", &url)]).await;
    let created = create(&mut connect(addr).await).await.unwrap();
    assert_eq!(created.name.as_deref(), Some("orders"));
    drop(gateway);

    sandbox.signal("TERM");
    let ended = sandbox.end().await;
    assert_eq!((ended.code, &*ended.stdout), (Some(0), ""), "{ended:?}");
}

#[tokio::test]
async fn the_demo_makes_a_create_and_goes_on_serving() {
    let mut demo = Running::start(&["demo", "--listen", "127.0.0.1:0"], &[]);
    demo.printed("An embedded Chartbrew answers at").await;
    let addr = demo.printed("The gateway serves gRPC at").await;
    demo.printed("← CreateResponse").await;
    demo.printed("grpcurl -plaintext").await;
    demo.printed("Serving until Ctrl-C.").await;

    create(&mut connect(addr.parse().unwrap()).await)
        .await
        .unwrap();

    demo.signal("INT");
    let ended = demo.end().await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
}
