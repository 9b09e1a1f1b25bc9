//! Every setting of the gateway but those of OpenTelemetry.
//!
//! Durations are written with a unit: `500ms`, `2s`, `1h`.

use super::{
    parse::{
        address, address_or_off, count, count_to, duration, duration_or_zero, log_filter,
        log_format, share, store, switch, token, token_file, url,
    },
    setting::{Group, groups},
    shown::{hidden, without_password},
};

/// Above it tokio's semaphore panics.
const MAX_PERMITS: usize = tokio::sync::Semaphore::MAX_PERMITS;

/// Above it tower's retry budget panics.
const MAX_RETRIES: usize = i32::MAX as usize - 1;

/// More than any machine has cores: a start with more threads would not come to its end.
const MAX_THREADS: usize = 4096;

/// The settings in the order of the help. `check` and the README have the same order.
pub(super) const GROUPS: &[Group] = groups! {
    "Chartbrew" {
        /// Where Chartbrew answers: http:// or https://, with a path if its API has one.
        "CHARTBREW_URL", "URL", app.chartbrew.url, url;

        /// A Chartbrew token of the gateway's own. Unset: each caller's token is forwarded. With it
        /// the gateway listens on loopback only, since it does not authenticate callers.
        "CHARTBREW_TOKEN", "TOKEN", app.grpc.own_token, token, show(hidden);

        /// A file that holds that token, in place of CHARTBREW_TOKEN.
        "CHARTBREW_TOKEN_FILE", "PATH", app.grpc.own_token, token_file, not_with("CHARTBREW_TOKEN");

        /// Limit of one attempt to connect to Chartbrew, name resolution and TLS included.
        "GATEWAY_CONNECT_TIMEOUT", "DURATION", app.chartbrew.connect_timeout, duration;

        /// How long an idle connection to Chartbrew is kept. Chartbrew closes it after 5 s; keep this
        /// shorter than whatever closes it first.
        "GATEWAY_IDLE_TIMEOUT", "DURATION", app.chartbrew.idle_timeout, duration;

        /// Largest response of Chartbrew's that is read, in bytes. It may hold a database's schema.
        "GATEWAY_MAX_ANSWER_BYTES", "BYTES", app.chartbrew.max_answer_bytes, count;
    }

    "Serving" {
        /// Where callers connect (gRPC without TLS).
        "GATEWAY_LISTEN", "ADDR:PORT", app.listen, address;

        /// Largest request message, in bytes, decompressed. Four files of 1 MiB and a body fit in.
        "GATEWAY_MAX_MESSAGE_BYTES", "BYTES", app.grpc.max_message_bytes, count;

        /// Calls at once on one connection.
        "GATEWAY_MAX_STREAMS", "COUNT", app.grpc.max_streams, count;

        /// Deadline of a Create whose caller sets none.
        "GATEWAY_CREATE_DEADLINE", "DURATION", app.grpc.create_deadline, duration;

        /// Connections of callers at once. More are closed as soon as they are made.
        "GATEWAY_MAX_CONNECTIONS", "COUNT", app.grpc.max_connections, count_to::<MAX_PERMITS, _>;

        /// How long a connection may take for its preface, and for the header block of each call.
        "GATEWAY_HANDSHAKE_TIMEOUT", "DURATION", app.grpc.handshake_timeout, duration;

        /// How long a call's message may take to arrive.
        "GATEWAY_MESSAGE_TIMEOUT", "DURATION", app.grpc.message_timeout, duration;

        /// How long calls are still taken after SIGTERM or SIGINT, while health says NOT_SERVING: load
        /// balancers need some seconds to learn of it. 0s: not at all.
        "GATEWAY_SHUTDOWN_DELAY", "DURATION", app.grpc.shutdown_delay, duration_or_zero;

        /// How long calls under way may go on after that. A second signal ends at once.
        "GATEWAY_SHUTDOWN_GRACE", "DURATION", app.grpc.shutdown_grace, duration;
    }

    "Delivery" {
        /// How often a request is sent to Chartbrew at most, the first time included. Only what has
        /// certainly not taken effect is sent again.
        "GATEWAY_ATTEMPTS", "COUNT", app.delivery.attempts, count;

        /// Longest wait before the second attempt; it doubles for each one after it. Full jitter.
        "GATEWAY_BACKOFF", "DURATION", app.delivery.backoff.base, duration;

        /// Longest wait between attempts.
        "GATEWAY_BACKOFF_MAX", "DURATION", app.delivery.backoff.cap, duration;

        /// Retries allowed, as a share of the calls, from 0 to 1.
        "GATEWAY_RETRY_RATIO", "SHARE", app.delivery.retry_ratio, share;

        /// Retries allowed a second, whatever the share.
        "GATEWAY_RETRIES_PER_SECOND", "COUNT", app.delivery.retries_per_second,
            count_to::<MAX_RETRIES, _>;

        /// Failures in a row to reach Chartbrew (no connection, 503) that open the circuit.
        "GATEWAY_CIRCUIT_FAILURES", "COUNT", app.delivery.breaker.failures, count;

        /// How long an open circuit waits before it lets one call through as a probe.
        "GATEWAY_CIRCUIT_PROBE", "DURATION", app.delivery.breaker.probe_after, duration;

        /// Calls under way at once. More are refused at once.
        "GATEWAY_MAX_IN_FLIGHT", "COUNT", app.delivery.max_in_flight, count_to::<MAX_PERMITS, _>;

        /// How long a connection is looked for after the response to its creation was lost.
        "GATEWAY_RECOVERY_WINDOW", "DURATION", app.delivery.recovery_window, duration;

        /// How long the response to a create with a request_id is waited for once its caller is gone.
        /// Without a request_id: GATEWAY_RECOVERY_WINDOW.
        "GATEWAY_ABANDONED_AFTER", "DURATION", app.delivery.abandoned_after, duration;

        /// Creates that are waited for at once although their callers are gone. The oldest is given up
        /// for a newer one.
        "GATEWAY_MAX_ABANDONED", "COUNT", app.delivery.max_abandoned, count;

        /// Where request ids are kept: memory (of this process), or a Redis or Valkey that several
        /// gateways share: redis://user:password@host:6379/0, all but the host optional; rediss:// for
        /// TLS.
        "GATEWAY_REQUEST_ID_STORE", "STORE", app.request_id_store, store, show(without_password);
    }

    "Limits of requests" {
        /// Longest name, in characters (the width of Chartbrew's column).
        "GATEWAY_MAX_NAME_CHARS", "COUNT", app.grpc.limits.name_chars, count;

        /// Largest JSON body sent to Chartbrew, in bytes. It answers 413 above its own limit.
        "GATEWAY_MAX_BODY_BYTES", "BYTES", app.grpc.limits.body_bytes, count;

        /// Largest text that Chartbrew encrypts (options, password, …), in bytes before encryption.
        "GATEWAY_MAX_ENCRYPTED_BYTES", "BYTES", app.grpc.limits.encrypted_text_bytes, count;

        /// Largest file, in bytes, at most 1048576: a larger one crashes Chartbrew.
        "GATEWAY_MAX_FILE_BYTES", "BYTES", app.grpc.limits.file_bytes, count_to::<1_048_576, _>;
    }

    "Process" {
        /// What is logged: a level (error, warn, info, debug, trace) or an env-filter.
        "GATEWAY_LOG", "FILTER", logs.filter, log_filter;

        /// How lines of the log look: text or json. Unset: text on a terminal, else json.
        "GATEWAY_LOG_FORMAT", "FORMAT", logs.format, log_format;

        /// Threads that serve calls. Unset: one a core.
        "GATEWAY_WORKER_THREADS", "COUNT", worker_threads, count_to::<MAX_THREADS, _>;
    }

    "Admin port" {
        /// Where /livez, /readyz, /metrics, /version and /log are answered; `off` for nowhere. Plain
        /// HTTP without a password.
        "GATEWAY_ADMIN_LISTEN", "ADDR:PORT", app.admin.listen, address_or_off;

        /// Whether the log's filter may be changed (PUT /log) from other machines too.
        "GATEWAY_ADMIN_REMOTE_LOG", "BOOL", app.admin.remote_log, switch;
    }
};
