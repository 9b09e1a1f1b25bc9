//! The admin port.

use chartbrew_sandbox::{Fault, Gate};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    gateway::{authorized, gateway, minimal, sandbox},
    process::{Process, ask},
    raw::nobody,
    time::{hastened, soon},
};

#[tokio::test]
async fn version_and_liveness_are_served() {
    let mut gateway = Process::start(&nobody().await, &[]).await;
    let version = gateway.get("/version").await;
    let (version_of_package, commit) = (env!("CARGO_PKG_VERSION"), chartbrew_gateway::COMMIT);
    let expected = format!(r#""version":"{version_of_package}","commit":"{commit}""#);
    assert!(version.body.contains(&expected), "{}", version.body);
    for path in ["/livez", "/readyz"] {
        let response = gateway.get(path).await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (200, "ok\n"),
            "{path}"
        );
    }
    assert_eq!(gateway.get("/else").await.status, 404);
    let scrape = gateway.get("/metrics").await;
    assert_eq!(scrape.status, 200);
    let format = "content-type: text/plain; version=0.0.4";
    assert!(scrape.head.contains(format), "{}", scrape.head);
    gateway.terminate().await;
    assert!(gateway.ended().await);
}

#[tokio::test]
async fn readyz_names_the_problem_and_stays_ready_in_an_outage() {
    let gateway = gateway(&nobody().await)
        .with(|settings| {
            settings.delivery.breaker.failures = 1;
            settings.admin.listen = Some("127.0.0.1:0".parse().unwrap());
        })
        .start()
        .await;
    let admin = gateway.admin.unwrap();
    let ready = async || ask(admin, "GET", "/readyz", "", "").await;
    assert_eq!(ready().await.status, 200);
    gateway.create(minimal("a")).await.unwrap_err();
    while ready().await.body == "ok\n" {
        tokio::task::yield_now().await;
    }
    let response = ready().await;
    assert_eq!(response.status, 200);
    assert_eq!(
        response.body,
        "ok\ncircuit open: Chartbrew cannot be reached\n"
    );
}

#[tokio::test]
async fn at_shutdown_readiness_goes_first_and_the_port_last() {
    let sandbox = sandbox().await;
    let gate = Gate::new();
    sandbox.script([Fault::create().hold_before_storing(&gate)]);
    let mut gateway = Process::start(&sandbox.url(), &[]).await;
    let mut client = gateway.client.clone();
    let call = tokio::spawn(async move { client.create(authorized(minimal("held"))).await });
    sandbox.seen(1).await;
    gateway.terminate().await;
    gateway.line("stopping").await;
    while gateway.get("/readyz").await.status == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.get("/readyz").await.body, "stopping\n");
    assert_eq!(gateway.get("/livez").await.status, 200);
    assert_eq!(
        gateway.value("chartbrew_gateway_calls_in_flight").await,
        1.0
    );
    gate.open();
    call.await.unwrap().unwrap();
    assert!(gateway.ended().await);
}

#[tokio::test]
async fn the_logs_filter_can_be_changed_while_it_runs() {
    let sandbox = sandbox().await;
    let settings = [("GATEWAY_LOG", "info")];
    let mut gateway = Process::start(&sandbox.url(), &settings).await;
    assert_eq!(gateway.get("/log").await.body, "info\n");
    let put = async |headers: &str, body: &str| {
        ask(gateway.admin, "PUT", "/log", headers, body)
            .await
            .status
    };
    assert_eq!(put("", "chartbrew_gateway=loud").await, 400);
    assert_eq!(put("", "loud").await, 400);
    assert_eq!(put("host: rebound.example\r\n", "trace").await, 403);
    assert_eq!(put("", &"a".repeat(5000)).await, 413);
    assert_eq!(gateway.get("/log").await.body, "info\n");

    sandbox.script([Fault::create().not_forwarded()]);
    gateway.create(authorized(minimal("a"))).await.unwrap();
    assert!(gateway.lines("DEBUG").is_empty());
    assert_eq!(put("", "info,chartbrew_gateway=debug\n").await, 200);
    sandbox.script([Fault::create().not_forwarded()]);
    gateway.create(authorized(minimal("b"))).await.unwrap();
    gateway.line("retrying").await;
}

/// As many connections as the port takes, each with a request whose body does not come.
async fn stalled_puts(admin: std::net::SocketAddr, host: &str) -> Vec<TcpStream> {
    const CONNECTIONS: usize = 64;
    let head = format!("PUT /log HTTP/1.1\r\nhost: {host}\r\ncontent-length: 10\r\n\r\n");
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    streams
}

#[tokio::test]
async fn a_body_that_does_not_come_blocks_nobody() {
    let gateway = gateway(&nobody().await)
        .with(|settings| {
            settings.admin.listen = Some("127.0.0.1:0".parse().unwrap());
        })
        .start()
        .await;
    let admin = gateway.admin.unwrap();
    let is_alive = async || ask(admin, "GET", "/livez", "", "").await.status;

    // A client without the right gets its response before the body is read, and keeps no
    // connection.
    let mut refused = stalled_puts(admin, "rebound.example").await;
    for stream in &mut refused {
        let mut response = [0; 12];
        soon(stream.read_exact(&mut response)).await.unwrap();
        assert_eq!(&response, b"HTTP/1.1 403");
    }
    assert_eq!(soon(is_alive()).await, 200);

    // For a client with the right, the wait for the body has a limit.
    let allowed = stalled_puts(admin, &admin.to_string()).await;
    let step = std::time::Duration::from_secs(5);
    assert_eq!(hastened(step, is_alive()).await, 200);
    drop((refused, allowed));
}
