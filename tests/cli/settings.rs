//! `check`, and starts that cannot work: exit code 2 and a line for each mistake.

use std::net::TcpListener;

use crate::binary::{Ended, Running, gateway, run};

const SECRET: &str = "not-for-your-eyes";

/// The lines on stderr; nothing else was written, and the exit code is 2.
fn mistakes(ended: &Ended) -> Vec<&str> {
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
    ended
        .stderr
        .lines()
        .map(|line| line.strip_prefix("chartbrew-gateway: ").expect(line))
        .collect()
}

#[tokio::test]
async fn check_prints_every_setting_and_no_secret() {
    let variables = [
        ("CHARTBREW_URL", "https://charts.example.com/api"),
        ("CHARTBREW_TOKEN", SECRET),
        ("GATEWAY_ATTEMPTS", "7"),
    ];
    let ended = run(&["check", "--connect-timeout", "3s"], &variables).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    for line in [
        "CHARTBREW_URL=https://charts.example.com/api",
        "CHARTBREW_TOKEN=(hidden)",
        "CHARTBREW_TOKEN_FILE is not set",
        "GATEWAY_ATTEMPTS=7",
        "GATEWAY_CONNECT_TIMEOUT=3s",
        "GATEWAY_LISTEN=127.0.0.1:50051",
    ] {
        let found = ended.stdout.lines().any(|printed| printed == line);
        assert!(found, "{line} is not in\n{}", ended.stdout);
    }
    assert!(!ended.stdout.contains(SECRET), "{}", ended.stdout);
    let help = run(&["check", "--help"], &variables).await.stdout;
    assert!(!help.contains(SECRET), "{help}");
}

#[tokio::test]
async fn a_variable_that_no_setting_has_is_named() {
    let variables = [
        ("GATEWAY_CALLER_FILE", "/callers.toml"),
        ("CHARTBREW_TOKENS", SECRET),
        // Of Kubernetes' Services `gateway` and `chartbrew`.
        ("GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("GATEWAY_SERVICE_PORT_GRPC", "50051"),
        ("CHARTBREW_PORT", "tcp://10.0.0.2:4019"),
        ("CHARTBREW_PORT_4019_TCP_ADDR", "10.0.0.2"),
    ];
    let ended = run(&["check"], &variables).await;
    let expected = "chartbrew-gateway: CHARTBREW_TOKENS: no setting has this name\n\
                    chartbrew-gateway: GATEWAY_CALLER_FILE: no setting has this name\n";
    assert_eq!((ended.code, &*ended.stderr), (Some(0), expected));
    let mut running = Running::start(&["serve", "--listen", "127.0.0.1:0"], &variables);
    for name in ["CHARTBREW_TOKENS", "GATEWAY_CALLER_FILE"] {
        let line = running.logged("no setting has this name").await;
        assert_eq!(
            (&line["level"], &line["variable"]),
            (&"WARN".into(), &name.into())
        );
    }
    running.logged("serving").await;
}

#[test]
fn check_ends_quietly_if_nobody_reads_on() {
    // What `head -1` does after the first line, here before it.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = gateway(&["check"], &[]).stdout(writer).output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), &*stderr), (Some(0), ""));
}

#[tokio::test]
async fn one_mistake_is_one_line_that_names_its_variable() {
    let own_token = ("CHARTBREW_TOKEN", SECRET);
    let cases: [(&[(&str, &str)], &str); 16] = [
        (&[("CHARTBREW_URL", SECRET)], "CHARTBREW_URL"),
        (&[("CHARTBREW_URL", "ftp://charts")], "CHARTBREW_URL"),
        (
            &[("CHARTBREW_URL", "https://u:not-for-your-eyes@h")],
            "CHARTBREW_URL",
        ),
        (
            &[own_token, ("GATEWAY_LISTEN", "0.0.0.0:50051")],
            "GATEWAY_LISTEN",
        ),
        (
            &[own_token, ("CHARTBREW_TOKEN_FILE", "/dev/null")],
            "CHARTBREW_TOKEN_FILE",
        ),
        (
            &[("CHARTBREW_TOKEN_FILE", "/does/not/exist")],
            "CHARTBREW_TOKEN_FILE",
        ),
        (&[("GATEWAY_ATTEMPTS", "many")], "GATEWAY_ATTEMPTS"),
        (
            &[("GATEWAY_CREATE_DEADLINE", "120")],
            "GATEWAY_CREATE_DEADLINE",
        ),
        (&[("GATEWAY_LOG", "loud")], "GATEWAY_LOG"),
        (&[("GATEWAY_LOG_FORMAT", "xml")], "GATEWAY_LOG_FORMAT"),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", SECRET)],
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
        (
            &[(
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://u:not-for-your-eyes@h",
            )],
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", SECRET)],
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ),
        (&[("OTEL_TRACES_EXPORTER", SECRET)], "OTEL_TRACES_EXPORTER"),
        (&[("OTEL_TRACES_SAMPLER", SECRET)], "OTEL_TRACES_SAMPLER"),
        (&[("OTEL_SDK_DISABLED", SECRET)], "OTEL_SDK_DISABLED"),
    ];
    for (variables, name) in cases {
        for subcommand in ["check", "serve"] {
            let ended = run(&[subcommand], variables).await;
            let lines = mistakes(&ended);
            let [line] = lines.as_slice() else {
                panic!("{variables:?}: {lines:?}");
            };
            assert!(line.starts_with(&format!("{name}: ")), "{line}");
        }
    }
}

#[tokio::test]
async fn all_mistakes_come_at_once() {
    let variables = [
        ("CHARTBREW_URL", SECRET),
        ("GATEWAY_LISTEN", SECRET),
        ("GATEWAY_RETRY_RATIO", "2"),
        ("GATEWAY_WORKER_THREADS", "0"),
    ];
    let ended = run(&["serve"], &variables).await;
    let named: Vec<_> = mistakes(&ended)
        .iter()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(named, variables.map(|(name, _)| name));
}

#[tokio::test]
async fn a_flag_that_is_unknown_is_refused() {
    let ended = run(&["serve", "--lisen", "127.0.0.1:0"], &[]).await;
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""));
    assert!(ended.stderr.contains("--lisen"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_one_line_that_names_the_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();

    let ended = run(&["serve"], &[("GATEWAY_LISTEN", &addr)]).await;
    let expected = format!("GATEWAY_LISTEN: cannot listen on {addr}: ");
    let lines = mistakes(&ended);
    assert!(
        matches!(lines.as_slice(), [line] if line.starts_with(&expected)),
        "{lines:?}"
    );

    let ended = run(&["sandbox", "--listen", &addr], &[]).await;
    let expected = format!("--listen: cannot listen on {addr}: ");
    let lines = mistakes(&ended);
    assert!(
        matches!(lines.as_slice(), [line] if line.starts_with(&expected)),
        "{lines:?}"
    );
}
