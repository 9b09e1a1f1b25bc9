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
    let client = chartbrew::Client::new(&config.app.chartbrew, config.app.reload_interval).unwrap();
    let store = delivery::request_id::Store::Memory(Default::default());
    drop(delivery::Delivery::new(
        config.app.delivery,
        client,
        String::new(),
        store,
    ));
}

/// Files with a certificate, its key, and a caller. Removed when dropped.
struct Files(std::path::PathBuf);

impl Files {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("config-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        let files = Self(path);
        let pair = rcgen::generate_simple_self_signed(["gateway.example".to_owned()]).unwrap();
        std::fs::write(files.0.join("cert"), pair.cert.pem()).unwrap();
        std::fs::write(files.0.join("key"), pair.signing_key.serialize_pem()).unwrap();
        let caller = format!(
            "[[caller]]\nname = \"a\"\ntoken_sha256 = [\"{}\"]\n",
            "0".repeat(64)
        );
        std::fs::write(files.0.join("callers"), caller).unwrap();
        std::fs::write(files.0.join("garbage"), "marker").unwrap();
        files
    }

    /// Flags, each `--name` or `--name=file`, with the directory in front of the file.
    fn problems(&self, flags: &[&str]) -> String {
        let with_path = |flag: &&str| match flag.split_once("=@") {
            Some((name, file)) => format!("{name}={}", self.0.join(file).display()),
            None => (*flag).to_owned(),
        };
        let flags: Vec<_> = flags.iter().map(with_path).collect();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let problems = read(&flags).err().unwrap_or_default();
        assert!(!problems.contains("marker") && !problems.contains(&*self.0.to_string_lossy()));
        problems
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn who_may_call_must_be_said_and_tokens_must_not_come_in_clear() {
    const TOKEN: &str = "--chartbrew-token=marker";
    const EVERYWHERE: &str = "--listen=0.0.0.0:1";
    const CALLERS: &str = "--callers-file=@callers";
    const CERT: &str = "--tls-cert=@cert";
    const KEY: &str = "--tls-key=@key";
    const CA: &str = "--tls-client-ca=@cert";
    const NAMES: &str = "--tls-client-names=billing.example, spiffe://example/billing";
    const CLEAR: &str = "--allow-plaintext=true";
    let who = "GATEWAY_LISTEN: is not a loopback address, and every caller would act";
    let clear = "GATEWAY_LISTEN: is not a loopback address, and callers' tokens would arrive";
    let cases: [(&[&str], &str); 22] = [
        (
            &["--chartbrew-token-file=@marker", CALLERS],
            "CHARTBREW_TOKEN_FILE: cannot be read",
        ),
        (&[TOKEN, "--listen=127.0.0.1:1"], ""),
        (&[TOKEN, "--listen=[::1]:1"], ""),
        (&[EVERYWHERE], ""),
        (&[EVERYWHERE, CERT, KEY], ""),
        (&[TOKEN, EVERYWHERE], who),
        (&[TOKEN, "--listen=[::]:1"], who),
        (&[TOKEN, EVERYWHERE, CLEAR], who),
        (&[TOKEN, EVERYWHERE, CERT, KEY], who),
        // Whoever has any certificate of the authority is nobody in particular.
        (&[TOKEN, EVERYWHERE, CERT, KEY, CA], who),
        (&[TOKEN, EVERYWHERE, CERT, KEY, CA, NAMES], ""),
        (&[TOKEN, EVERYWHERE, CERT, KEY, CALLERS], ""),
        (&[TOKEN, EVERYWHERE, CALLERS], clear),
        (&[TOKEN, EVERYWHERE, CALLERS, CLEAR], ""),
        (
            &[CALLERS],
            "GATEWAY_CALLERS_FILE: is for a gateway with a token of its own",
        ),
        (&[CERT], "GATEWAY_TLS_KEY: is needed with GATEWAY_TLS_CERT"),
        (&[KEY], "GATEWAY_TLS_CERT: is needed with GATEWAY_TLS_KEY"),
        (&[CA], "GATEWAY_TLS_CLIENT_CA: needs GATEWAY_TLS_CERT"),
        (
            &[CERT, KEY, NAMES],
            "GATEWAY_TLS_CLIENT_NAMES: needs GATEWAY_TLS_CLIENT_CA",
        ),
        (
            &[CERT, "--tls-key=@garbage"],
            "GATEWAY_TLS_KEY: contains no unencrypted private key",
        ),
        (
            &["--tls-cert=@marker", KEY],
            "GATEWAY_TLS_CERT: cannot be read: No such file",
        ),
        (
            &[TOKEN, "--callers-file=@garbage"],
            "GATEWAY_CALLERS_FILE: line 1: is not valid TOML",
        ),
    ];
    let files = Files::new();
    for (flags, expected) in cases {
        let found = files.problems(flags);
        let is_it = found.starts_with(expected) && found.is_empty() == expected.is_empty();
        assert!(is_it && found.lines().count() <= 1, "{flags:?}: {found}");
    }
    let both = files.problems(&[TOKEN, EVERYWHERE]);
    assert!(
        both.contains("; and callers' tokens would arrive in clear"),
        "{both}"
    );
    let wildcard = files.problems(&[CERT, KEY, CA, "--tls-client-names=*.example"]);
    assert!(wildcard.starts_with("GATEWAY_TLS_CLIENT_NAMES: each must be a DNS name"));
}

#[test]
fn chartbrew_on_another_machine_is_not_called_in_clear() {
    let remote = "--chartbrew-url=http://chartbrew:4019";
    let problem = read(&[remote]).unwrap_err();
    assert!(
        problem.starts_with("CHARTBREW_URL: is http://"),
        "{problem}"
    );
    assert!(
        problem.contains("CHARTBREW_ALLOW_PLAINTEXT=true"),
        "{problem}"
    );
    assert!(!problem.contains("4019"), "{problem}");
    let no = "--chartbrew-allow-plaintext=false";
    assert_eq!(wrong(&[remote, no]), ["CHARTBREW_URL"]);
    assert!(read(&[remote, "--chartbrew-allow-plaintext=true"]).is_ok());
    assert!(read(&["--chartbrew-url=http://localhost:4019"]).is_ok());
    assert!(read(&["--chartbrew-url=https://chartbrew:4019"]).is_ok());
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
