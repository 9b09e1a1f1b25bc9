//! What a collector sees of a call, and what Chartbrew sees of its trace.

use std::collections::BTreeMap;

use chartbrew_gateway::proto::CreateRequest;
use chartbrew_sandbox::{self as sandbox, Fault};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use tonic::Request;

use crate::support::{
    collector::{Collector, attributes},
    gateway::{authorized, minimal, sandbox, with_id},
    process::Process,
};

const METHOD: &str = "chartbrew.connection.v1.ConnectionService/Create";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

fn traced(message: CreateRequest, parent: &'static str) -> Request<CreateRequest> {
    let mut request = authorized(message);
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", parent.parse().unwrap());
    metadata.insert("tracestate", "vendor=opaque".parse().unwrap());
    metadata.insert("baggage", "tenant=7;p=1".parse().unwrap());
    request
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn events(span: &Span) -> Vec<(String, BTreeMap<String, String>)> {
    let events = span.events.iter();
    events
        .map(|event| {
            let mut attributes = attributes(&event.attributes);
            attributes.remove("wait_seconds");
            (event.name.clone(), attributes)
        })
        .collect()
}

fn status(span: &Span) -> StatusCode {
    span.status
        .as_ref()
        .map_or(StatusCode::Unset, |status| status.code())
}

async fn the_expected_tree(collector: &Collector, protocol: &str) {
    let sandbox = sandbox().await;
    sandbox.script([Fault::create().not_forwarded()]);
    let mut gateway = Process::start(
        &sandbox.url(),
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "deployment.environment.name=test",
            ),
        ],
    )
    .await;
    let response = gateway.create(traced(minimal("traced"), PARENT)).await;
    response.unwrap();
    let line = gateway.line("call").await;
    gateway.terminate().await;
    assert!(gateway.ended().await, "the end waits for the last spans");

    let spans = collector.spans();
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
    let (call, attempts) = (&spans[0], &spans[1..]);

    assert_eq!(
        (call.name.as_str(), call.kind()),
        (METHOD, SpanKind::Server)
    );
    assert_eq!(hex(&call.parent_span_id), CALLER);
    assert_eq!(status(call), StatusCode::Unset);
    assert_eq!(
        attributes(&call.attributes),
        map(&[
            ("rpc.system.name", "grpc"),
            ("rpc.method", METHOD),
            ("rpc.status_code", "OK"),
            ("chartbrew.gateway.attempts", "2"),
        ])
    );
    let retry = map(&[("cause", "unavailable"), ("attempts", "1")]);
    assert_eq!(events(call), [("retry".to_owned(), retry)]);
    assert_eq!(call.trace_state, "vendor=opaque");

    let url = format!("{}/team/1/connections", sandbox.url());
    let port = sandbox.addr().port().to_string();
    let about = [
        ("http.request.method", "POST"),
        ("url.template", "/team/{team_id}/connections"),
        ("url.full", &url),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ];
    let outcomes: [&[_]; 2] = [
        &[("http.response.status_code", "503"), ("error.type", "503")],
        &[
            ("http.response.status_code", "200"),
            ("http.request.resend_count", "1"),
        ],
    ];
    for (attempt, outcome) in attempts.iter().zip(outcomes) {
        assert_eq!(attempt.name, "POST /team/{team_id}/connections");
        assert_eq!(attempt.kind(), SpanKind::Client);
        assert_eq!(attempt.parent_span_id, call.span_id);
        let expected = map(&[about.as_slice(), outcome].concat());
        assert_eq!(attributes(&attempt.attributes), expected);
        assert_eq!(events(attempt), []);
    }
    assert_eq!(status(&attempts[0]), StatusCode::Error);
    assert_eq!(status(&attempts[1]), StatusCode::Unset);

    // Chartbrew can go on with the trace where the gateway left it.
    for (seen, attempt) in sandbox.requests().iter().zip(attempts) {
        let parent = format!("00-{TRACE}-{}-01", hex(&attempt.span_id));
        assert_eq!(seen.headers["traceparent"], parent);
        assert_eq!(seen.headers["tracestate"], "vendor=opaque");
        assert_eq!(seen.headers["baggage"], "tenant=7;p=1");
    }
    // The log knows the trace.
    assert_eq!(line["trace_id"], TRACE);
    assert_eq!(line["span_id"], hex(&call.span_id));

    let resource = |key: &str| collector.resource(key).unwrap();
    assert_eq!(resource("service.name"), "chartbrew-gateway");
    assert_eq!(resource("service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(resource("deployment.environment.name"), "test");
    assert!(
        collector
            .metrics()
            .contains(&"rpc.server.call.duration".to_owned())
    );
    assert!(
        !collector.was_told(sandbox::TOKEN),
        "the token is no one's to see"
    );
}

#[tokio::test]
async fn a_create_with_one_503_is_exactly_the_expected_tree_over_grpc() {
    the_expected_tree(&Collector::grpc().await, "grpc").await;
}

#[tokio::test]
async fn a_create_with_one_503_is_exactly_the_expected_tree_over_http() {
    the_expected_tree(&Collector::http().await, "http/protobuf").await;
}

#[tokio::test]
async fn recovery_and_replay_are_part_of_the_call_that_they_serve() {
    let (collector, sandbox) = (Collector::grpc().await, sandbox().await);
    sandbox.script([Fault::create().drop_after_storing()]);
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    let mut gateway = Process::start(&sandbox.url(), &settings).await;
    let message = with_id("lost and found");
    for _ in 0..2 {
        gateway.create(authorized(message.clone())).await.unwrap();
    }
    gateway.terminate().await;
    assert!(gateway.ended().await);

    let spans = collector.spans();
    let calls: Vec<_> = spans
        .iter()
        .filter(|s| s.kind() == SpanKind::Server)
        .collect();
    let told = |call: usize| {
        let children = spans
            .iter()
            .filter(|s| s.parent_span_id == calls[call].span_id);
        let children: Vec<_> = children.map(|span| span.name.as_str()).collect();
        let outcome = attributes(&calls[call].attributes)["chartbrew.gateway.outcome"].clone();
        (children, events(calls[call]), outcome)
    };
    let (list, get) = (
        "GET /team/{team_id}/connections",
        "GET /team/{team_id}/connections/{connection_id}",
    );
    let found = ("recovery".to_owned(), map(&[("result", "found")]));
    let post = "POST /team/{team_id}/connections";
    assert_eq!(
        told(0),
        (vec![post, list, get], vec![found], "recovered".to_owned())
    );
    let replay = ("replay".to_owned(), map(&[]));
    assert_eq!(told(1), (vec![get], vec![replay], "replayed".to_owned()));
    let lost = spans.iter().find(|span| span.name == post).unwrap();
    assert_eq!(attributes(&lost.attributes)["error.type"], "no_answer");
    assert_ne!(calls[0].trace_id, calls[1].trace_id, "each call is a trace");
}

#[tokio::test]
async fn only_a_fault_of_the_server_is_an_error_of_its_span() {
    let (collector, sandbox) = (Collector::grpc().await, sandbox().await);
    sandbox.script([
        Fault::create().status(403),
        Fault::create().times(3).not_forwarded(),
    ]);
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    let mut gateway = Process::start(&sandbox.url(), &settings).await;
    for name in ["", "denied", "unavailable"] {
        gateway.create(authorized(minimal(name))).await.unwrap_err();
    }
    gateway.terminate().await;
    assert!(gateway.ended().await);
    let spans = collector.spans();
    let calls = spans.iter().filter(|span| span.kind() == SpanKind::Server);
    let told: Vec<_> = calls
        .map(|call| {
            let attributes = attributes(&call.attributes);
            let error = attributes.get("error.type").cloned();
            (attributes["rpc.status_code"].clone(), status(call), error)
        })
        .collect();
    let code = |code: &str| code.to_owned();
    assert_eq!(
        told,
        [
            (code("INVALID_ARGUMENT"), StatusCode::Unset, None),
            (code("PERMISSION_DENIED"), StatusCode::Unset, None),
            (
                code("UNAVAILABLE"),
                StatusCode::Error,
                Some(code("UNAVAILABLE"))
            ),
        ]
    );
}

#[tokio::test]
async fn a_callers_trace_goes_on_as_it_is_where_nothing_is_exported() {
    let sandbox = sandbox().await;
    let mut gateway = Process::start(&sandbox.url(), &[]).await;
    gateway.create(traced(minimal("a"), PARENT)).await.unwrap();
    gateway.create(authorized(minimal("b"))).await.unwrap();
    let [with, without] = sandbox.requests().try_into().unwrap();
    assert_eq!(with.headers["traceparent"], PARENT);
    assert_eq!(with.headers["tracestate"], "vendor=opaque");
    assert_eq!(with.headers["baggage"], "tenant=7;p=1");
    for name in ["traceparent", "tracestate", "baggage"] {
        assert!(!without.headers.contains_key(name), "nothing is made up");
    }
    let line = gateway.line("call").await;
    assert_eq!(
        (&line["trace_id"], &line["span_id"]),
        (&TRACE.into(), &CALLER.into())
    );
}

#[tokio::test]
async fn the_environment_sets_the_sampler() {
    let (collector, sandbox) = (Collector::grpc().await, sandbox().await);
    let settings = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ];
    let mut gateway = Process::start(&sandbox.url(), &settings).await;
    gateway.create(traced(minimal("a"), PARENT)).await.unwrap();
    gateway.terminate().await;
    assert!(gateway.ended().await);
    assert_eq!(collector.spans(), []);
}

#[tokio::test]
async fn a_trace_that_its_caller_does_not_keep_is_not_kept_here_either() {
    let (collector, sandbox) = (Collector::grpc().await, sandbox().await);
    let settings = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ];
    let mut gateway = Process::start(&sandbox.url(), &settings).await;
    gateway
        .create(traced(minimal("a"), UNSAMPLED))
        .await
        .unwrap();
    gateway.terminate().await;
    assert!(gateway.ended().await);
    assert_eq!(collector.spans(), []);
    let parent = sandbox.requests()[0].headers["traceparent"].clone();
    let parent = parent.to_str().unwrap();
    assert!(parent.starts_with(&format!("00-{TRACE}-")) && parent.ends_with("-00"));
    assert!(
        !parent.contains(CALLER),
        "the gateway is the parent: {parent}"
    );
}
