//! The settings as clap sees them. The doc comments are the reference that `--help` prints.

use super::telemetry::TelemetryArgs;

const UPSTREAM: &str = "Chartbrew";
const SERVING: &str = "Serving";
const DELIVERY: &str = "Delivery";
const LIMITS: &str = "Limits of requests";
const PROCESS: &str = "Process";

/// Variables whose values are never shown.
pub const SECRETS: [&str; 1] = ["CHARTBREW_TOKEN"];

/// Variables whose values may be URLs with a password.
pub const WITH_PASSWORD: [&str; 1] = ["GATEWAY_REQUEST_ID_STORE"];

/// Settings of the gateway. Durations are written with a unit: `500ms`, `2s`, `1m`.
#[derive(Clone, clap::Args)]
pub struct Args {
    /// Where Chartbrew answers: http:// or https://, with a path if its API has one.
    #[arg(long, env = "CHARTBREW_URL", value_name = "URL", help_heading = UPSTREAM)]
    #[arg(default_value = "https://api.chartbrew.com")]
    pub(super) chartbrew_url: String,

    /// A Chartbrew token of the gateway's own. Unset: each caller's token is forwarded. With it
    /// the gateway listens on loopback only, since it does not authenticate callers.
    #[arg(long, env = "CHARTBREW_TOKEN", value_name = "TOKEN", help_heading = UPSTREAM)]
    pub(super) chartbrew_token: Option<String>,

    /// A file that holds that token, in place of CHARTBREW_TOKEN.
    #[arg(long, env = "CHARTBREW_TOKEN_FILE", value_name = "PATH", help_heading = UPSTREAM)]
    pub(super) chartbrew_token_file: Option<String>,

    /// Limit of one attempt to connect to Chartbrew, name resolution and TLS included.
    #[arg(long, env = "GATEWAY_CONNECT_TIMEOUT", value_name = "DURATION", help_heading = UPSTREAM)]
    #[arg(default_value = "2s")]
    pub(super) connect_timeout: String,

    /// How long an idle connection to Chartbrew is kept. Chartbrew closes it after 5 s; keep this
    /// shorter than whatever closes it first.
    #[arg(long, env = "GATEWAY_IDLE_TIMEOUT", value_name = "DURATION", help_heading = UPSTREAM)]
    #[arg(default_value = "4s")]
    pub(super) idle_timeout: String,

    /// Largest response of Chartbrew's that is read, in bytes. It may hold a database's schema.
    #[arg(long, env = "GATEWAY_MAX_ANSWER_BYTES", value_name = "BYTES", help_heading = UPSTREAM)]
    #[arg(default_value = "16777216")]
    pub(super) max_answer_bytes: String,

    /// Where callers connect (gRPC without TLS).
    #[arg(long, env = "GATEWAY_LISTEN", value_name = "ADDR:PORT", help_heading = SERVING)]
    #[arg(default_value = "127.0.0.1:50051")]
    pub(super) listen: String,

    /// Largest request message, in bytes, decompressed. Four files of 1 MiB and a body fit in.
    #[arg(long, env = "GATEWAY_MAX_MESSAGE_BYTES", value_name = "BYTES", help_heading = SERVING)]
    #[arg(default_value = "5242880")]
    pub(super) max_message_bytes: String,

    /// Calls at once on one connection.
    #[arg(long, env = "GATEWAY_MAX_STREAMS", value_name = "COUNT", help_heading = SERVING)]
    #[arg(default_value = "256")]
    pub(super) max_streams: String,

    /// Deadline of a Create whose caller sets none.
    #[arg(long, env = "GATEWAY_CREATE_DEADLINE", value_name = "DURATION", help_heading = SERVING)]
    #[arg(default_value = "120s")]
    pub(super) create_deadline: String,

    /// Connections of callers at once. More are closed as soon as they are made.
    #[arg(long, env = "GATEWAY_MAX_CONNECTIONS", value_name = "COUNT", help_heading = SERVING)]
    #[arg(default_value = "10000")]
    pub(super) max_connections: String,

    /// How long a connection may take for its preface, and for the header block of each call.
    #[arg(long, env = "GATEWAY_HANDSHAKE_TIMEOUT", value_name = "DURATION", help_heading = SERVING)]
    #[arg(default_value = "10s")]
    pub(super) handshake_timeout: String,

    /// How long a call's message may take to arrive.
    #[arg(long, env = "GATEWAY_MESSAGE_TIMEOUT", value_name = "DURATION", help_heading = SERVING)]
    #[arg(default_value = "30s")]
    pub(super) message_timeout: String,

    /// How long calls are still taken after SIGTERM or SIGINT, while health says NOT_SERVING: load
    /// balancers need some seconds to learn of it. 0s: not at all.
    #[arg(long, env = "GATEWAY_SHUTDOWN_DELAY", value_name = "DURATION", help_heading = SERVING)]
    #[arg(default_value = "5s")]
    pub(super) shutdown_delay: String,

    /// How long calls under way may go on after that. A second signal ends at once.
    #[arg(long, env = "GATEWAY_SHUTDOWN_GRACE", value_name = "DURATION", help_heading = SERVING)]
    #[arg(default_value = "120s")]
    pub(super) shutdown_grace: String,

    /// How often a request is sent to Chartbrew at most, the first time included. Only what has
    /// certainly not taken effect is sent again.
    #[arg(long, env = "GATEWAY_ATTEMPTS", value_name = "COUNT", help_heading = DELIVERY)]
    #[arg(default_value = "3")]
    pub(super) attempts: String,

    /// Longest wait before the second attempt; it doubles for each one after it. Full jitter.
    #[arg(long, env = "GATEWAY_BACKOFF", value_name = "DURATION", help_heading = DELIVERY)]
    #[arg(default_value = "100ms")]
    pub(super) backoff: String,

    /// Longest wait between attempts.
    #[arg(long, env = "GATEWAY_BACKOFF_MAX", value_name = "DURATION", help_heading = DELIVERY)]
    #[arg(default_value = "5s")]
    pub(super) backoff_max: String,

    /// Retries allowed, as a share of the calls, from 0 to 1.
    #[arg(long, env = "GATEWAY_RETRY_RATIO", value_name = "SHARE", help_heading = DELIVERY)]
    #[arg(default_value = "0.2")]
    pub(super) retry_ratio: String,

    /// Retries allowed a second, whatever the share.
    #[arg(long, env = "GATEWAY_RETRIES_PER_SECOND", value_name = "COUNT", help_heading = DELIVERY)]
    #[arg(default_value = "10")]
    pub(super) retries_per_second: String,

    /// Failures in a row to reach Chartbrew (no connection, 503) that open the circuit.
    #[arg(long, env = "GATEWAY_CIRCUIT_FAILURES", value_name = "COUNT", help_heading = DELIVERY)]
    #[arg(default_value = "5")]
    pub(super) circuit_failures: String,

    /// How long an open circuit waits before it lets one call through as a probe.
    #[arg(long, env = "GATEWAY_CIRCUIT_PROBE", value_name = "DURATION", help_heading = DELIVERY)]
    #[arg(default_value = "5s")]
    pub(super) circuit_probe: String,

    /// Calls under way at once. More are refused at once.
    #[arg(long, env = "GATEWAY_MAX_IN_FLIGHT", value_name = "COUNT", help_heading = DELIVERY)]
    #[arg(default_value = "1024")]
    pub(super) max_in_flight: String,

    /// How long a connection is looked for after the response to its creation was lost.
    #[arg(long, env = "GATEWAY_RECOVERY_WINDOW", value_name = "DURATION", help_heading = DELIVERY)]
    #[arg(default_value = "30s")]
    pub(super) recovery_window: String,

    /// How long the response to a create with a request_id is waited for once its caller is gone.
    /// Without a request_id: GATEWAY_RECOVERY_WINDOW.
    #[arg(long, env = "GATEWAY_ABANDONED_AFTER", value_name = "DURATION", help_heading = DELIVERY)]
    #[arg(default_value = "1h")]
    pub(super) abandoned_after: String,

    /// Creates that are waited for at once although their callers are gone. The oldest is given up
    /// for a newer one.
    #[arg(long, env = "GATEWAY_MAX_ABANDONED", value_name = "COUNT", help_heading = DELIVERY)]
    #[arg(default_value = "1024")]
    pub(super) max_abandoned: String,

    /// Where request ids are kept: memory (of this process), or a Redis or Valkey that several
    /// gateways share: redis://user:password@host:6379/0, all but the host optional; rediss:// for
    /// TLS.
    #[arg(long, env = "GATEWAY_REQUEST_ID_STORE", value_name = "STORE", help_heading = DELIVERY)]
    #[arg(default_value = "memory", hide_env_values = true)]
    pub(super) request_id_store: String,

    /// Longest name, in characters (the width of Chartbrew's column).
    #[arg(long, env = "GATEWAY_MAX_NAME_CHARS", value_name = "COUNT", help_heading = LIMITS)]
    #[arg(default_value = "255")]
    pub(super) max_name_chars: String,

    /// Largest JSON body sent to Chartbrew, in bytes. It answers 413 above its own limit.
    #[arg(long, env = "GATEWAY_MAX_BODY_BYTES", value_name = "BYTES", help_heading = LIMITS)]
    #[arg(default_value = "102400")]
    pub(super) max_body_bytes: String,

    /// Largest text that Chartbrew encrypts (options, password, …), in bytes before encryption.
    #[arg(long, env = "GATEWAY_MAX_ENCRYPTED_BYTES", value_name = "BYTES", help_heading = LIMITS)]
    #[arg(default_value = "32735")]
    pub(super) max_encrypted_bytes: String,

    /// Largest file, in bytes, at most 1048576: a larger one crashes Chartbrew.
    #[arg(long, env = "GATEWAY_MAX_FILE_BYTES", value_name = "BYTES", help_heading = LIMITS)]
    #[arg(default_value = "1048576")]
    pub(super) max_file_bytes: String,

    /// What is logged: a level (error, warn, info, debug, trace) or an env-filter.
    #[arg(long, env = "GATEWAY_LOG", value_name = "FILTER", help_heading = PROCESS)]
    #[arg(default_value = "info")]
    pub(super) log: String,

    /// How lines of the log look: text or json. Unset: text on a terminal, else json.
    #[arg(long, env = "GATEWAY_LOG_FORMAT", value_name = "FORMAT", help_heading = PROCESS)]
    pub(super) log_format: Option<String>,

    /// Threads that serve calls. Unset: one a core.
    #[arg(long, env = "GATEWAY_WORKER_THREADS", value_name = "COUNT", help_heading = PROCESS)]
    pub(super) worker_threads: Option<String>,

    #[command(flatten)]
    pub(super) telemetry: TelemetryArgs,
}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Args").finish_non_exhaustive()
    }
}
