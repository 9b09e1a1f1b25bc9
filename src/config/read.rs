//! Text → settings, with all mistakes.

use std::{fmt::Display, net::SocketAddr, str::FromStr, time::Duration};

use jiff::SignedDuration;
use tokio::sync::Semaphore;
use url::Url;

use super::{Args, Config, Mistake, Mistakes, telemetry::Told};
use crate::{
    app, chartbrew,
    chartbrew::Token,
    convert::Limits,
    delivery::{self, Backoff, BreakerSettings, request_id::StoreSettings},
    grpc,
    telemetry::{Format, Logs},
};

/// Above it Chartbrew never answers an upload, and crashes when the client hangs up.
const FILE_CEILING: usize = 1_048_576;
/// Above it tower's budget panics.
const RETRIES_CEILING: u32 = i32::MAX as u32 - 1;

/// More threads than any machine has cores: a start with them would not come to its end.
const THREADS_CEILING: usize = 4096;

/// The longest duration: no clock overflows by it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Collects what is wrong and goes on with whatever parses.
#[derive(Default)]
pub(super) struct Reader {
    mistakes: Vec<Mistake>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// All that is wrong with them, not only the first.
    pub fn read(args: Args) -> Result<Self, Mistakes> {
        let mut reader = Reader::default();
        let config = reader.config(args);
        match (config, reader.mistakes) {
            (Some(config), mistakes) if mistakes.is_empty() => Ok(config),
            (_, mistakes) => Err(Mistakes(mistakes)),
        }
    }
}

/// The text with the password hidden, if it is a URL that has one.
#[must_use]
pub fn without_password(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => match url.set_password(Some("(hidden)")) {
            Ok(()) => url.into(),
            Err(()) => "(hidden)".to_owned(),
        },
        Ok(_) | Err(_) => text.to_owned(),
    }
}

// === impl Reader ===

impl Reader {
    fn config(&mut self, args: Args) -> Option<Config> {
        // Without `..`: a new setting that nobody reads does not compile.
        let Args {
            chartbrew_url,
            chartbrew_token,
            chartbrew_token_file,
            connect_timeout,
            idle_timeout,
            max_answer_bytes,
            listen,
            max_message_bytes,
            max_streams,
            create_deadline,
            max_connections,
            handshake_timeout,
            message_timeout,
            shutdown_delay,
            shutdown_grace,
            attempts,
            backoff,
            backoff_max,
            retry_ratio,
            retries_per_second,
            circuit_failures,
            circuit_probe,
            max_in_flight,
            recovery_window,
            abandoned_after,
            max_abandoned,
            request_id_store,
            max_name_chars,
            max_body_bytes,
            max_encrypted_bytes,
            max_file_bytes,
            log,
            log_format,
            worker_threads,
            telemetry,
        } = args;

        let url = self.url("CHARTBREW_URL", &chartbrew_url);
        let own_token = self.own_token(chartbrew_token, chartbrew_token_file);
        let connect_timeout = self.duration("GATEWAY_CONNECT_TIMEOUT", &connect_timeout);
        let idle_timeout = self.duration("GATEWAY_IDLE_TIMEOUT", &idle_timeout);
        let max_answer_bytes = self.count("GATEWAY_MAX_ANSWER_BYTES", &max_answer_bytes);
        let listen = self.listen("GATEWAY_LISTEN", &listen, own_token.is_some());
        let max_message_bytes = self.count("GATEWAY_MAX_MESSAGE_BYTES", &max_message_bytes);
        let max_streams = self.count("GATEWAY_MAX_STREAMS", &max_streams);
        let create_deadline = self.duration("GATEWAY_CREATE_DEADLINE", &create_deadline);
        let max_connections = self.count_to(
            "GATEWAY_MAX_CONNECTIONS",
            &max_connections,
            Semaphore::MAX_PERMITS,
        );
        let handshake_timeout = self.duration("GATEWAY_HANDSHAKE_TIMEOUT", &handshake_timeout);
        let message_timeout = self.duration("GATEWAY_MESSAGE_TIMEOUT", &message_timeout);
        let shutdown_delay = self.duration_or_zero("GATEWAY_SHUTDOWN_DELAY", &shutdown_delay);
        let shutdown_grace = self.duration("GATEWAY_SHUTDOWN_GRACE", &shutdown_grace);
        let attempts = self.count("GATEWAY_ATTEMPTS", &attempts);
        let base = self.duration("GATEWAY_BACKOFF", &backoff);
        let cap = self.duration("GATEWAY_BACKOFF_MAX", &backoff_max);
        let retry_ratio = self.share("GATEWAY_RETRY_RATIO", &retry_ratio);
        let retries_per_second = self.count_to(
            "GATEWAY_RETRIES_PER_SECOND",
            &retries_per_second,
            RETRIES_CEILING,
        );
        let failures = self.count("GATEWAY_CIRCUIT_FAILURES", &circuit_failures);
        let probe_after = self.duration("GATEWAY_CIRCUIT_PROBE", &circuit_probe);
        let max_in_flight = self.count_to(
            "GATEWAY_MAX_IN_FLIGHT",
            &max_in_flight,
            Semaphore::MAX_PERMITS,
        );
        let recovery_window = self.duration("GATEWAY_RECOVERY_WINDOW", &recovery_window);
        let abandoned_after = self.duration("GATEWAY_ABANDONED_AFTER", &abandoned_after);
        let max_abandoned = self.count("GATEWAY_MAX_ABANDONED", &max_abandoned);
        let request_id_store = self.store("GATEWAY_REQUEST_ID_STORE", &request_id_store);
        let name_chars = self.count("GATEWAY_MAX_NAME_CHARS", &max_name_chars);
        let body_bytes = self.count("GATEWAY_MAX_BODY_BYTES", &max_body_bytes);
        let encrypted = self.count("GATEWAY_MAX_ENCRYPTED_BYTES", &max_encrypted_bytes);
        let file_bytes = self.file_bytes("GATEWAY_MAX_FILE_BYTES", &max_file_bytes);
        let logs = self.logs(log, log_format.as_deref());
        let told = self.telemetry(telemetry);
        let worker_threads = match worker_threads.filter(|text| !text.is_empty()) {
            Some(text) => {
                let threads = self.count_to("GATEWAY_WORKER_THREADS", &text, THREADS_CEILING);
                threads.map(Some)
            }
            None => Some(None),
        };

        let Told { admin, telemetry } = told?;
        Some(Config {
            app: app::Settings {
                listen: listen?,
                admin,
                grpc: grpc::Settings {
                    max_message_bytes: max_message_bytes?,
                    max_streams: max_streams?,
                    max_connections: max_connections?,
                    handshake_timeout: handshake_timeout?,
                    message_timeout: message_timeout?,
                    shutdown_delay: shutdown_delay?,
                    shutdown_grace: shutdown_grace?,
                    create_deadline: create_deadline?,
                    limits: Limits {
                        name_chars: name_chars?,
                        body_bytes: body_bytes?,
                        encrypted_text_bytes: encrypted?,
                        file_bytes: file_bytes?,
                        ..Limits::default()
                    },
                    own_token,
                },
                delivery: delivery::Settings {
                    attempts: attempts?,
                    backoff: Backoff {
                        base: base?,
                        cap: cap?,
                    },
                    retry_ratio: retry_ratio?,
                    retries_per_second: retries_per_second?,
                    breaker: BreakerSettings {
                        failures: failures?,
                        probe_after: probe_after?,
                    },
                    max_in_flight: max_in_flight?,
                    recovery_window: recovery_window?,
                    abandoned_after: abandoned_after?,
                    max_abandoned: max_abandoned?,
                },
                chartbrew: chartbrew::Settings {
                    url: url?,
                    connect_timeout: connect_timeout?,
                    idle_timeout: idle_timeout?,
                    max_answer_bytes: max_answer_bytes?,
                },
                request_id_store: request_id_store?,
            },
            logs: logs?,
            telemetry,
            worker_threads: worker_threads?,
        })
    }

    pub(super) fn wrong<T>(
        &mut self,
        variable: &'static str,
        problem: impl Into<String>,
    ) -> Option<T> {
        let problem = problem.into();
        self.mistakes.push(Mistake { variable, problem });
        None
    }

    fn url(&mut self, variable: &'static str, text: &str) -> Option<Url> {
        let Ok(url) = Url::parse(text) else {
            return self.wrong(variable, "must be a URL, such as https://api.chartbrew.com");
        };
        if !url.username().is_empty() || url.password().is_some() {
            return self.wrong(variable, "must not hold a user or a password");
        }
        match chartbrew::check_url(&url) {
            Ok(()) => Some(url),
            Err(error) => self.wrong(variable, error.to_string()),
        }
    }

    fn store(&mut self, variable: &'static str, text: &str) -> Option<StoreSettings> {
        match StoreSettings::parse(text) {
            Ok(store) => Some(store),
            Err(error) => self.wrong(variable, error.to_string()),
        }
    }

    /// Whole numbers greater than 0.
    pub(super) fn count<T: FromStr + Default + PartialEq>(
        &mut self,
        variable: &'static str,
        text: &str,
    ) -> Option<T> {
        match text.trim().parse::<T>() {
            Ok(count) if count != T::default() => Some(count),
            _ => self.wrong(variable, "must be a whole number greater than 0"),
        }
    }

    /// Whole numbers greater than 0, up to a ceiling.
    fn count_to<T: FromStr + Default + PartialOrd + Display + Copy>(
        &mut self,
        variable: &'static str,
        text: &str,
        ceiling: T,
    ) -> Option<T> {
        let count = self.count(variable, text)?;
        if count > ceiling {
            return self.wrong(variable, format!("must be at most {ceiling}"));
        }
        Some(count)
    }

    fn file_bytes(&mut self, variable: &'static str, text: &str) -> Option<usize> {
        let bytes = self.count(variable, text)?;
        if bytes > FILE_CEILING {
            return self.wrong(variable, "must be at most 1048576: more crashes Chartbrew");
        }
        Some(bytes)
    }

    fn share(&mut self, variable: &'static str, text: &str) -> Option<f32> {
        match text.trim().parse::<f32>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Some(share),
            _ => self.wrong(variable, "must be a number from 0 to 1"),
        }
    }

    fn duration(&mut self, variable: &'static str, text: &str) -> Option<Duration> {
        match self.duration_or_zero(variable, text)? {
            Duration::ZERO => self.wrong(variable, "must be greater than 0, such as 500ms or 2s"),
            duration => Some(duration),
        }
    }

    fn duration_or_zero(&mut self, variable: &'static str, text: &str) -> Option<Duration> {
        let duration = text.trim().parse::<SignedDuration>().ok();
        match duration.map(Duration::try_from) {
            Some(Ok(duration)) if duration <= LONGEST => Some(duration),
            Some(Ok(_)) => self.wrong(variable, "must be at most 8760h, a year"),
            _ => self.wrong(variable, "must be a duration, such as 500ms or 2s"),
        }
    }

    fn listen(
        &mut self,
        variable: &'static str,
        text: &str,
        own_token: bool,
    ) -> Option<SocketAddr> {
        let Ok(addr) = text.trim().parse::<SocketAddr>() else {
            return self.wrong(
                variable,
                "must be an IP address and a port: 127.0.0.1:50051",
            );
        };
        if own_token && !addr.ip().is_loopback() {
            return self.wrong(
                variable,
                "must be a loopback address while the gateway has a token of its own, since \
                 whoever reaches it would act with that token",
            );
        }
        Some(addr)
    }

    fn own_token(&mut self, token: Option<String>, file: Option<String>) -> Option<Token> {
        const VARIABLE: &str = "CHARTBREW_TOKEN";
        const FILE: &str = "CHARTBREW_TOKEN_FILE";
        let given = |text: &String| !text.is_empty();
        let (variable, text) = match (token.filter(given), file.filter(given)) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                return self.wrong(FILE, "cannot be set together with CHARTBREW_TOKEN");
            }
            (Some(token), None) => (VARIABLE, token),
            (None, Some(path)) => match std::fs::read_to_string(path) {
                Ok(text) => (FILE, text),
                Err(error) => return self.wrong(FILE, format!("cannot be read: {error}")),
            },
        };
        match Token::parse(text.trim()) {
            Ok(token) => Some(token),
            Err(error) => self.wrong(variable, error.to_string()),
        }
    }

    fn logs(&mut self, filter: String, format: Option<&str>) -> Option<Logs> {
        let format = match format.map(str::trim) {
            None | Some("") => Format::of_stderr(),
            Some("text") => Format::Text,
            Some("json") => Format::Json,
            Some(_) => return self.wrong("GATEWAY_LOG_FORMAT", "must be text or json"),
        };
        let logs = Logs { filter, format };
        match logs.check() {
            Ok(()) => Some(logs),
            Err(error) => self.wrong("GATEWAY_LOG", format!("is no filter: {error}")),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    pub(in crate::config) fn read(flags: &[&str]) -> Result<Config, String> {
        let flags = ["gateway"].iter().chain(flags);
        Config::read(Cli::parse_from(flags).args).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_rooms() {
        let config = read(&[]).unwrap();
        let expected = app::Settings::default();
        assert_eq!(format!("{:?}", config.app), format!("{expected:?}"));
    }

    #[test]
    fn all_mistakes_are_reported_at_once_by_their_variables() {
        let mistakes = read(&[
            "--chartbrew-url=ftp://h",
            "--connect-timeout=2",
            "--attempts=0",
            "--retry-ratio=1.5",
            "--listen=localhost",
            "--max-file-bytes=1048577",
            "--request-id-store=disk",
            "--log-format=xml",
            "--worker-threads=many",
            "--chartbrew-token=with space",
        ])
        .unwrap_err();
        let variables: Vec<_> = mistakes
            .lines()
            .map(|line| line.split(':').next().unwrap())
            .collect();
        assert_eq!(
            variables,
            [
                "CHARTBREW_URL",
                "CHARTBREW_TOKEN",
                "GATEWAY_CONNECT_TIMEOUT",
                "GATEWAY_LISTEN",
                "GATEWAY_ATTEMPTS",
                "GATEWAY_RETRY_RATIO",
                "GATEWAY_REQUEST_ID_STORE",
                "GATEWAY_MAX_FILE_BYTES",
                "GATEWAY_LOG_FORMAT",
                "GATEWAY_WORKER_THREADS",
            ]
        );
    }

    #[test]
    fn numbers_that_would_make_the_start_panic_are_mistakes() {
        let largest = usize::MAX;
        let mistakes = read(&[
            "--retries-per-second=2147483647",
            &format!("--max-in-flight={largest}"),
            "--worker-threads=99999999",
        ])
        .unwrap_err();
        let variables: Vec<_> = mistakes
            .lines()
            .map(|line| line.split(':').next().unwrap())
            .collect();
        let expected = [
            "GATEWAY_RETRIES_PER_SECOND",
            "GATEWAY_MAX_IN_FLIGHT",
            "GATEWAY_WORKER_THREADS",
        ];
        assert_eq!(variables, expected);
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
        let mistake = read(&[token, "--listen=0.0.0.0:1"]).unwrap_err();
        assert!(
            mistake.starts_with("GATEWAY_LISTEN: must be a loopback"),
            "{mistake}"
        );
        assert!(!mistake.contains("marker"));
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        let cases = [
            "--chartbrew-url=https://u:marker@h",
            "--chartbrew-url=marker",
            "--chartbrew-token=marker ä",
            "--listen=marker",
            "--attempts=marker",
            "--connect-timeout=marker",
            "--request-id-store=marker",
            "--request-id-store=redis://u:marker@h/x",
        ];
        for flag in cases {
            let mistake = read(&[flag]).unwrap_err();
            assert!(!mistake.contains("marker"), "{flag}: {mistake}");
        }
        for flag in [
            "--chartbrew-token=marker",
            "--request-id-store=rediss://u:marker@h",
        ] {
            let config = read(&[flag]).unwrap();
            assert!(!format!("{config:?}").contains("marker"), "{flag}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        let cases = [
            ("memory", "memory"),
            ("redis://h:1/2", "redis://h:1/2"),
            ("redis://u:marker@h:1/2", "redis://u:(hidden)@h:1/2"),
            ("rediss://:marker@h", "rediss://:(hidden)@h"),
        ];
        for (text, shown) in cases {
            assert_eq!(without_password(text), shown);
        }
    }
}
