//! The same promises of the program itself: all that it writes, to stdout and stderr.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread::JoinHandle,
};

use chartbrew_gateway::proto::connection_service_client::ConnectionServiceClient;
use tonic::{Request, transport::Channel};

use super::{
    hostile::{Hostile, scenarios},
    marks, play,
    seen::nothing_in_response,
    wrong::wrong_requests,
};

pub(super) type Environment<'a> = &'a [(&'a str, &'a str)];

/// The program with no environment but this.
fn program(arguments: &[&str], environment: Environment<'_>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chartbrew-gateway"));
    command
        .args(arguments)
        .env_clear()
        .env("RUST_BACKTRACE", "full")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(super) fn run(arguments: &[&str], environment: Environment<'_>) -> Output {
    program(arguments, environment).output().unwrap()
}

/// `serve`, with all that it has written so far. Killed when dropped.
pub(super) struct Serving {
    child: Child,
    addr: String,
    stderr: Option<JoinHandle<String>>,
}

impl Serving {
    /// Starts it on a free port, which it tells in its log.
    pub(super) fn start(upstream: &str, format: &str, more: Environment<'_>) -> Self {
        let settings = [
            ("CHARTBREW_URL", upstream),
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
            ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
            ("GATEWAY_LOG", "trace"),
            ("GATEWAY_LOG_FORMAT", format),
            ("GATEWAY_BACKOFF", "1ms"),
            ("GATEWAY_BACKOFF_MAX", "1ms"),
            ("GATEWAY_RECOVERY_WINDOW", "20ms"),
            ("GATEWAY_CIRCUIT_FAILURES", "4000000000"),
            ("GATEWAY_RETRIES_PER_SECOND", "1000000"),
        ];
        let mut child = program(&["serve"], &[&settings, more].concat())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let (found, addr) = mpsc::channel();
        let stderr = std::thread::spawn(move || {
            let mut all = String::new();
            while !all.contains("serving") && lines.read_line(&mut all).unwrap() > 0 {}
            found.send(address_in(&all)).unwrap();
            lines.read_to_string(&mut all).unwrap();
            all
        });
        Self {
            child,
            addr: addr.recv().unwrap().expect("it tells where it serves"),
            stderr: Some(stderr),
        }
    }

    pub(super) async fn client(&self) -> ConnectionServiceClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.addr)).unwrap();
        ConnectionServiceClient::new(endpoint.connect().await.unwrap())
    }

    /// Asks it to stop; returns all that it wrote.
    pub(super) fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(asked.success());
        assert!(self.child.wait().unwrap().success());
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().unwrap();
        pipe.read_to_string(&mut stdout).unwrap();
        stdout + &self.stderr.take().unwrap().join().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have stopped by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn address_in(log: &str) -> Option<String> {
    let from = log.split_once("127.0.0.1:").map(|(_, rest)| rest)?;
    let port: String = from.chars().take_while(char::is_ascii_digit).collect();
    Some(format!("127.0.0.1:{port}"))
}

pub(super) fn assert_clean(case: &str, written: &str) {
    let line = written
        .lines()
        .find(|line| marks::found_in(line.as_bytes()).is_some());
    assert_eq!(line, None, "{case}");
    assert_eq!(marks::found_in(written.as_bytes()), None, "{case}");
}

#[tokio::test]
async fn the_program_writes_no_secret_in_either_format() {
    // Made before a client connects: that keeps a busy machine for longer than a handshake may take.
    let scenarios = scenarios();
    for format in ["text", "json"] {
        let hostile = Hostile::start().await;
        let serving = Serving::start(&hostile.url, format, &[]);
        let client = serving.client().await;
        let mut calls = 0;
        for scenario in &scenarios {
            play(&hostile, &client, scenario).await;
            calls += scenario.calls;
        }
        for (_, _, request) in wrong_requests() {
            assert!(super::call(&client, request).await.is_err());
            calls += 1;
        }
        drop(client);
        let written = serving.stop();
        let lines = written
            .lines()
            .filter(|line| line.contains("ConnectionService/Create"));
        assert_eq!(lines.count(), calls, "a line a call, in {format}");
        assert_clean(format, &written);
    }
}

#[tokio::test]
async fn a_token_of_the_gateways_own_is_not_written() {
    let token = marks::mark("token");
    let (hostile, scenarios) = (Hostile::start().await, scenarios());
    let serving = Serving::start(&hostile.url, "json", &[("CHARTBREW_TOKEN", &token)]);
    let mut client = serving.client().await;
    for scenario in scenarios.into_iter().step_by(7) {
        hostile.play(&scenario);
        let result = client.create(Request::new(scenario.request)).await;
        nothing_in_response(&scenario.name, &result);
    }
    drop(client);
    assert_clean("own token", &serving.stop());
}

#[test]
fn no_command_prints_the_token_of_the_environment() {
    let token = marks::mark("token");
    let file = std::env::temp_dir().join(format!("token-{}", std::process::id()));
    std::fs::write(&file, format!("{token} {token}")).unwrap();
    let file = file.to_str().unwrap();
    let own = ("CHARTBREW_TOKEN", &*token);
    let cases: &[(&[&str], Environment<'_>)] = &[
        (&["check"], &[own]),
        (&["--help"], &[own]),
        (&["serve", "--help"], &[own]),
        (&["serve", "-h"], &[own]),
        (&["check", "--help"], &[own]),
        (&["demo", "--help"], &[own]),
        (&["help", "serve"], &[own]),
        (&["nonsense"], &[own]),
        (&["serve", "--nonsense"], &[own]),
        (&["serve", "--listen"], &[own]),
        (&["check"], &[own, ("CHARTBREW_TOKEN_FILE", &token)]),
        (
            &["check"],
            &[("CHARTBREW_TOKEN", &format!("{token} {token}"))],
        ),
        (&["check"], &[("CHARTBREW_TOKEN_FILE", file)]),
        (
            &["check"],
            &[("CHARTBREW_URL", &format!("http://u:{token}@h"))],
        ),
        (&["check"], &[("CHARTBREW_URL", &token)]),
        (&["check"], &[("GATEWAY_LOG", &format!("{token}={token}"))]),
        (&["check"], &[("GATEWAY_LOG_FORMAT", &token)]),
        (&["serve"], &[own, ("GATEWAY_LISTEN", "192.0.2.1:1")]),
        (&["serve"], &[own, ("GATEWAY_LISTEN", "0.0.0.0:0")]),
        (&["serve"], &[own, ("GATEWAY_ATTEMPTS", "0")]),
    ];
    for (arguments, environment) in cases {
        let case = format!("{arguments:?} {environment:?}");
        let output = run(arguments, environment);
        let written = [output.stdout, output.stderr].concat();
        assert!(!written.is_empty(), "{case}");
        assert_clean(&case, &String::from_utf8_lossy(&written));
    }
    std::fs::remove_file(file).unwrap();
}

/// Values that no clock and no counter can hold. Whether they are refused or end in a panic, with
/// its backtrace: the token is not in it.
#[tokio::test]
async fn a_start_that_fails_for_whatever_reason_does_not_print_the_token() {
    let token = marks::mark("token");
    let largest = u64::MAX.to_string();
    for (variable, value) in [
        ("GATEWAY_MAX_IN_FLIGHT", &*largest),
        ("GATEWAY_RETRIES_PER_SECOND", "4294967295"),
        ("GATEWAY_LISTEN", "192.0.2.1:1"),
    ] {
        let settings = [
            ("CHARTBREW_TOKEN", &*token),
            ("GATEWAY_LISTEN", "127.0.0.1:0"),
            ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
            ("GATEWAY_LOG", "trace"),
            (variable, value),
        ];
        let mut child = program(&["serve"], &settings).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        // It either ends by itself or begins to serve.
        let mut written = String::new();
        while !written.contains("serving") && stderr.read_line(&mut written).unwrap() > 0 {}
        drop(child.kill());
        stderr.read_to_string(&mut written).unwrap();
        child.wait().unwrap();
        assert!(!written.is_empty(), "{variable}");
        assert_clean(variable, &written);
    }
}
