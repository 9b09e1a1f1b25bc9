//! Files that change while the gateway runs.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chartbrew_gateway::{
    grpc::OwnToken, proto::connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox as sandbox;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::callers::{by, entry, for_callers};
use crate::support::{
    collector::{Collector, attributes},
    gateway::{Gateway, authorized, failure, gateway, minimal, sandbox},
    pki::{Authority, Directory, Files, HOST, Pair, endpoint, text},
    process::Process,
    time::soon,
};

/// A caller with a connection of its own, or `None` if it does not get in.
async fn connect(
    gateway: &Gateway,
    trusted: &str,
    shown: &Pair,
) -> Option<ConnectionServiceClient<Channel>> {
    let channel = endpoint(gateway.addr, trusted, Some(shown))
        .connect()
        .await
        .ok()?;
    let mut client = ConnectionServiceClient::new(channel);
    client.create(authorized(minimal("m"))).await.ok()?;
    Some(client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_and_an_authority_are_replaced_under_load_and_no_call_fails() {
    let sandbox = sandbox().await;
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::new(&old, &old);
    let gateway = gateway(&sandbox.url())
        .with(|settings| files.with_client_ca(settings, &[]))
        .start_without_client()
        .await;
    let both = format!("{}{}", old.pem(), new.pem());
    let (by_old, by_new) = (
        old.issue(&["caller.example"]),
        new.issue(&["caller.example"]),
    );
    let mut kept = connect(&gateway, old.pem(), &by_old).await.unwrap();

    // Callers that trust both authorities, and connect anew for each call.
    let stop = Arc::new(AtomicBool::new(false));
    let (addr, stopped) = (gateway.addr, stop.clone());
    let (both_again, pair) = (both.clone(), by_old.clone());
    let load = tokio::spawn(async move {
        let mut calls = 0;
        while !stopped.load(Ordering::SeqCst) {
            let channel = endpoint(addr, &both_again, Some(&pair))
                .connect()
                .await
                .unwrap();
            let mut client = ConnectionServiceClient::new(channel);
            client.create(authorized(minimal("m"))).await.unwrap();
            calls += 1;
        }
        calls
    });
    files.write("client-ca.pem", &both);
    // Callers with the new authority's certificate get in from then on, on either certificate.
    soon(async { while connect(&gateway, old.pem(), &by_new).await.is_none() {} }).await;
    files.write_pair(&new.issue(&[HOST]));
    soon(async { while connect(&gateway, new.pem(), &by_new).await.is_none() {} }).await;
    assert!(
        connect(&gateway, old.pem(), &by_new).await.is_none(),
        "the old one is gone"
    );
    // A connection that was made before goes on.
    kept.create(authorized(minimal("m"))).await.unwrap();
    stop.store(true, Ordering::SeqCst);
    assert!(load.await.unwrap() > 0);

    files.write("client-ca.pem", new.pem());
    soon(async { while connect(&gateway, new.pem(), &by_old).await.is_some() {} }).await;
    assert!(connect(&gateway, new.pem(), &by_new).await.is_some());
    kept.create(authorized(minimal("m"))).await.unwrap();
}

const CURRENT: &str = "chartbrew_gateway_file_current{file=\"tls\"}";

#[tokio::test]
async fn a_broken_pair_is_refused_with_one_line_and_the_old_one_kept() {
    let sandbox = sandbox().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority, &authority);
    let mut process = Process::start_without_client(
        &sandbox.url(),
        &[
            ("GATEWAY_TLS_CERT", text(&files.cert)),
            ("GATEWAY_TLS_KEY", text(&files.key)),
            ("GATEWAY_RELOAD_INTERVAL", "5ms"),
        ],
    )
    .await;
    let expiry = "chartbrew_gateway_certificate_expiry_seconds{certificate=\"server\"}";
    // 4096-01-01.
    process.reaches(expiry, 67_090_118_400.0).await;
    process.reaches(CURRENT, 1.0).await;
    let broken = [
        ("garbage", "marker".to_owned()),
        (
            "another's certificate",
            authority.issue(&["other.example"]).cert,
        ),
        (
            "an expired one",
            authority.issue_expired(&["gateway.example"]).cert,
        ),
        (
            "one that is not valid yet",
            authority.issue_for(&["gateway.example"], 3999..4096).cert,
        ),
        ("a key", authority.issue(&["gateway.example"]).key),
    ];
    for (refusals, (case, content)) in broken.into_iter().enumerate() {
        files.write("cert.pem", &content);
        let refused = "chartbrew_gateway_files_refused_total{file=\"tls\"}";
        process.reaches(refused, refusals as f64 + 1.0).await;
        assert_eq!(process.value(CURRENT).await, 0.0, "{case}");
        let channel = endpoint(process.addr, authority.pem(), None)
            .connect()
            .await
            .unwrap();
        let mut client = ConnectionServiceClient::new(channel);
        client.create(authorized(minimal("m"))).await.unwrap();
    }
    let lines = process.lines("ERROR");
    assert_eq!(lines.len(), 5, "{lines:?}");
    for line in &lines {
        assert_eq!(
            line["message"],
            "a changed file is refused: the previous content stays in use"
        );
        assert_eq!(line["file"], "tls");
        let problem = line["problem"].as_str().unwrap();
        assert!(problem.starts_with("GATEWAY_TLS_"), "{problem}");
    }
    assert!(!process.log().contains("marker") && !process.log().contains("-----"));
    files.write_pair(&authority.issue(&["gateway.example"]));
    process.reaches(CURRENT, 1.0).await;
    process.line("a changed file is in use").await;
}

#[tokio::test]
async fn a_caller_is_revoked_and_a_broken_file_changes_nothing() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let (old, new) = (entry("old", &["old"], ""), entry("new", &["new"], ""));
    let gateway = for_callers(&sandbox.url(), &directory, &old).start().await;
    let may = async |token: &str| {
        let result = gateway.client.clone().create(by(token, minimal("m"))).await;
        match result {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(failure::<()>(Err(status)).reason, "TOKEN_REJECTED");
                false
            }
        }
    };
    assert!(may("old").await && !may("new").await);
    directory.write("callers.toml", &format!("{old}{new}"));
    soon(async { while !may("new").await {} }).await;
    assert!(may("old").await);
    directory.write("callers.toml", &new);
    soon(async { while may("old").await {} }).await;
    assert!(may("new").await);
}

#[tokio::test]
async fn a_callers_name_is_in_the_log_the_span_and_a_metric() {
    let sandbox = sandbox().await;
    let collector = Collector::grpc().await;
    let directory = Directory::new();
    let token = directory.write("token", sandbox::TOKEN);
    let limited = "teams = [1]\nmethods = [\"Create\"]";
    let callers = directory.write(
        "callers.toml",
        &entry("billing", &["secret-token"], limited),
    );
    let mut process = Process::start(
        &sandbox.url(),
        &[
            ("CHARTBREW_TOKEN_FILE", text(&token)),
            ("GATEWAY_CALLERS_FILE", text(&callers)),
            ("GATEWAY_RELOAD_INTERVAL", "5ms"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        ],
    )
    .await;
    process
        .create(by("secret-token", minimal("m")))
        .await
        .unwrap();
    assert_eq!(process.line("call").await["caller"], "billing");
    let calls = |code| {
        format!(
            "chartbrew_gateway_caller_calls_total{{caller=\"billing\", rpc_status_code=\"{code}\"}}"
        )
    };
    process.reaches(&calls("OK"), 1.0).await;
    let elsewhere = chartbrew_gateway::proto::CreateRequest {
        team_id: 2,
        ..minimal("m")
    };
    let refused = failure(process.create(by("secret-token", elsewhere)).await);
    assert_eq!(refused.reason, "TEAM_NOT_ALLOWED");
    process.reaches(&calls("PERMISSION_DENIED"), 1.0).await;
    let name = |span: &opentelemetry_proto::tonic::trace::v1::Span| {
        attributes(&span.attributes)
            .get("chartbrew.gateway.caller")
            .cloned()
    };
    soon(async {
        while !collector
            .spans()
            .iter()
            .any(|span| name(span).as_deref() == Some("billing"))
        {
            tokio::task::yield_now().await;
        }
    })
    .await;

    directory.write("callers.toml", "marker = ");
    let refused = process
        .line("a changed file is refused: the previous content stays in use")
        .await;
    assert_eq!(refused["file"], "callers");
    process
        .create(by("secret-token", minimal("m")))
        .await
        .unwrap();
    let wrong = failure(process.create(by("another-token", minimal("m"))).await);
    assert_eq!(wrong.code, Code::Unauthenticated);
    for secret in ["secret-token", "another-token", sandbox::TOKEN, "marker"] {
        assert!(!process.log().contains(secret), "{secret}");
        assert!(!collector.was_told(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_gateways_own_token_is_read_again() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let path = directory.write("token", "wrong\n");
    let own = |path: &Path| Some(OwnToken::File(path.to_owned()));
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.grpc.own_token = own(&path))
        .start()
        .await;
    let create = async || gateway.client.clone().create(minimal("m")).await;
    assert_eq!(failure(create().await).reason, "GATEWAY_TOKEN_REJECTED");
    let health = HealthClient::new(gateway.channel().await);
    let status = async || {
        let request = HealthCheckRequest::default();
        let response = health.clone().check(request).await.unwrap();
        response.into_inner().status()
    };
    soon(async { while status().await != ServingStatus::NotServing {} }).await;
    // No call is made meanwhile: where health decides who gets calls, none comes.
    directory.write("token", &format!("{}\n", sandbox::TOKEN));
    soon(async { while status().await != ServingStatus::Serving {} }).await;
    create().await.unwrap();
}
