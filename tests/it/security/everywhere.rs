//! One gateway with every kind of secret and all that it tells: the log, the admin port, spans,
//! metrics.

use chartbrew_gateway::proto::{
    CreateRequest, GetRequest, connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox::{self as sandbox, Fault, User};
use tonic::{Request, transport::Channel};

use super::{
    files::{Secrets, callers_token, own_token},
    marks,
    seen::{is_foreign, seen},
};
use crate::support::{
    collector::Collector,
    gateway::sandbox_with,
    pki::endpoint,
    process::{Process, ask},
    time::soon,
};

/// What the gateway sends to its collector as a password.
const COLLECTOR: &str = "optionally-a-secret";

async fn create(
    client: &ConnectionServiceClient<Channel>,
    token: Option<&str>,
    message: CreateRequest,
) -> String {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let token = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", token);
    }
    let result = soon(client.clone().create(request)).await;
    format!(
        "{:?} {}",
        result.as_ref().err(),
        String::from_utf8_lossy(&seen(&result))
    )
}

/// All paths of the admin port, and some that it does not have.
async fn admin_port(process: &Process) -> String {
    let mut all = String::new();
    for path in [
        "/livez",
        "/readyz",
        "/metrics",
        "/version",
        "/log",
        "/",
        "/debug",
        "/env",
        "/config",
        "/metrics/",
        "/../etc/passwd",
        "/log?x",
    ] {
        for method in ["GET", "POST", "HEAD", "OPTIONS"] {
            let response = ask(process.admin, method, path, "", "").await;
            all.push_str(&format!(
                "{method} {path}\n{}\n{}\n",
                response.head, response.body
            ));
        }
    }
    all
}

#[tokio::test]
async fn no_secret_is_in_the_log_the_admin_port_the_spans_or_the_metrics() {
    let sandbox = sandbox_with(sandbox::Settings {
        users: vec![User::owner(own_token(), [1])],
        ..sandbox::Settings::default()
    })
    .await;
    let (secrets, collector) = (Secrets::new(), Collector::grpc().await);
    let headers = format!("authorization=Bearer {COLLECTOR},x-{COLLECTOR}-bin=%");
    let telemetry = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "20"),
        ("GATEWAY_RELOAD_INTERVAL", "5ms"),
        ("GATEWAY_RECOVERY_WINDOW", "50ms"),
        ("RUST_BACKTRACE", "full"),
    ];
    let settings = [&secrets.settings()[..], &telemetry].concat();
    let mut process = Process::start_without_client(&sandbox.url(), &settings).await;
    let mut told = admin_port(&process).await;
    let changed = ask(process.admin, "PUT", "/log", "", "trace").await;
    assert_eq!(changed.status, 200);
    told.push_str(&changed.body);

    let shown = secrets.authority.issue(&["billing.example"]);
    let endpoint_of = |shown| endpoint(process.addr, secrets.authority.pem(), shown);
    let channel = endpoint_of(Some(&shown)).connect().await.unwrap();
    let client = ConnectionServiceClient::new(channel);
    let known = callers_token();
    let (request, unsent) = (marks::without_files(false), marks::mark("sshKey"));
    // In order, refused, lost, and where the store of request ids cannot be reached.
    told.push_str(&create(&client, Some(&known), request.clone()).await);
    assert_eq!(sandbox.rows(1).len(), 1);
    let faults = [
        Fault::create().drop_after_storing(),
        Fault::create().drop_before_storing(),
        Fault::create().garbled_answer(),
        Fault::create().not_forwarded(),
        Fault::create().body(500, "text/plain", marks::all()),
        Fault::create().body(400, "text/plain", marks::all()),
        Fault::create().body(401, "text/plain", own_token()),
    ];
    for fault in faults {
        sandbox.clear_faults();
        sandbox.script([fault]);
        told.push_str(&create(&client, Some(&known), request.clone()).await);
    }
    sandbox.clear_faults();
    told.push_str(&create(&client, Some(&known), marks::without_files(true)).await);
    told.push_str(&create(&client, Some(&known), marks::request()).await);
    for token in [None, Some(&*unsent), Some(&*own_token()), Some("")] {
        told.push_str(&create(&client, token, request.clone()).await);
    }
    let get = GetRequest {
        team_id: 1,
        connection_id: 1,
        view: 2,
    };
    let mut get = Request::new(get);
    let token = format!("Bearer {known}").parse().unwrap();
    get.metadata_mut().insert("authorization", token);
    client.clone().get(get).await.unwrap();
    // A caller that the gateway lets in no further than TLS.
    if let Ok(channel) = endpoint_of(None).connect().await {
        let client = ConnectionServiceClient::new(channel);
        create(&client, Some(&known), request.clone()).await;
    }

    // Files that are replaced by wrong ones.
    let token = format!("{} {}", own_token(), known);
    for (file, name, content) in [
        // Each is read before those that are wrong already.
        ("tls", "client-ca.pem", &*secrets.pair.key),
        ("tls", "key.pem", &secrets.pair.key[..100]),
        ("tls", "key.pem", &*secrets.pair.key.replace('\n', " ")),
        ("tls", "cert.pem", &*secrets.pair.key),
        ("token", "token", &*token),
        ("token", "token", &*secrets.pair.key),
        ("callers", "callers.toml", &*known),
        ("callers", "callers.toml", &*secrets.pair.key),
    ] {
        let series = format!("chartbrew_gateway_files_refused_total{{file=\"{file}\"}}");
        let before = process.value(&series).await;
        secrets.write(name, content);
        process.reaches(&series, before + 1.0).await;
    }
    told.push_str(&create(&client, Some(&known), request.clone()).await);
    told.push_str(&admin_port(&process).await);
    drop(client);
    process.terminate().await;
    process.ended().await;

    let log = process.log();
    assert!(
        log.contains("\"level\":\"DEBUG\""),
        "no lines of the lower levels: {log}"
    );
    assert!(log.contains("the previous content stays in use"), "{log}");
    secrets.nothing_in("the log", &log);
    assert_eq!(log.lines().find(|line| is_foreign(line)), None);
    assert!(!log.contains(COLLECTOR), "{log}");
    assert!(
        told.contains("chartbrew_gateway_certificate_expiry_seconds"),
        "{told}"
    );
    secrets.nothing_in("the admin port and the statuses", &told);
    assert!(!told.contains(COLLECTOR), "{told}");
    assert!(
        collector
            .spans()
            .iter()
            .any(|span| span.name.ends_with("/Create"))
    );
    assert!(!collector.metrics().is_empty());
    secrets.nothing_in("spans and metrics", &collector.text());
}
