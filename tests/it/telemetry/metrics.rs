//! What a scrape says: as many calls as were made, in a form that Prometheus takes, and every
//! metric that the dashboard and the alerts are made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use chartbrew_gateway::{
    callers::token::TokenHash, proto::connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox::{Fault, TOKEN};
use futures_util::future::join_all;

use crate::support::{
    gateway::{authorized, minimal, sandbox, with_id},
    pki::{Authority, Files, endpoint, text},
    process::{Process, value},
    raw::nobody,
};

const CALLS: &str = "rpc_server_call_duration_seconds_count{rpc_status_code=\"OK\"}";
const ATTEMPTS: &str = "chartbrew_gateway_attempts_total{http_request_method=\"POST\"}";
const REQUESTS: &str = "http_client_request_duration_seconds_count{http_request_method=\"POST\"}";

#[tokio::test]
async fn counts_equal_the_calls_made_also_while_they_are_made() {
    const CALLERS: usize = 8;
    const EACH: usize = 50;
    let sandbox = sandbox().await;
    let gateway = Process::start(&sandbox.url(), &[]).await;
    let callers = join_all((0..CALLERS).map(|_| async {
        for _ in 0..EACH {
            gateway.create(authorized(minimal("a"))).await.unwrap();
        }
    }));
    let mut callers = std::pin::pin!(callers);
    let mut last = 0.0;
    loop {
        let scrape = tokio::select! {
            _ = &mut callers => break,
            response = gateway.get("/metrics") => response.body,
        };
        check(&scrape);
        let now = value(&scrape, CALLS);
        assert!(now >= last, "a counter never falls");
        last = now;
    }
    let made = (CALLERS * EACH) as f64;
    gateway.reaches(CALLS, made).await;
    let scrape = gateway.get("/metrics").await.body;
    for series in [CALLS, ATTEMPTS, REQUESTS] {
        assert_eq!(value(&scrape, series), made, "{series}");
    }
    assert_eq!(value(&scrape, "chartbrew_gateway_calls_in_flight"), 0.0);
    assert_eq!(sandbox.requests().len() as f64, made);
}

#[tokio::test]
async fn names_that_callers_make_up_are_one_label() {
    let sandbox = sandbox().await;
    let gateway = Process::start(&sandbox.url(), &[]).await;
    for method in ["Marker", "Made/Up", "Create2"] {
        let mut grpc =
            tonic::client::Grpc::new(crate::support::gateway::channel(gateway.addr).await);
        grpc.ready().await.unwrap();
        let path = format!("/chartbrew.connection.v1.ConnectionService/{method}");
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let request = tonic::Request::new(());
        let response = grpc.unary(request, path.parse().unwrap(), codec).await;
        response.unwrap_err();
    }
    let scrape = gateway.get("/metrics").await.body;
    let other = "rpc_server_call_duration_seconds_count{rpc_method=\"_OTHER\", \
                 rpc_status_code=\"UNIMPLEMENTED\", error_type=\"UNIMPLEMENTED\"}";
    assert_eq!(value(&scrape, other), 3.0);
    assert!(!scrape.contains("Marker"));
}

#[tokio::test]
async fn the_environment_names_the_service() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,k=v");
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[], "chartbrew-gateway"),
        (&[attributes], "a"),
        (&[attributes, ("OTEL_SERVICE_NAME", "b")], "b"),
    ];
    for (settings, name) in cases {
        let gateway = Process::start(&nobody().await, settings).await;
        let named = format!("target_info{{service_name=\"{name}\"}}");
        assert_eq!(gateway.value(&named).await, 1.0, "{name}");
    }
}

#[tokio::test]
async fn a_disabled_sdk_leaves_the_metrics_of_the_process() {
    let settings = [("OTEL_SDK_DISABLED", "true")];
    let gateway = Process::start(&nobody().await, &settings).await;
    let scrape = gateway.get("/metrics").await.body;
    check(&scrape);
    assert!(value(&scrape, "process_resident_memory_bytes") > 0.0);
    assert!(!scrape.contains("chartbrew_gateway"), "{scrape}");
}

/// A scrape of a gateway that has TLS and callers, and has seen each kind of event.
async fn eventful() -> String {
    let sandbox = sandbox().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority, &authority);
    let token = files.write("token", TOKEN);
    let hash = TokenHash::of(TOKEN);
    let callers = format!("[[caller]]\nname = \"billing\"\ntoken_sha256 = [\"{hash}\"]");
    let callers = files.write("callers.toml", &callers);
    let settings = [
        ("GATEWAY_TLS_CERT", text(&files.cert)),
        ("GATEWAY_TLS_KEY", text(&files.key)),
        ("CHARTBREW_TOKEN_FILE", text(&token)),
        ("GATEWAY_CALLERS_FILE", text(&callers)),
        ("GATEWAY_CIRCUIT_FAILURES", "40"),
        ("GATEWAY_RETRIES_PER_SECOND", "1"),
        ("GATEWAY_RETRY_RATIO", "0"),
        ("GATEWAY_RECOVERY_WINDOW", "300ms"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &nobody().await),
        ("OTEL_BSP_SCHEDULE_DELAY", "5"),
    ];
    let mut gateway = Process::start_without_client(&sandbox.url(), &settings).await;
    let endpoint = endpoint(gateway.addr, authority.pem(), None);
    gateway.client = ConnectionServiceClient::new(endpoint.connect().await.unwrap());
    let create = async |message| gateway.create(authorized(message)).await;

    // A replay and a recovery.
    sandbox.script([Fault::create().drop_after_storing()]);
    let message = with_id("found");
    create(message.clone()).await.unwrap();
    create(message).await.unwrap();
    // An unknown outcome.
    sandbox.script([Fault::create().drop_before_storing()]);
    create(minimal("unknown")).await.unwrap_err();
    // A refusal.
    create(minimal("")).await.unwrap_err();
    // Retries until the budget has nothing left, and the circuit opens.
    sandbox.script([Fault::create().forever().not_forwarded()]);
    let exhausted = "chartbrew_gateway_retry_budget_exhausted_total";
    while gateway.value(exhausted).await == 0.0 {
        create(minimal("refused")).await.unwrap_err();
    }
    while gateway
        .value("chartbrew_gateway_circuit_state{state=\"open\"}")
        .await
        == 0.0
    {
        create(minimal("refused")).await.unwrap_err();
    }
    gateway
        .reaches("chartbrew_gateway_telemetry_export_failures_total", 1.0)
        .await;
    gateway.get("/metrics").await.body
}

#[tokio::test]
async fn every_metric_of_the_dashboard_the_alerts_and_the_document_exists() {
    let scrape = eventful().await;
    check(&scrape);
    // For `tests/promtool.sh`.
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::write(kept.join("scrape.txt"), &scrape).unwrap();

    // A histogram is known by its own name too.
    let families = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let series = scrape.lines().filter(|line| !line.starts_with('#'));
    let known: BTreeSet<_> = families
        .chain(series)
        .map(|line| line.split(['{', ' ']).next().unwrap())
        .collect();
    for file in ["grafana/dashboard.json", "prometheus/alerts.yaml"] {
        let text = fs::read_to_string(root().join("deploy").join(file)).unwrap();
        let named = named(&text);
        assert!(named.len() >= 4, "{file} names {named:?}");
        for name in named {
            assert!(known.contains(name), "{file}: there is no {name}");
        }
    }
    let scraped: BTreeSet<_> = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let document = fs::read_to_string(root().join("docs/telemetry.md")).unwrap();
    assert_eq!(scraped, documented(&document));
    // And what they tell apart is there too.
    for (series, expected) in [
        (
            "chartbrew_gateway_failures_total{reason=\"OUTCOME_UNKNOWN\"}",
            1.0,
        ),
        (
            "chartbrew_gateway_refusals_total{reason=\"INVALID_FIELD\"}",
            1.0,
        ),
        ("chartbrew_gateway_recoveries_total{result=\"found\"}", 1.0),
        ("chartbrew_gateway_replays_total", 1.0),
        ("chartbrew_gateway_file_current{file=\"callers\"}", 1.0),
        ("chartbrew_gateway_circuit_state{state=\"closed\"}", 0.0),
    ] {
        assert_eq!(value(&scrape, series), expected, "{series}");
    }
    assert!(
        value(
            &scrape,
            "chartbrew_gateway_retries_total{cause=\"unavailable\"}"
        ) >= 1.0
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names in the first column of the document's table of metrics.
fn documented(document: &str) -> BTreeSet<&str> {
    let (_, table) = document.split_once("| Prometheus |").unwrap();
    let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

/// The names of metrics in a text: what begins as ours do.
fn named(text: &str) -> BTreeSet<&str> {
    const PREFIXES: [&str; 4] = [
        "chartbrew_gateway_",
        "rpc_server_",
        "http_client_",
        "process_",
    ];
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
        .collect()
}

/// What Prometheus demands of a scrape, and what its linter asks for.
fn check(scrape: &str) {
    let mut kinds = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut buckets: BTreeMap<String, f64> = BTreeMap::new();
    for line in scrape.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(helped.insert(rest.split(' ').next().unwrap()), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "twice: {name}");
            assert!(helped.contains(name), "no help: {name}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            continue;
        }
        let (series, number) = line.rsplit_once(' ').unwrap();
        assert!(seen.insert(series), "twice: {series}");
        let number: f64 = number.parse().unwrap();
        let name = series.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .filter(|family| kinds.get(family) == Some(&"histogram"))
            .unwrap_or(name);
        assert!(kinds.contains_key(family), "no type: {series}");
        if let Some((labels, bound)) = series.split_once("le=\"") {
            let below = buckets.insert(labels.to_owned(), number).unwrap_or(0.0);
            assert!(number >= below, "buckets are cumulative: {series} {bound}");
        }
    }
}
