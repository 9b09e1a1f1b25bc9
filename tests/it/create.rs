//! Create, from a gRPC client through the gateway to Chartbrew and back.

use std::time::Duration;

use chartbrew_gateway::{
    grpc::OwnToken,
    proto::{
        Authentication, AuthenticationType, ConnectionFiles, ConnectionSubType, ConnectionType,
        CreateRequest, NewConnection, SshTunnel, SslMode,
        connection_service_client::ConnectionServiceClient,
    },
};
use chartbrew_sandbox::{self as sandbox, Fault};
use prost_types::{Struct, Value, value::Kind};
use serde_json::json;
use tonic::{Code, codec::CompressionEncoding};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::gateway::{authorized, failure, gateway, minimal, sandbox, trailer, with_id};

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn object(key: &str, value: f64) -> Struct {
    let value = Value {
        kind: Some(Kind::NumberValue(value)),
    };
    Struct {
        fields: [(key.to_owned(), value)].into(),
    }
}

fn everything() -> CreateRequest {
    CreateRequest {
        team_id: 1,
        connection: Some(Box::new(NewConnection {
            name: "everything".to_owned(),
            r#type: ConnectionType::Mongodb.into(),
            sub_type: ConnectionSubType::Timescaledb.into(),
            host: text("h"),
            port: text("27017"),
            db_name: text("d"),
            username: text("u"),
            password: text("p"),
            options: Some(Value {
                kind: Some(Kind::StructValue(object("pool", 5.0))),
            }),
            connection_string: text("mongodb://h"),
            srv: Some(true),
            authentication: Some(Authentication {
                r#type: AuthenticationType::BasicAuth.into(),
                token: None,
                user: text("au"),
                pass: text("ap"),
            }),
            firebase_service_account: Some(object("n", 1.5)),
            ssl: Some(true),
            ssl_mode: SslMode::VerifyFull.into(),
            schema: Some(object("t", 3.0)),
            project_ids: vec!["7".to_owned(), "x8".to_owned()],
            active: Some(false),
            oauth_id: text("c9bf9e57-1685-4c89-bafb-ff5af830be8a"),
            ssh: Some(SshTunnel {
                enabled: Some(true),
                host: text("sh"),
                port: Some(22),
                username: text("su"),
                password: text("sp"),
                passphrase: text("spp"),
                jump_host: text("sj"),
                jump_port: Some(23),
                ..SshTunnel::default()
            }),
            extra_fields: Some(object("futureField", 9.0)),
        })),
        ..CreateRequest::default()
    }
}

#[tokio::test]
async fn every_field_arrives_and_comes_back() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let sent = everything().connection.unwrap();
    let response = gateway.create(everything()).await.unwrap();
    let got = response.into_inner().connection.unwrap();

    assert_eq!(
        sandbox.requests()[0].json(),
        json!({
            "name": "everything", "type": "mongodb", "subType": "timescaledb", "team_id": 1,
            "host": "h", "port": "27017", "dbName": "d", "username": "u", "password": "p",
            "options": {"pool": 5}, "connectionString": "mongodb://h", "srv": true,
            "authentication": {"type": "basic_auth", "user": "au", "pass": "ap"},
            "firebaseServiceAccount": {"n": 1.5}, "ssl": true, "sslMode": "verify-full",
            "schema": {"t": 3}, "project_ids": [7, "x8"], "active": false,
            "oauth_id": "c9bf9e57-1685-4c89-bafb-ff5af830be8a", "useSsh": true, "sshHost": "sh",
            "sshPort": 22, "sshUsername": "su", "sshPassword": "sp", "sshPassphrase": "spp",
            "sshJumpHost": "sj", "sshJumpPort": 23, "futureField": 9,
        })
    );
    assert_eq!((got.team_id, got.name.as_ref()), (1, Some(&sent.name)));
    assert_eq!(
        (got.r#type, got.sub_type, got.ssl_mode),
        (sent.r#type, sent.sub_type, sent.ssl_mode)
    );
    assert_eq!(
        (got.host, got.port, got.db_name),
        (sent.host, sent.port, sent.db_name)
    );
    assert_eq!((got.username, got.password), (sent.username, sent.password));
    assert_eq!(
        (got.options, got.connection_string),
        (sent.options, sent.connection_string)
    );
    assert_eq!(
        (got.srv, got.ssl, got.active),
        (sent.srv, sent.ssl, sent.active)
    );
    assert_eq!(got.authentication, sent.authentication);
    assert_eq!(got.firebase_service_account, sent.firebase_service_account);
    assert_eq!(
        (got.schema, got.project_ids),
        (sent.schema, sent.project_ids)
    );
    assert_eq!(got.oauth_id, sent.oauth_id);
    let (ssh, sent_ssh) = (got.ssh.unwrap(), sent.ssh.unwrap());
    assert_eq!(
        (ssh.enabled, ssh.host, ssh.port),
        (Some(true), sent_ssh.host, sent_ssh.port)
    );
    assert_eq!((ssh.password, ssh.passphrase), (None, None));
    assert_eq!(
        (ssh.has_password, ssh.has_passphrase),
        (Some(true), Some(true))
    );
    assert!(got.create_time.is_some() && got.update_time.is_some());
    assert!(got.id > 0);
}

#[tokio::test]
async fn unset_is_not_sent() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    gateway.create(minimal("m")).await.unwrap();
    let expected = json!({"name": "m", "type": "mongodb", "team_id": 1});
    assert_eq!(sandbox.requests()[0].json(), expected);
}

#[tokio::test]
async fn nothing_of_the_callers_metadata_goes_upstream_but_the_token() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let mut request = authorized(minimal("m"));
    let scheme_of_any_case = format!("BEARER {}", sandbox::TOKEN).parse().unwrap();
    request
        .metadata_mut()
        .insert("authorization", scheme_of_any_case);
    for name in [
        "cookie",
        "x-forwarded-for",
        "x-internal-admin",
        "x-http-method-override",
    ] {
        request
            .metadata_mut()
            .insert(name, "marker".parse().unwrap());
    }
    gateway.client.clone().create(request).await.unwrap();
    let seen = &sandbox.requests()[0];
    assert_eq!(
        seen.headers["authorization"],
        format!("Bearer {}", sandbox::TOKEN)
    );
    let mut names: Vec<_> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    let expected = [
        "accept",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn the_call_id_is_echoed_and_the_attempts_are_counted() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let mut request = authorized(minimal("m"));
    request
        .metadata_mut()
        .insert("x-request-id", "my-id".parse().unwrap());
    let response = gateway.client.clone().create(request).await.unwrap();
    assert_eq!(trailer(response.metadata(), "x-request-id"), Some("my-id"));
    assert_eq!(
        trailer(response.metadata(), "x-upstream-attempts"),
        Some("1")
    );
    assert_eq!(trailer(response.metadata(), "x-outcome"), None);

    let failed = failure(gateway.create(CreateRequest::default()).await);
    let id = trailer(failed.status.metadata(), "x-request-id").unwrap();
    assert_eq!(failed.details.request_info().unwrap().request_id, id);
    assert_eq!(
        trailer(failed.status.metadata(), "x-upstream-attempts"),
        Some("0")
    );
}

#[tokio::test]
async fn messages_may_be_compressed() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = gateway
            .client
            .clone()
            .send_compressed(encoding)
            .accept_compressed(encoding);
        let response = client.create(authorized(minimal("zipped"))).await.unwrap();
        assert_eq!(
            response.into_inner().connection.unwrap().name,
            text("zipped")
        );
    }
}

#[tokio::test]
async fn files_are_uploaded_in_the_same_call() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let files = ConnectionFiles {
        ssl_ca: Some("CA".into()),
        ssl_cert: None,
        ssl_key: Some(vec![7; 1_048_576].into()),
        ssh_private_key: Some("KEY".into()),
    };
    let request = CreateRequest {
        files: Some(files),
        ..minimal("with files")
    };
    let response = gateway.create(request).await.unwrap().into_inner();
    let got = response.connection.unwrap();
    assert!(got.ssl_ca.is_some() && got.ssl_key.is_some() && got.ssl_cert.is_none());
    assert_eq!(got.ssh.unwrap().has_private_key, Some(true));
    assert_eq!(sandbox.rows(1).len(), 1);
}

#[tokio::test]
async fn the_gateways_own_token_takes_the_callers_place() {
    let sandbox = sandbox().await;
    let own = chartbrew_gateway::chartbrew::Token::parse(sandbox::TOKEN).unwrap();
    let gateway = gateway(&sandbox.url())
        .with(|s| s.grpc.own_token = Some(OwnToken::Fixed(own)))
        .start()
        .await;
    let response = gateway
        .client
        .clone()
        .create(minimal("without a token"))
        .await
        .unwrap();
    assert!(response.into_inner().connection.is_some());
}

#[tokio::test]
async fn a_call_under_way_is_answered_after_the_signal_and_new_ones_are_refused() {
    let sandbox = sandbox().await;
    let gate = sandbox::Gate::new();
    sandbox.script([Fault::create().hold_before_storing(&gate)]);
    let mut gateway = gateway(&sandbox.url()).start().await;
    let mut client = gateway.client.clone();
    let slow = tokio::spawn(async move { client.create(authorized(minimal("slow"))).await });
    gate.reached().await;
    gateway.stop();
    // The port is closed before the call is let go on.
    while ConnectionServiceClient::connect(format!("http://{}", gateway.addr))
        .await
        .is_ok()
    {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert!(slow.await.unwrap().is_ok());
    assert!(gateway.stopped().await);
}

#[tokio::test]
async fn a_call_that_outlasts_the_grace_period_is_cut_off() {
    let sandbox = sandbox().await;
    let gate = sandbox::Gate::new();
    sandbox.script([Fault::create().hold_before_storing(&gate)]);
    let mut gateway = gateway(&sandbox.url())
        .with(|s| s.grpc.shutdown_grace = Duration::from_millis(50))
        .start()
        .await;
    let mut client = gateway.client.clone();
    let slow = tokio::spawn(async move { client.create(authorized(minimal("slow"))).await });
    gate.reached().await;
    gateway.stop();
    assert!(!gateway.stopped().await);
    drop(slow);
}

#[tokio::test]
async fn work_for_a_caller_that_left_is_finished_before_the_end() {
    let sandbox = sandbox().await;
    let gate = sandbox::Gate::new();
    sandbox.script([Fault::create().hold_before_storing(&gate)]);
    let mut gateway = gateway(&sandbox.url()).start().await;
    let mut request = authorized(with_id("left"));
    request.set_timeout(Duration::from_secs(2));
    let failed = failure(gateway.client.clone().create(request).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::DeadlineExceeded, "OUTCOME_UNKNOWN")
    );
    gateway.stop();
    gate.open();
    assert!(gateway.stopped().await);
    assert_eq!(sandbox.rows(1).len(), 1);
}

#[tokio::test]
async fn health_watchers_are_notified_first_and_do_not_delay_the_stop() {
    const NOT_SERVING: i32 = 2;
    let sandbox = sandbox().await;
    let gate = sandbox::Gate::new();
    sandbox.script([Fault::create().hold_before_storing(&gate)]);
    let mut gateway = gateway(&sandbox.url()).start().await;
    let mut health = HealthClient::new(gateway.channel().await);
    let service = HealthCheckRequest::default();
    let mut watch = health.watch(service).await.unwrap().into_inner();
    assert_ne!(watch.message().await.unwrap().unwrap().status, NOT_SERVING);
    let mut client = gateway.client.clone();
    let slow = tokio::spawn(async move { client.create(authorized(minimal("slow"))).await });
    gate.reached().await;
    gateway.stop();
    assert_eq!(watch.message().await.unwrap().unwrap().status, NOT_SERVING);
    gate.open();
    assert!(slow.await.unwrap().is_ok());
    assert!(gateway.stopped().await);
}

#[tokio::test]
async fn an_attempt_whose_outcome_nobody_can_ask_for_does_not_delay_the_stop() {
    let sandbox = sandbox().await;
    sandbox.script([Fault::create().silent()]);
    let mut gateway = gateway(&sandbox.url()).start().await;
    let mut request = authorized(minimal("silent"));
    request.set_timeout(Duration::from_secs(2));
    failure(gateway.client.clone().create(request).await);
    gateway.stop();
    assert!(gateway.stopped().await);
}

#[tokio::test]
async fn with_a_request_id_too_a_late_upload_says_that_the_connection_exists() {
    let sandbox = sandbox().await;
    sandbox.script([Fault::files().silent()]);
    let gateway = gateway(&sandbox.url()).start().await;
    let files = ConnectionFiles {
        ssl_ca: Some("CA".into()),
        ..ConnectionFiles::default()
    };
    let mut request = authorized(CreateRequest {
        files: Some(files),
        ..with_id("m")
    });
    request.set_timeout(Duration::from_secs(1));
    let failed = failure(gateway.client.clone().create(request).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::FailedPrecondition, "FILES_NOT_UPLOADED")
    );
    assert_eq!(failed.metadata("connection_id"), Some("1"));
}
