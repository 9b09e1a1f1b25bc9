//! Runs the binary with an environment of its own, and watches what it writes.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

/// Far more than anything here takes: a test that hangs fails by it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// How a process ended that ran to its end by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A process that runs until it is told to stop, or until it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: UnboundedReceiver<String>,
    stderr: UnboundedReceiver<String>,
}

/// The binary, to be run with nothing in its environment but these variables.
pub(crate) fn gateway(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chartbrew-gateway"));
    command
        .args(arguments)
        .env_clear()
        // No fixed port, unless a test asks for one.
        .env("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0")
        .env("GATEWAY_SHUTDOWN_DELAY", "0s")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    Running::start(arguments, variables).end().await
}

// === impl Running ===

impl Running {
    /// Starts it.
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = gateway(arguments, variables).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Starts `serve` on a free port, and waits until it serves there.
    pub(crate) async fn serve(variables: &[(&str, &str)]) -> (Self, SocketAddr) {
        let mut running = Self::start(&["serve", "--listen", "127.0.0.1:0"], variables);
        let line = running.logged("serving").await;
        let addr = line["addr"].as_str().unwrap().parse().unwrap();
        (running, addr)
    }

    /// Waits for a line of the log with this message. Every line before it must be JSON too.
    pub(crate) async fn logged(&mut self, message: &str) -> Value {
        loop {
            let line = next(&mut self.stderr).await;
            let line = line.unwrap_or_else(|| panic!("ended without logging {message:?}"));
            let Ok(line) = serde_json::from_str::<Value>(&line) else {
                panic!("not a line of JSON: {line}");
            };
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Waits for a line on stdout that begins with this, and returns the rest of it.
    pub(crate) async fn printed(&mut self, start: &str) -> String {
        loop {
            let line = next(&mut self.stdout).await;
            let line = line.unwrap_or_else(|| panic!("ended without printing {start:?}"));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Sends a signal: `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill failed");
    }

    /// Waits until it has ended. What was read of its output before is not repeated.
    pub(crate) async fn end(mut self) -> Ended {
        let stdout = rest(&mut self.stdout).await;
        let stderr = rest(&mut self.stderr).await;
        // Both pipes are shut: it has ended, or is about to.
        let code = self.child.wait().as_ref().map(ExitStatus::code).unwrap();
        Ended {
            code,
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Does nothing to one that has been waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Reads a pipe in a thread, so that a full one never blocks the process.
fn lines(pipe: impl Read + Send + 'static) -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn next(lines: &mut UnboundedReceiver<String>) -> Option<String> {
    timeout(LIMIT, lines.recv()).await.expect("nothing written")
}

async fn rest(lines: &mut UnboundedReceiver<String>) -> String {
    let mut text = String::new();
    while let Some(line) = next(lines).await {
        text.push_str(&line);
        text.push('\n');
    }
    text
}
