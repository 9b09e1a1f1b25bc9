//! What telemetry costs: the same load on the release binary with telemetry off, with metrics only,
//! with traces sampled at 1 % and at 100 %, in turns, in one run; then with a collector that never
//! answers.
//!
//! ```sh
//! cargo build --release && cargo run --release --example load -- 5 5
//! ```
//!
//! The arguments are seconds a turn and turns. The upstream, the collector and the callers are in
//! this process, the gateway is in one of its own, so that its processor time can be told apart:
//! on a busy machine it says more than the calls a second do.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed; what it prints is what it is for"
)]

use std::{
    fs,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, http::header::CONTENT_TYPE, routing::any};
use chartbrew_gateway::proto::{
    ConnectionType, CreateRequest, NewConnection,
    connection_service_client::ConnectionServiceClient,
};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::Instant,
};
use tonic::{
    Request, Response, Status,
    transport::{Channel, server::TcpIncoming},
};

const CONNECTIONS: usize = 4;
const CALLERS_EACH: usize = 8;
/// A row of Chartbrew's, after its id.
const ROW: &str = r#","team_id":1,"name":"a","type":"mongodb","active":true,
    "project_ids":[],"createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z"}"#;

/// A way to run the gateway.
struct Mode {
    name: &'static str,
    settings: Vec<(&'static str, String)>,
    runs: Vec<Run>,
}

/// What one turn has shown.
struct Run {
    calls_a_second: f64,
    /// Processor time of the gateway a call, in microseconds.
    cpu_micros: f64,
    /// Most memory that it had, in MiB.
    memory: f64,
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().unwrap());
    let seconds = Duration::from_secs(arguments.next().unwrap_or(5));
    let turns = arguments.next().unwrap_or(5);
    let upstream = upstream().await;
    let spans = Arc::new(AtomicU64::new(0));
    let collector = collector(spans.clone()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());

    let traced = |endpoint: &str, share: &str| {
        vec![
            ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.to_owned()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio".to_owned()),
            ("OTEL_TRACES_SAMPLER_ARG", share.to_owned()),
        ]
    };
    let metrics = vec![("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0".to_owned())];
    let off = vec![("GATEWAY_ADMIN_LISTEN", "off".to_owned())];
    let mode = |name, settings| Mode {
        name,
        settings,
        runs: Vec::new(),
    };
    let mut modes = [
        mode("off", off),
        mode("metrics only", metrics),
        mode("metrics and traces at 1 %", traced(&collector, "0.01")),
        mode("metrics and traces at 100 %", traced(&collector, "1")),
        mode("the same, silent collector", traced(&silent, "1")),
    ];
    for turn in 1..=turns {
        eprintln!("turn {turn} of {turns}");
        for mode in &mut modes {
            let run = run(&upstream, &mode.settings, seconds).await;
            mode.runs.push(run);
        }
    }
    println!("| telemetry | calls/s | of off | gateway CPU µs/call | of off | memory MiB |");
    println!("|---|---|---|---|---|---|");
    let median = |mode: &Mode, of: fn(&Run) -> f64| {
        let mut values: Vec<_> = mode.runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let calls = |mode: &Mode| median(mode, |run| run.calls_a_second);
    let cpu = |mode: &Mode| median(mode, |run| run.cpu_micros);
    for mode in &modes {
        println!(
            "| {} | {:.0} | {:.3} | {:.0} | {:.3} | {:.0} |",
            mode.name,
            calls(mode),
            calls(mode) / calls(&modes[0]),
            cpu(mode),
            cpu(mode) / cpu(&modes[0]),
            median(mode, |run| run.memory),
        );
    }
    println!(
        "\nMedians of {turns} turns of {} s each, {} callers on {CONNECTIONS} connections; the \
         collector took {} spans.",
        seconds.as_secs(),
        CONNECTIONS * CALLERS_EACH,
        spans.load(Ordering::Relaxed)
    );
}

async fn run(upstream: &str, settings: &[(&'static str, String)], seconds: Duration) -> Run {
    let (mut gateway, addr, admin) = start(upstream, settings).await;
    let scraping = tokio::spawn(async move {
        while let Some(admin) = &admin {
            scrape(admin).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let process = gateway.id().unwrap();
    load(&addr, Duration::from_secs(1)).await;
    let (cpu, began) = (cpu_micros(process), Instant::now());
    let calls = load(&addr, seconds).await as f64;
    let run = Run {
        calls_a_second: calls / began.elapsed().as_secs_f64(),
        cpu_micros: (cpu_micros(process) - cpu) / calls,
        memory: peak_memory(process),
    };
    scraping.abort();
    gateway.kill().await.unwrap();
    run
}

async fn start(
    upstream: &str,
    settings: &[(&'static str, String)],
) -> (Child, String, Option<String>) {
    let binary = std::env::current_exe().unwrap();
    let binary = binary.ancestors().nth(2).unwrap().join("chartbrew-gateway");
    let mut child = Command::new(binary)
        .arg("serve")
        .env("CHARTBREW_URL", upstream)
        .env("GATEWAY_LISTEN", "127.0.0.1:0")
        .env("GATEWAY_LOG", "warn,chartbrew_gateway::cli=info")
        .env("GATEWAY_LOG_FORMAT", "json")
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let text = |field: &str| line[field].as_str().map(ToOwned::to_owned);
    (child, text("addr").unwrap(), text("admin"))
}

/// Calls as fast as it can for so long. How many were answered.
async fn load(addr: &str, time: Duration) -> u64 {
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for _ in 0..CONNECTIONS {
        let channel = Channel::from_shared(format!("http://{addr}")).unwrap();
        let client = ConnectionServiceClient::new(channel.connect().await.unwrap());
        for _ in 0..CALLERS_EACH {
            let (mut client, over) = (client.clone(), over.clone());
            callers.push(tokio::spawn(async move {
                let mut calls = 0;
                while !over.load(Ordering::Relaxed) {
                    client.create(create()).await.unwrap();
                    calls += 1;
                }
                calls
            }));
        }
    }
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for caller in callers {
        calls += caller.await.unwrap();
    }
    calls
}

fn create() -> Request<CreateRequest> {
    let mut request = Request::new(CreateRequest {
        team_id: 1,
        connection: Some(Box::new(NewConnection {
            name: "a".to_owned(),
            r#type: ConnectionType::Mongodb.into(),
            ..NewConnection::default()
        })),
        ..CreateRequest::default()
    });
    let token = "Bearer t".parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    request
}

/// An upstream that does nothing but respond, with a new id each time: the gateway takes no row for
/// two creates.
async fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ids = Arc::new(AtomicU64::new(1));
    let respond = move |_: Bytes| {
        let id = ids.fetch_add(1, Ordering::Relaxed);
        std::future::ready((
            [(CONTENT_TYPE, "application/json")],
            format!("{{\"id\":{id}{ROW}"),
        ))
    };
    let router = Router::new().fallback(any(respond));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let service = TowerToHyperService::new(router.clone());
            let io = TokioIo::new(stream);
            tokio::spawn(http1::Builder::new().serve_connection(io, service));
        }
    });
    url
}

#[derive(Clone)]
struct Counting(Arc<AtomicU64>);

#[tonic::async_trait]
impl TraceService for Counting {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let groups = request.into_inner().resource_spans.into_iter();
        let spans = groups.flat_map(|group| group.scope_spans);
        let spans: usize = spans.map(|scope| scope.spans.len()).sum();
        self.0.fetch_add(spans as u64, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn collector(spans: Arc<AtomicU64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .add_service(TraceServiceServer::new(Counting(spans)))
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(server);
    url
}

async fn scrape(admin: &str) {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
}

/// Processor time so far. Linux counts it in hundredths of a second.
fn cpu_micros(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) * 10_000.0
}

fn peak_memory(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kibibytes = line.split_whitespace().nth(1).unwrap();
    kibibytes.parse::<f64>().unwrap() / 1024.0
}
