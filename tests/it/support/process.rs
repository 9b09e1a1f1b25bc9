//! The real binary, for what exists once in a process: telemetry and the log.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use chartbrew_gateway::proto::{
    CreateRequest, CreateResponse, connection_service_client::ConnectionServiceClient,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
    time::timeout,
};
use tonic::{Request, Response, Status, transport::Channel};

use super::gateway::channel;

/// Nothing that these tests wait for takes longer, on a busy machine either.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A running gateway. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// Of stdout and stderr.
    lines: watch::Receiver<Vec<Value>>,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) client: ConnectionServiceClient<Channel>,
}

/// A response of the admin port.
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Process {
    /// Starts it before an upstream, with more settings.
    pub(crate) async fn start(upstream: &str, settings: &[(&str, &str)]) -> Self {
        let mut process = Self::start_without_client(upstream, settings).await;
        process.client = ConnectionServiceClient::new(channel(process.addr).await);
        process
    }

    /// For a port that a plain client cannot use.
    pub(crate) async fn start_without_client(upstream: &str, settings: &[(&str, &str)]) -> Self {
        let own = std::env::vars().filter(|(name, _)| {
            ["OTEL_", "GATEWAY_", "CHARTBREW_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_chartbrew-gateway"));
        for (name, _) in own {
            command.env_remove(name);
        }
        let mut child = command
            .arg("serve")
            .envs([
                ("CHARTBREW_URL", upstream),
                ("GATEWAY_LISTEN", "127.0.0.1:0"),
                ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
                ("GATEWAY_LOG_FORMAT", "json"),
                ("GATEWAY_BACKOFF", "1ms"),
                ("GATEWAY_BACKOFF_MAX", "1ms"),
                ("GATEWAY_SHUTDOWN_DELAY", "0s"),
            ])
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (tell, lines) = watch::channel(Vec::new());
        tokio::spawn(collect(child.stdout.take().unwrap(), tell.clone()));
        tokio::spawn(collect(child.stderr.take().unwrap(), tell));
        let mut process = Self {
            child,
            lines,
            addr: ([0, 0, 0, 0], 0).into(),
            admin: ([0, 0, 0, 0], 0).into(),
            client: ConnectionServiceClient::new(
                Channel::from_static("http://127.0.0.1:1").connect_lazy(),
            ),
        };
        let serving = process.line("serving").await;
        let addr = |field: &str| serving[field].as_str().unwrap().parse().unwrap();
        process.addr = addr("addr");
        process.admin = addr("admin");
        process
    }

    /// Waits for the first line with this message.
    pub(crate) async fn line(&mut self, message: &str) -> Value {
        let is_it = |line: &Value| line["message"] == message;
        let wait = self.lines.wait_for(|lines| lines.iter().any(is_it));
        let lines = timeout(TIME_LIMIT, wait).await;
        let lines = lines.unwrap_or_else(|_| panic!("no line {message:?}"));
        lines
            .unwrap()
            .iter()
            .find(|line| is_it(line))
            .unwrap()
            .clone()
    }

    /// All lines so far with this level.
    pub(crate) fn lines(&self, level: &str) -> Vec<Value> {
        let lines = self.lines.borrow();
        lines
            .iter()
            .filter(|line| line["level"] == level)
            .cloned()
            .collect()
    }

    /// All lines so far as they were written.
    pub(crate) fn log(&self) -> String {
        let lines = self.lines.borrow();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Its resident memory, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let pid = self.child.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }

    pub(crate) async fn create(
        &self,
        request: Request<CreateRequest>,
    ) -> Result<Response<CreateResponse>, Status> {
        self.client.clone().create(request).await
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        let id = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(kill.unwrap().success());
    }

    /// Waits for its end, and for the last of what it wrote.
    pub(crate) async fn ended(&mut self) -> bool {
        let status = timeout(TIME_LIMIT, self.child.wait()).await;
        let written = async { while self.lines.changed().await.is_ok() {} };
        timeout(TIME_LIMIT, written).await.expect("its pipes end");
        status.expect("it ends").unwrap().success()
    }

    /// Asks the admin port.
    pub(crate) async fn get(&self, path: &str) -> HttpResponse {
        ask(self.admin, "GET", path, "", "").await
    }

    /// The value of a series, by its name and labels as they are written; 0 if it is not there.
    pub(crate) async fn value(&self, series: &str) -> f64 {
        let scrape = self.get("/metrics").await.body;
        value(&scrape, series)
    }

    /// Asks until a series has at least this value.
    pub(crate) async fn reaches(&self, series: &str, least: f64) {
        let reached = async {
            while self.value(series).await < least {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = timeout(TIME_LIMIT, reached).await;
        reached.unwrap_or_else(|_| panic!("{series} never reached {least}"));
    }
}

/// Adds the lines of a pipe.
async fn collect(pipe: impl AsyncRead + Unpin, lines: watch::Sender<Vec<Value>>) {
    let mut pipe = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = pipe.next_line().await {
        let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
        lines.send_modify(|lines| lines.push(line));
    }
}

/// The same, of a scrape. Series whose labels are only given in part are added up.
pub(crate) fn value(scrape: &str, series: &str) -> f64 {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels: Vec<_> = labels.trim_end_matches('}').split(", ").collect();
    let lines = scrape.lines().filter(|line| !line.starts_with('#'));
    let fitting = lines.filter(|line| {
        let after = line.strip_prefix(name).unwrap_or("no");
        after.starts_with(['{', ' ']) && labels.iter().all(|label| line.contains(label))
    });
    let values = fitting.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
    values.sum()
}

/// Sends one request to an admin port.
pub(crate) async fn ask(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> HttpResponse {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let host = match headers.contains("host:") {
        true => String::new(),
        false => format!("host: {addr}\r\n"),
    };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{host}{headers}content-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    HttpResponse {
        status: head[9..12].parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}
