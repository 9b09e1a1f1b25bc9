//! Every row of the error table: what a caller gets for what Chartbrew, or the way to it, did.

use std::time::Duration;

use chartbrew_gateway::{
    chartbrew::Token,
    grpc::OwnToken,
    proto::{ConnectionFiles, CreateRequest, NewConnection},
};
use chartbrew_sandbox::{self as sandbox, Fault, Gate};
use tonic::Code;

use crate::support::{
    gateway::{Builder, Failure, authorized, failure, gateway, minimal, sandbox, trailer, with_id},
    raw::{Raw, nobody},
};

const JSON: &str = "application/json; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const MAY_EXIST: &str = "may exist or come to exist";

/// What the ORM says when it cannot reach its database, by the names it has for that.
fn store_unavailable(name: &str) -> Fault {
    let body = format!(r#"{{"name":"{name}","parent":{{"code":"ECONNREFUSED"}}}}"#);
    Fault::create().body(400, JSON, body)
}

/// What upstream did, and what the caller must get for it.
struct Row {
    fault: Fault,
    code: Code,
    reason: &'static str,
    /// A part of the message that tells a person what to do.
    says: &'static str,
    retry_info: bool,
    attempts: &'static str,
}

fn row(fault: Fault, code: Code, reason: &'static str, says: &'static str) -> Row {
    Row {
        fault,
        code,
        reason,
        says,
        retry_info: false,
        attempts: "1",
    }
}

impl Row {
    fn after_retries(mut self) -> Self {
        self.fault = self.fault.forever();
        self.retry_info = true;
        self.attempts = "3";
        self
    }
}

/// Rows in which whatever answers the create answers alone; the list works.
#[rustfmt::skip]
fn rows() -> Vec<Row> {
    use Code::*;
    let create = Fault::create;
    vec![
        row(create().body(401, HTML, "Unauthorized access."), Unauthenticated, "TOKEN_REJECTED", "rejected the token"),
        row(create().body(400, HTML, "Could not process the request. Please try again."), Unauthenticated, "TOKEN_REJECTED", "its user is gone"),
        row(create().body(403, JSON, r#"{"message":"Access denied"}"#), PermissionDenied, "ACCESS_DENIED", "team 1"),
        row(create().body(400, JSON, r#"{"name":"SequelizeValidationError","errors":[{"path":"subType","message":"subType cannot be an array or an object","validatorKey":"not_a_string"}]}"#),
            InvalidArgument, "REJECTED_BY_CHARTBREW", "connection.sub_type: must be a text"),
        row(create().body(400, JSON, r#"{"name":"SequelizeDatabaseError","parent":{"code":"ER_DATA_TOO_LONG","sqlMessage":"Data too long for column 'dbName' at row 1"}}"#),
            InvalidArgument, "REJECTED_BY_CHARTBREW", "connection.db_name: is too long"),
        row(create().body(400, JSON, r#"{"name":"SequelizeDatabaseError","parent":{"code":"ER_TRUNCATED_WRONG_VALUE_FOR_FIELD","sqlMessage":"Incorrect integer value: 'x' for column `chartbrew`.`Connection`.`ssl` at row 1"}}"#),
            InvalidArgument, "REJECTED_BY_CHARTBREW", "connection.ssl: has a value of the wrong type"),
        row(create().body(400, JSON, "{}"), FailedPrecondition, "REJECTED_BY_CHARTBREW", "without saying why"),
        row(create().body(400, HTML, "<pre>Bad Request</pre>"), FailedPrecondition, "REJECTED_BY_CHARTBREW", "without saying why"),
        row(create().body(418, JSON, "{}"), FailedPrecondition, "REJECTED_BY_CHARTBREW", "HTTP 418"),
        row(create().body(400, JSON, r#"{"code":"SOURCE_DISABLED","sourceId":"mongodb","message":"m"}"#), FailedPrecondition, "SOURCE_DISABLED", "switched off"),
        row(create().body(404, HTML, "<pre>Cannot POST /</pre>"), Internal, "UPSTREAM_MISCONFIGURED", "CHARTBREW_URL"),
        row(create().body(404, JSON, r#"{"error":"Not Found"}"#), Internal, "UPSTREAM_MISCONFIGURED", "CHARTBREW_URL"),
        row(create().status(302).header("location", "http://127.0.0.1:1/login"), Internal, "UPSTREAM_MISCONFIGURED", "redirect"),
        row(create().status(308).header("location", "/elsewhere"), Internal, "UPSTREAM_MISCONFIGURED", "redirect"),
        row(create().body(405, HTML, ""), Internal, "UPSTREAM_MISCONFIGURED", "CHARTBREW_URL"),
        row(create().body(200, HTML, "<html>a login page</html>"), Internal, "UPSTREAM_MISCONFIGURED", "not Chartbrew's JSON"),
        row(create().body(200, JSON, "[]"), Internal, "UPSTREAM_MISCONFIGURED", "not Chartbrew's JSON"),
        row(create().body(204, JSON, ""), Internal, "UPSTREAM_MISCONFIGURED", "not Chartbrew's JSON"),
        row(create().body(409, JSON, "{}"), AlreadyExists, "ALREADY_EXISTS", "exists"),
        row(create().body(413, HTML, "<pre>Payload Too Large</pre>"), InvalidArgument, "TOO_LARGE", "too large"),
        row(create().body(500, HTML, "<pre>boom</pre>"), Internal, "UPSTREAM_ERROR", "nothing was found"),
        row(create().body(501, HTML, ""), Internal, "UPSTREAM_ERROR", "HTTP 501"),
        // A proxy's response, or one without Chartbrew's headers, proves nothing.
        row(create().body(500, HTML, "").header("server", "nginx"), Unknown, "OUTCOME_UNKNOWN", MAY_EXIST),
        row(create().body(408, HTML, ""), Unknown, "OUTCOME_UNKNOWN", MAY_EXIST),
        row(create().body(502, HTML, ""), Unknown, "OUTCOME_UNKNOWN", MAY_EXIST),
        row(create().body(503, HTML, "Service Unavailable"), Unknown, "OUTCOME_UNKNOWN", MAY_EXIST),
        row(create().body(503, HTML, "upstream connect error or disconnect/reset before headers. reset reason: connection termination"),
            Unknown, "OUTCOME_UNKNOWN", MAY_EXIST),
        row(create().body(504, HTML, ""), Unknown, "OUTCOME_UNKNOWN", MAY_EXIST),
        row(create().body(522, HTML, ""), Unknown, "OUTCOME_UNKNOWN", MAY_EXIST),
        row(create().body(400, JSON, r#"{"name":"SequelizeDatabaseError","parent":{}}"#), Unknown, "OUTCOME_UNKNOWN", MAY_EXIST),
        row(create().body(400, JSON, r#"{"code":"SSRF_BLOCKED","reason":"private_network","message":"m"}"#), FailedPrecondition, "HOST_NOT_ALLOWED", "private network"),
        row(create().status(429), ResourceExhausted, "UPSTREAM_RATE_LIMITED", "nothing was created").after_retries(),
        row(create().not_forwarded(), Unavailable, "UPSTREAM_UNAVAILABLE", "nothing was created").after_retries(),
        row(store_unavailable("SequelizeConnectionRefusedError"), Unavailable, "UPSTREAM_UNAVAILABLE", "its own database").after_retries(),
        row(store_unavailable("SequelizeHostNotFoundError"), Unavailable, "UPSTREAM_UNAVAILABLE", "its own database").after_retries(),
        row(store_unavailable("SequelizeHostNotReachableError"), Unavailable, "UPSTREAM_UNAVAILABLE", "its own database").after_retries(),
        row(store_unavailable("SequelizeAccessDeniedError"), Unavailable, "UPSTREAM_UNAVAILABLE", "its own database").after_retries(),
        row(store_unavailable("SequelizeConnectionAcquireTimeoutError"), Unavailable, "UPSTREAM_UNAVAILABLE", "its own database").after_retries(),
    ]
}

#[tokio::test]
async fn every_response_of_upstream_has_its_row() {
    for Row {
        fault,
        code,
        reason,
        says,
        retry_info,
        attempts,
    } in rows()
    {
        let case = format!("{fault:?}");
        let sandbox = sandbox().await;
        sandbox.script([fault]);
        let short = |s: &mut chartbrew_gateway::app::Settings| {
            s.delivery.recovery_window = Duration::from_millis(800);
        };
        let gateway = gateway(&sandbox.url()).with(short).start().await;
        let failed = failure(gateway.create(minimal("m")).await);
        assert_eq!(
            (failed.code, &*failed.reason),
            (code, reason),
            "{case}: {}",
            failed.status
        );
        assert!(
            failed.status.message().contains(says),
            "{case}: {}",
            failed.status.message()
        );
        assert_eq!(failed.has_retry_info(), retry_info, "{case}");
        let found = trailer(failed.status.metadata(), "x-upstream-attempts");
        assert_eq!(found, Some(attempts), "{case}");
        // Not known for certain to have created nothing: no machine may repeat it.
        let doubtful = [MAY_EXIST, "not Chartbrew's JSON"].contains(&says);
        let pushback = trailer(failed.status.metadata(), "grpc-retry-pushback-ms");
        let pushback = pushback.map(|text| text.parse::<i64>().unwrap());
        match (doubtful, retry_info) {
            (true, _) => assert_eq!(pushback, Some(-1), "{case}"),
            // For the clients that do not read RetryInfo.
            (false, true) => assert!(pushback.is_some_and(|ms| ms > 0), "{case}"),
            (false, false) => assert_eq!(pushback, None, "{case}"),
        }
        assert_eq!(sandbox.rows(1).len(), 0, "{case}");
    }
}

#[tokio::test]
async fn an_unknown_outcome_names_the_response_that_left_it_open() {
    let create = Fault::create;
    let database_lost = r#"{"name":"SequelizeDatabaseError","parent":{}}"#;
    for (fault, says, status) in [
        (
            create().body(502, HTML, ""),
            "a proxy before Chartbrew responded with HTTP 502",
            Some("502"),
        ),
        (
            create().body(400, JSON, database_lost),
            "lost its database",
            Some("400"),
        ),
        (
            create().drop_before_storing(),
            "the response was lost",
            None,
        ),
    ] {
        let sandbox = sandbox().await;
        sandbox.script([fault]);
        let gateway = gateway(&sandbox.url())
            .with(|settings| settings.delivery.recovery_window = Duration::from_millis(800))
            .start()
            .await;
        let failed = failure(gateway.create(minimal("m")).await);
        assert_eq!(failed.reason, "OUTCOME_UNKNOWN");
        let message = failed.status.message();
        assert!(message.contains(says), "{message}");
        assert_eq!(failed.metadata("http_status"), status, "{message}");
    }
}

#[tokio::test]
async fn fields_that_chartbrew_refuses_are_named_as_in_the_contract() {
    let sandbox = sandbox().await;
    let body = r#"{"errors":[{"path":"sshHost","validatorKey":"is_null"},{"path":"no_such"},
                   {"path":"oauth_id"}],"name":"SequelizeValidationError"}"#;
    sandbox.script([Fault::create().body(400, JSON, body)]);
    let gateway = gateway(&sandbox.url()).start().await;
    let failed = failure(gateway.create(minimal("m")).await);
    assert_eq!(
        failed.fields(),
        ["connection.ssh.host", "connection.oauth_id"]
    );
}

#[tokio::test]
async fn a_missing_or_malformed_token_is_reported_first() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    for (token, says) in [
        (None, "send `authorization: Bearer"),
        (Some("Basic abc"), "malformed"),
        (Some("sandbox-token"), "malformed"),
        (Some("Bearer "), "malformed"),
    ] {
        let mut request = tonic::Request::new(CreateRequest::default());
        if let Some(token) = token {
            request
                .metadata_mut()
                .insert("authorization", token.parse().unwrap());
        }
        let failed = failure(gateway.client.clone().create(request).await);
        assert_eq!(
            (failed.code, &*failed.reason),
            (Code::Unauthenticated, "TOKEN_MISSING")
        );
        assert!(
            failed.status.message().contains(says),
            "{}",
            failed.status.message()
        );
    }
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn all_violations_come_in_one_response() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let failed = failure(gateway.create(CreateRequest::default()).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::InvalidArgument, "INVALID_FIELD")
    );
    assert_eq!(failed.fields(), ["team_id", "connection"]);

    let mut many = minimal(&"n".repeat(256));
    many.team_id = -1;
    many.request_id = Some("not-a-uuid".to_owned());
    let connection = many.connection.as_mut().unwrap();
    connection.r#type = 99;
    connection.oauth_id = Some("x".to_owned());
    connection.authentication = Some(chartbrew_gateway::proto::Authentication::default());
    let failed = failure(gateway.create(many).await);
    assert_eq!(
        failed.fields(),
        [
            "team_id",
            "connection.name",
            "connection.type",
            "connection.authentication.type",
            "connection.oauth_id",
            "request_id",
        ]
    );
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn any_number_of_violations_fits_into_the_trailers() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let mut request = minimal("m");
    let connection = request.connection.as_mut().unwrap();
    let key = |n: usize| format!("{}\u{1F980}{n}", "日本語".repeat(40));
    let nothing = prost_types::Value { kind: None };
    let fields = (0..500).map(|n| (key(n), nothing.clone())).collect();
    connection.extra_fields = Some(prost_types::Struct { fields });
    connection.project_ids = vec![String::new(); 5_000];
    // `failure` checks the sizes.
    let failed = failure(gateway.create(request).await);
    assert_eq!(failed.reason, "INVALID_FIELD");
    assert!(failed.fields().len() >= 2);
    assert!(failed.metadata("violations_omitted").is_some());
}

#[tokio::test]
async fn what_is_too_large_is_not_sent() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let mut large = minimal("m");
    large.connection.as_mut().unwrap().host = Some("h".repeat(102_400));
    let failed = failure(gateway.create(large).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::InvalidArgument, "TOO_LARGE")
    );
    assert_eq!(failed.fields(), ["connection"]);

    let files = ConnectionFiles {
        ssl_key: Some(vec![0; 1_048_577].into()),
        ..ConnectionFiles::default()
    };
    let request = CreateRequest {
        files: Some(files),
        ..minimal("m")
    };
    let failed = failure(gateway.create(request).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::InvalidArgument, "TOO_LARGE")
    );
    assert_eq!(failed.fields(), ["files.ssl_key"]);
    assert!(sandbox.requests().is_empty());
}

#[tokio::test]
async fn the_same_request_id_for_another_request_is_refused() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let first = with_id("first");
    gateway.create(first.clone()).await.unwrap();
    let second = CreateRequest {
        connection: minimal("second").connection,
        ..first
    };
    let failed = failure(gateway.create(second).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );
    assert_eq!(failed.fields(), ["request_id"]);
    assert_eq!(sandbox.rows(1).len(), 1);
}

#[tokio::test]
async fn the_gateways_own_bad_token_is_not_the_callers_fault() {
    let sandbox = sandbox().await;
    let own = Token::parse("wrong").unwrap();
    let gateway = gateway(&sandbox.url())
        .with(|s| s.grpc.own_token = Some(OwnToken::Fixed(own)))
        .start()
        .await;
    let failed = failure(gateway.create(minimal("m")).await);
    let expected = (Code::FailedPrecondition, "GATEWAY_TOKEN_REJECTED");
    assert_eq!((failed.code, &*failed.reason), expected);
    // Not ready: reported to the watchers of the health service.
    let mut health = tonic_health::pb::health_client::HealthClient::new(gateway.channel().await);
    let request = tonic_health::pb::HealthCheckRequest {
        service: String::new(),
    };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    const NOT_SERVING: i32 = 2;
    while watch.message().await.unwrap().unwrap().status != NOT_SERVING {}
}

#[tokio::test]
async fn no_server_at_the_address_means_that_nothing_was_created() {
    let gateway = gateway(&nobody().await).start().await;
    let failed = failure(gateway.create(minimal("m")).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Unavailable, "UPSTREAM_UNAVAILABLE")
    );
    assert!(failed.has_retry_info());
    assert_eq!(
        trailer(failed.status.metadata(), "x-upstream-attempts"),
        Some("3")
    );
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_tls_is_not_tried_again() {
    let raw =
        Raw::start(|mut peer, _| async move { peer.write("HTTP/1.1 400 Bad\r\n\r\n").await }).await;
    let url = raw.url.replace("http:", "https:");
    let gateway = gateway(&url).start().await;
    let failed = failure(gateway.create(minimal("m")).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Unavailable, "UPSTREAM_UNAVAILABLE")
    );
    assert!(
        failed.status.message().contains("TLS"),
        "{}",
        failed.status.message()
    );
    assert_eq!(raw.connections(), 1);
}

#[tokio::test]
async fn an_open_circuit_refuses_at_once_and_says_when_to_come_back() {
    let gateway = gateway(&nobody().await).start().await;
    for _ in 0..2 {
        failure(gateway.create(minimal("m")).await);
    }
    let failed = failure(gateway.create(minimal("m")).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Unavailable, "UPSTREAM_UNAVAILABLE")
    );
    assert!(
        failed.status.message().contains("circuit"),
        "{}",
        failed.status.message()
    );
    assert_eq!(
        trailer(failed.status.metadata(), "x-upstream-attempts"),
        Some("0")
    );
    let wait = failed.details.retry_info().unwrap().retry_delay.unwrap();
    assert!(
        wait > Duration::from_secs(1) && wait <= Duration::from_secs(5),
        "{wait:?}"
    );
}

#[tokio::test]
async fn a_full_gateway_refuses_at_once() {
    let sandbox = sandbox().await;
    let gate = Gate::new();
    sandbox.script([Fault::create().hold_before_storing(&gate)]);
    let gateway = gateway(&sandbox.url())
        .with(|s| s.delivery.max_in_flight = 1)
        .start()
        .await;
    let mut client = gateway.client.clone();
    let first = tokio::spawn(async move { client.create(authorized(minimal("first"))).await });
    gate.reached().await;
    let failed = failure(gateway.create(minimal("second")).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::ResourceExhausted, "OVERLOADED")
    );
    assert!(failed.has_retry_info());
    gate.open();
    assert!(first.await.unwrap().is_ok());
    assert_eq!(sandbox.rows(1).len(), 1);
}

async fn lost(builder: Builder, request: CreateRequest, timeout: Option<Duration>) -> Failure {
    let gateway = builder.start().await;
    let mut request = authorized(request);
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    failure(gateway.client.clone().create(request).await)
}

#[tokio::test]
async fn an_unknown_outcome_says_so_and_how_to_go_on() {
    let sandbox = sandbox().await;
    let short = |s: &mut chartbrew_gateway::app::Settings| {
        s.delivery.recovery_window = Duration::from_millis(300);
    };
    let with_deadline = Some(Duration::from_millis(500));
    // Lost, without an id: no machine may repeat it.
    sandbox.script([Fault::create().drop_before_storing()]);
    let failed = lost(gateway(&sandbox.url()).with(short), minimal("m"), None).await;
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Unknown, "OUTCOME_UNKNOWN")
    );
    assert_eq!(
        trailer(failed.status.metadata(), "grpc-retry-pushback-ms"),
        Some("-1")
    );
    assert!(!failed.has_retry_info());
    assert_eq!(failed.metadata("team_id"), Some("1"));

    // Lost, with an id: repeating it is safe.
    sandbox.script([Fault::create().drop_before_storing()]);
    let request = with_id("m");
    let id = request.request_id.clone();
    let failed = lost(gateway(&sandbox.url()).with(short), request, None).await;
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Unknown, "OUTCOME_UNKNOWN")
    );
    let pushback = trailer(failed.status.metadata(), "grpc-retry-pushback-ms");
    assert!(pushback.is_some_and(|ms| ms.parse::<u32>().unwrap() >= 2_000));
    assert!(failed.has_retry_info());
    assert_eq!(failed.metadata("request_id"), id.as_deref());

    // The deadline ran out, and the response still arrives.
    for request in [minimal("m"), with_id("m")] {
        sandbox.script([Fault::create().silent()]);
        let failed = lost(gateway(&sandbox.url()), request, with_deadline).await;
        assert_eq!(
            (failed.code, &*failed.reason),
            (Code::DeadlineExceeded, "OUTCOME_UNKNOWN")
        );
    }
    assert!(sandbox.rows(1).is_empty());
}

#[tokio::test]
async fn a_deadline_that_passes_before_anything_is_sent_is_no_unknown_outcome() {
    let sandbox = sandbox().await;
    sandbox.script([Fault::create()
        .not_forwarded()
        .header("retry-after", "60")
        .forever()]);
    let failed = lost(
        gateway(&sandbox.url()),
        minimal("m"),
        Some(Duration::from_secs(5)),
    )
    .await;
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Unavailable, "UPSTREAM_UNAVAILABLE")
    );
    // A wait that would outlast the deadline is not begun; the caller is told of it instead.
    let wait = failed.details.retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(wait, Duration::from_secs(60));
    assert_eq!(
        trailer(failed.status.metadata(), "x-upstream-attempts"),
        Some("1")
    );
}

#[tokio::test]
async fn a_failed_upload_says_that_the_connection_exists() {
    let request = || CreateRequest {
        files: Some(ConnectionFiles {
            ssl_ca: Some("CA".into()),
            ..ConnectionFiles::default()
        }),
        ..minimal("m")
    };
    let cases = [
        (
            Fault::files().body(400, JSON, "{}"),
            Code::FailedPrecondition,
            "REJECTED_BY_CHARTBREW",
        ),
        (
            Fault::files().body(403, JSON, "{}"),
            Code::PermissionDenied,
            "ACCESS_DENIED",
        ),
        (
            Fault::files().body(413, HTML, ""),
            Code::InvalidArgument,
            "TOO_LARGE",
        ),
        // Never UNAVAILABLE: that would say that nothing was created.
        (
            Fault::files().status(503).forever(),
            Code::FailedPrecondition,
            "UPSTREAM_UNAVAILABLE",
        ),
        (
            Fault::files().drop_before_storing().forever(),
            Code::FailedPrecondition,
            "UPSTREAM_UNAVAILABLE",
        ),
    ];
    for (fault, code, cause) in cases {
        let case = format!("{fault:?}");
        let sandbox = sandbox().await;
        sandbox.script([fault]);
        let gateway = gateway(&sandbox.url()).start().await;
        let failed = failure(gateway.create(request()).await);
        assert_eq!(
            (failed.code, &*failed.reason),
            (code, "FILES_NOT_UPLOADED"),
            "{case}"
        );
        assert_eq!(failed.metadata("cause"), Some(cause), "{case}");
        assert_eq!(failed.metadata("connection_id"), Some("1"), "{case}");
        assert_eq!(sandbox.rows(1).len(), 1, "{case}");
        assert!(
            !failed.status.message().contains("nothing was created"),
            "{}",
            failed.status
        );
    }
}

#[tokio::test]
async fn a_replay_of_a_connection_that_is_gone_is_not_found() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let request = with_id("m");
    gateway.create(request.clone()).await.unwrap();
    sandbox.script([Fault::get().body(404, JSON, r#"{"error":"Not Found"}"#)]);
    let failed = failure(gateway.create(request).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::NotFound, "CONNECTION_NOT_FOUND")
    );
    assert_eq!(failed.metadata("connection_id"), Some("1"));
}

#[tokio::test]
async fn real_refusals_of_the_embedded_chartbrew_arrive() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let team = CreateRequest {
        team_id: 9999,
        ..minimal("m")
    };
    let mut jira = minimal("m");
    jira.connection.as_mut().unwrap().r#type = 10;
    for (request, code, reason) in [
        (team, Code::PermissionDenied, "ACCESS_DENIED"),
        (jira, Code::FailedPrecondition, "REJECTED_BY_CHARTBREW"),
    ] {
        let failed = failure(gateway.create(request).await);
        assert_eq!((failed.code, &*failed.reason), (code, reason));
    }
    for token in ["wrong", sandbox::TOKEN_OF_A_DELETED_USER] {
        let mut request = tonic::Request::new(minimal("m"));
        let token = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        let failed = failure(gateway.client.clone().create(request).await);
        assert_eq!(
            (failed.code, &*failed.reason),
            (Code::Unauthenticated, "TOKEN_REJECTED")
        );
    }
}

#[tokio::test]
async fn limits_are_settings() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url())
        .with(|s| s.grpc.limits.name_chars = 3)
        .start()
        .await;
    assert!(gateway.create(minimal("äöü")).await.is_ok());
    let failed = failure(gateway.create(minimal("äöüß")).await);
    assert_eq!(failed.fields(), ["connection.name"]);
    let connection = NewConnection {
        name: String::new(),
        ..*minimal("").connection.unwrap()
    };
    let request = CreateRequest {
        connection: Some(Box::new(connection)),
        ..minimal("")
    };
    assert_eq!(
        failure(gateway.create(request).await).fields(),
        ["connection.name"]
    );
}

#[tokio::test]
async fn an_outage_that_all_replicas_share_takes_none_of_them_out_of_service() {
    const SERVING: i32 = 1;
    let gateway = gateway(&nobody().await).start().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(gateway.channel().await);
    for _ in 0..3 {
        failure(gateway.create(minimal("m")).await);
    }
    let request = tonic_health::pb::HealthCheckRequest::default();
    let status = health.check(request).await.unwrap().into_inner().status;
    assert_eq!(status, SERVING);
}

#[tokio::test]
async fn a_connection_that_exists_is_never_reported_as_not_created() {
    for (fault, code, reason) in [
        (
            Fault::get().status(503).forever(),
            Code::Unknown,
            "OUTCOME_UNKNOWN",
        ),
        (
            Fault::get().status(429).forever(),
            Code::Unknown,
            "OUTCOME_UNKNOWN",
        ),
        (
            Fault::get().silent().forever(),
            Code::DeadlineExceeded,
            "OUTCOME_UNKNOWN",
        ),
    ] {
        let sandbox = sandbox().await;
        let gateway = gateway(&sandbox.url()).start().await;
        let request = with_id("m");
        gateway.create(request.clone()).await.unwrap();
        sandbox.script([fault]);
        let mut request = authorized(request);
        request.set_timeout(Duration::from_secs(2));
        let failed = failure(gateway.client.clone().create(request).await);
        assert_eq!(
            (failed.code, &*failed.reason),
            (code, reason),
            "{}",
            failed.status
        );
        assert_eq!(failed.metadata("connection_id"), Some("1"));
        assert!(failed.has_retry_info());
        assert!(
            !failed.status.message().contains("nothing was created"),
            "{}",
            failed.status
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_chartbrew_is_detected_soon() {
    let sandbox = sandbox().await;
    let page = |fault: Fault, status| fault.body(status, HTML, "<html>").forever();
    sandbox.script([
        page(Fault::create(), 501).header("server", "other"),
        page(Fault::list(), 404),
    ]);
    let gateway = gateway(&sandbox.url()).start().await;
    let failed = failure(gateway.create(minimal("m")).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Internal, "UPSTREAM_MISCONFIGURED")
    );
    assert!(failed.status.message().contains("CHARTBREW_URL"));
}
