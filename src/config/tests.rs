//! From flags to settings.

use clap::Parser;
use tokio::sync::Semaphore;

use super::*;
use crate::{chartbrew, delivery};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

pub(in crate::config) fn read(flags: &[&str]) -> Result<Config, String> {
    let flags = ["gateway"].iter().chain(flags);
    Config::read(&Cli::parse_from(flags).args).map_err(|problems| problems.to_string())
}

/// All but what the environment says of OpenTelemetry.
fn shown(config: &Config) -> String {
    let Config {
        app,
        logs,
        telemetry: _,
        worker_threads,
    } = config;
    format!("{app:?} {logs:?} {worker_threads:?}")
}

/// The variables that have a problem.
fn wrong(flags: &[&str]) -> Vec<String> {
    let problems = read(flags).unwrap_err();
    let variable = |line: &str| line.split(':').next().unwrap().to_owned();
    problems.lines().map(variable).collect()
}

#[test]
fn the_defaults_are_those_of_the_modules() {
    assert_eq!(shown(&read(&[]).unwrap()), shown(&Config::default()));
}

#[test]
fn each_setting_has_a_field_of_its_own() {
    let mut seen = std::collections::BTreeSet::from([format!("{:?}", Config::default())]);
    for setting in table::GROUPS.iter().flat_map(|group| group.settings) {
        let text = match setting.value_name {
            "COUNT" | "BYTES" => "7",
            "DURATION" => "7s",
            "SHARE" => "0.7",
            "ADDR:PORT" => "127.0.0.1:7",
            _ => continue,
        };
        let mut config = Config::default();
        (setting.set)(&mut config, text).unwrap();
        assert!(seen.insert(format!("{config:?}")), "{}", setting.variable);
    }
}

#[test]
fn all_problems_are_reported_at_once_by_their_variables() {
    let wrong = wrong(&[
        "--chartbrew-url=ftp://h",
        "--connect-timeout=2",
        "--attempts=0",
        "--retry-ratio=1.5",
        "--listen=localhost",
        "--max-file-bytes=1048577",
        "--request-id-store=disk",
        "--log=a=b=c",
        "--log-format=xml",
        "--worker-threads=many",
        "--chartbrew-token=with space",
        "--chartbrew-token-file=/dev/null",
    ]);
    let expected = [
        "CHARTBREW_URL",
        "CHARTBREW_TOKEN",
        "CHARTBREW_TOKEN_FILE",
        "GATEWAY_CONNECT_TIMEOUT",
        "GATEWAY_LISTEN",
        "GATEWAY_ATTEMPTS",
        "GATEWAY_RETRY_RATIO",
        "GATEWAY_REQUEST_ID_STORE",
        "GATEWAY_MAX_FILE_BYTES",
        "GATEWAY_LOG",
        "GATEWAY_LOG_FORMAT",
        "GATEWAY_WORKER_THREADS",
    ];
    assert_eq!(wrong, expected);
}

#[test]
fn an_empty_text_leaves_unset_what_has_no_default() {
    let config = read(&[
        "--chartbrew-token=",
        "--chartbrew-token-file=",
        "--log-format=",
        "--worker-threads=",
        "--admin-remote-log=",
    ]);
    assert_eq!(shown(&config.unwrap()), shown(&Config::default()));
    let config = read(&["--chartbrew-token=marker", "--chartbrew-token-file="]).unwrap();
    assert!(config.app.grpc.own_token.is_some());
    assert_eq!(
        wrong(&["--attempts=", "--listen="]),
        ["GATEWAY_LISTEN", "GATEWAY_ATTEMPTS"]
    );
}

#[test]
fn numbers_that_would_make_the_start_panic_are_problems() {
    let largest = usize::MAX;
    let wrong = wrong(&[
        "--retries-per-second=2147483647",
        &format!("--max-in-flight={largest}"),
        "--worker-threads=99999999",
    ]);
    let expected = [
        "GATEWAY_RETRIES_PER_SECOND",
        "GATEWAY_MAX_IN_FLIGHT",
        "GATEWAY_WORKER_THREADS",
    ];
    assert_eq!(wrong, expected);
    // The largest that are none do start.
    let most = Semaphore::MAX_PERMITS;
    let config = read(&[
        "--retries-per-second=2147483646",
        &format!("--max-in-flight={most}"),
    ])
    .unwrap();
    let client = chartbrew::Client::new(&config.app.chartbrew).unwrap();
    let store = delivery::request_id::Store::Memory(Default::default());
    drop(delivery::Delivery::new(
        config.app.delivery,
        client,
        String::new(),
        store,
    ));
}

#[test]
fn a_token_of_its_own_keeps_it_on_loopback() {
    let token = "--chartbrew-token=marker";
    assert!(read(&[token, "--listen=127.0.0.1:1"]).is_ok());
    assert!(read(&[token, "--listen=[::1]:1"]).is_ok());
    assert!(read(&["--listen=0.0.0.0:1"]).is_ok());
    let problem = read(&[token, "--listen=0.0.0.0:1"]).unwrap_err();
    assert!(
        problem.starts_with("GATEWAY_LISTEN: must be a loopback"),
        "{problem}"
    );
    assert!(!problem.contains("marker"));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let cases = [
        "--chartbrew-url=https://u:marker@h",
        "--chartbrew-url=marker",
        "--chartbrew-token=marker ä",
        "--chartbrew-token-file=marker",
        "--listen=marker",
        "--attempts=marker",
        "--retry-ratio=marker",
        "--connect-timeout=marker",
        "--request-id-store=marker",
        "--request-id-store=redis://u:marker@h/x",
        "--log=marker=marker=marker",
        "--log-format=marker",
        "--admin-listen=marker",
        "--admin-remote-log=marker",
    ];
    for flag in cases {
        let problem = read(&[flag]).unwrap_err();
        assert!(!problem.contains("marker"), "{flag}: {problem}");
    }
    for flag in [
        "--chartbrew-token=marker",
        "--request-id-store=rediss://u:marker@h",
    ] {
        let config = read(&[flag]).unwrap();
        assert!(!format!("{config:?}").contains("marker"), "{flag}");
        let args = Cli::parse_from(["gateway", flag]).args;
        let lines = args.lines().join("\n");
        assert!(!format!("{args:?}{lines}").contains("marker"), "{flag}");
    }
}
