//! Every setting of the gateway but those of OpenTelemetry.
//!
//! Durations are written with a unit: `500ms`, `2s`, `1h`.

use super::{
    parse::{
        address, address_or_off, certificate_names, count, count_to, duration, duration_or_zero,
        log_filter, log_format, path, share, store, switch, token, token_file, url,
    },
    setting::{Group, groups},
    shown::{hidden, without_password},
};

/// Above it tokio's semaphore panics.
const MAX_PERMITS: usize = tokio::sync::Semaphore::MAX_PERMITS;

/// Above it tower's retry budget panics.
const MAX_RETRIES: usize = i32::MAX as usize - 1;

/// More than any machine has cores: with far more threads the process does not start.
const MAX_THREADS: usize = 4096;

/// The settings in the order of the help. `check` and the README have the same order.
pub(super) const GROUPS: &[Group] = groups! {
    "Chartbrew" {
        /// The URL of Chartbrew's API: http:// or https://, with a path if the API has one.
        "CHARTBREW_URL", "URL", app.chartbrew.url, url;

        /// Whether CHARTBREW_URL can be an http:// URL of another machine: true or false. Tokens and
        /// passwords go over the network in clear then.
        "CHARTBREW_ALLOW_PLAINTEXT", "BOOL", app.chartbrew.allow_plaintext, switch;

        /// A PEM file of the authorities that sign Chartbrew's certificate. Only these are trusted, and
        /// not those of the system. Unset: those of the system are trusted. This and the next two
        /// files are read again when they change.
        "CHARTBREW_CA_FILE", "PATH", app.chartbrew.tls.ca_file, path;

        /// A PEM file of the certificate that the gateway shows to Chartbrew, or to a proxy before
        /// it, with its chain (mutual TLS). It needs CHARTBREW_CLIENT_KEY.
        "CHARTBREW_CLIENT_CERT", "PATH", app.chartbrew.tls.client_cert, path;

        /// A PEM file of the key of this certificate, without a password.
        "CHARTBREW_CLIENT_KEY", "PATH", app.chartbrew.tls.client_key, path;

        /// A Chartbrew token that the gateway uses for every call. Unset: each call uses its
        /// caller's token. With this token every caller acts as its user. On an address that is not
        /// loopback, GATEWAY_CALLERS_FILE or GATEWAY_TLS_CLIENT_NAMES has to say who may call.
        "CHARTBREW_TOKEN", "TOKEN", app.grpc.own_token, token, show(hidden);

        /// A file that contains this token, read again when it changes. Use either the file or
        /// CHARTBREW_TOKEN.
        "CHARTBREW_TOKEN_FILE", "PATH", app.grpc.own_token, token_file, not_with("CHARTBREW_TOKEN");

        /// Longest time to connect to Chartbrew, including name resolution and TLS.
        "GATEWAY_CONNECT_TIMEOUT", "DURATION", app.chartbrew.connect_timeout, duration;

        /// How long an idle connection to Chartbrew is kept open at most. Chartbrew closes it after
        /// 5 s, a proxy may close it earlier: use a shorter time than both. With a longer time some
        /// requests fail and are repeated. Creates are safe with any time: they also keep to the time
        /// that the server announces, or use HTTP/2 where the server offers it.
        "GATEWAY_IDLE_TIMEOUT", "DURATION", app.chartbrew.idle_timeout, duration;

        /// Largest response of Chartbrew that is read, in bytes. It can contain the schema of a
        /// database. Of a list it is the size of one page.
        "GATEWAY_MAX_ANSWER_BYTES", "BYTES", app.chartbrew.max_response_bytes, count;
    }

    "Serving" {
        /// The address that callers connect to. It serves gRPC, with TLS if GATEWAY_TLS_CERT is set.
        "GATEWAY_LISTEN", "ADDR:PORT", app.listen, address;

        /// Largest request message, in bytes after decompression. The default is enough for four
        /// files of 1 MiB and a body.
        "GATEWAY_MAX_MESSAGE_BYTES", "BYTES", app.grpc.max_message_bytes, count;

        /// How many calls one connection can have at the same time.
        "GATEWAY_MAX_STREAMS", "COUNT", app.grpc.max_streams, count;

        /// The deadline of a Create call whose caller sets none. All other calls have 2m then.
        "GATEWAY_CREATE_DEADLINE", "DURATION", app.grpc.create_deadline, duration;

        /// Whether secrets are left out of every response, also where a caller asks for them: true
        /// or false. docs/connections.md lists the fields.
        "GATEWAY_REDACT_RESPONSES", "BOOL", app.grpc.redact_responses, switch;

        /// How many connections callers can have at the same time. More connections are closed
        /// immediately.
        "GATEWAY_MAX_CONNECTIONS", "COUNT", app.grpc.max_connections, count_to::<MAX_PERMITS, _>;

        /// After this time, plus or minus up to 10 %, a connection takes no more calls (GOAWAY) and is
        /// closed when its calls have ended, so that its caller connects again. 0s: no limit.
        "GATEWAY_MAX_CONNECTION_AGE", "DURATION", app.grpc.max_connection_age, duration_or_zero;

        /// How long a connection may take for its TLS handshake, to send its HTTP/2 preface, and each
        /// call to send its headers.
        "GATEWAY_HANDSHAKE_TIMEOUT", "DURATION", app.grpc.handshake_timeout, duration;

        /// How long a call may take to send its message.
        "GATEWAY_MESSAGE_TIMEOUT", "DURATION", app.grpc.message_timeout, duration;

        /// How long new calls are still accepted after SIGTERM or SIGINT. During this time the
        /// health service reports NOT_SERVING, so that load balancers stop sending calls. 0s: no
        /// delay.
        "GATEWAY_SHUTDOWN_DELAY", "DURATION", app.grpc.shutdown_delay, duration_or_zero;

        /// How long calls may continue after GATEWAY_SHUTDOWN_DELAY. A second signal stops the
        /// gateway immediately.
        "GATEWAY_SHUTDOWN_GRACE", "DURATION", app.grpc.shutdown_grace, duration;
    }

    "Access" {
        /// A file with the certificate of the gateway and its chain, in PEM. With it, callers connect
        /// with TLS 1.2 or 1.3. This file, the key and the client CA are read again when they change.
        "GATEWAY_TLS_CERT", "PATH", app.grpc.tls.cert, path;

        /// A file with the key of this certificate, in PEM.
        "GATEWAY_TLS_KEY", "PATH", app.grpc.tls.key, path;

        /// A file with the authorities of callers' certificates, in PEM. With it, every caller needs a
        /// certificate that one of them has signed.
        "GATEWAY_TLS_CLIENT_CA", "PATH", app.grpc.tls.client_ca, path;

        /// The names that callers' certificates may have, with commas between them: DNS names without
        /// wildcards, or URIs such as spiffe://example/billing. Unset: any.
        "GATEWAY_TLS_CLIENT_NAMES", "NAMES", app.grpc.tls.client_names, certificate_names;

        /// A file with the callers, in TOML, read again when it changes: who they are, and which teams
        /// and methods they may use. For a gateway with a token of its own.
        "GATEWAY_CALLERS_FILE", "PATH", app.grpc.callers_file, path;

        /// Whether a gateway with a token of its own may listen without TLS on an address that is not
        /// loopback: true or false. Callers' tokens arrive in clear then, unless a mesh encrypts them.
        "GATEWAY_ALLOW_PLAINTEXT", "BOOL", app.grpc.allow_plaintext, switch;

        /// How often the files that can change are read again: certificates, keys, tokens and callers.
        "GATEWAY_RELOAD_INTERVAL", "DURATION", app.reload_interval, duration;
    }

    "Delivery" {
        /// How often a request is sent to Chartbrew at most, including the first time. A create is
        /// sent again only if it certainly had no effect, all others if their response was lost too.
        "GATEWAY_ATTEMPTS", "COUNT", app.delivery.attempts, count;

        /// Longest wait before the second attempt. It doubles with each further attempt. The actual
        /// wait is a random time between 0 and this limit (full jitter).
        "GATEWAY_BACKOFF", "DURATION", app.delivery.backoff.base, duration;

        /// Longest wait before any attempt.
        "GATEWAY_BACKOFF_MAX", "DURATION", app.delivery.backoff.cap, duration;

        /// How many retries are allowed, as a share of the calls, between 0 and 1: 0.2 allows one
        /// retry for five calls.
        "GATEWAY_RETRY_RATIO", "SHARE", app.delivery.retry_ratio, share;

        /// How many retries are allowed each second, even if GATEWAY_RETRY_RATIO allows no more.
        "GATEWAY_RETRIES_PER_SECOND", "COUNT", app.delivery.retries_per_second,
            count_to::<MAX_RETRIES, _>;

        /// How many failures in a row to reach Chartbrew (no connection, or status 503) open the
        /// circuit. While it is open, calls fail immediately.
        "GATEWAY_CIRCUIT_FAILURES", "COUNT", app.delivery.breaker.failures, count;

        /// How long the circuit stays open before one call is sent to test whether Chartbrew can be
        /// reached.
        "GATEWAY_CIRCUIT_PROBE", "DURATION", app.delivery.breaker.probe_after, duration;

        /// How many calls can be in progress at the same time. More calls are refused immediately.
        "GATEWAY_MAX_IN_FLIGHT", "COUNT", app.delivery.max_in_flight, count_to::<MAX_PERMITS, _>;

        /// How long the gateway searches for a connection if the response to its creation was lost.
        "GATEWAY_RECOVERY_WINDOW", "DURATION", app.delivery.recovery_window, duration;

        /// How long the gateway waits for the response to a create with a request_id whose caller
        /// has left. For a create without a request_id, it is GATEWAY_RECOVERY_WINDOW.
        "GATEWAY_ABANDONED_AFTER", "DURATION", app.delivery.abandoned_after, duration;

        /// For how many creates the gateway waits although their callers have left. If there are
        /// more, it stops waiting for the oldest one.
        "GATEWAY_MAX_ABANDONED", "COUNT", app.delivery.max_abandoned, count;

        /// Where request ids are stored: memory (of this process), or a Redis or Valkey that
        /// several gateways share, as redis://user:password@host:6379/0. Only the host is required.
        /// Use rediss:// for TLS.
        "GATEWAY_REQUEST_ID_STORE", "STORE", app.request_id_store, store, show(without_password);
    }

    "Limits of requests" {
        /// Longest name, in characters. The default is the width of Chartbrew's database column.
        "GATEWAY_MAX_NAME_CHARS", "COUNT", app.grpc.limits.name_chars, count;

        /// Largest JSON body sent to Chartbrew, in bytes. The default is the limit above which
        /// Chartbrew responds with 413.
        "GATEWAY_MAX_BODY_BYTES", "BYTES", app.grpc.limits.body_bytes, count;

        /// Largest text that Chartbrew encrypts (options, password, …), in bytes before encryption.
        "GATEWAY_MAX_ENCRYPTED_BYTES", "BYTES", app.grpc.limits.encrypted_text_bytes, count;

        /// Largest file, in bytes, at most 1048576. A larger file crashes Chartbrew.
        "GATEWAY_MAX_FILE_BYTES", "BYTES", app.grpc.limits.file_bytes, count_to::<1_048_576, _>;
    }

    "Process" {
        /// What is logged: a level (off, error, warn, info, debug, trace), or a filter such as
        /// info,chartbrew_gateway=debug.
        "GATEWAY_LOG", "FILTER", logs.filter, log_filter;

        /// The format of the log: text or json. Unset: text if stderr is a terminal, else json.
        "GATEWAY_LOG_FORMAT", "FORMAT", logs.format, log_format;

        /// How many threads serve calls. Unset: one for each CPU core.
        "GATEWAY_WORKER_THREADS", "COUNT", worker_threads, count_to::<MAX_THREADS, _>;
    }

    "Admin port" {
        /// The address of the admin port, or off. It serves /livez, /readyz, /metrics, /version and
        /// /log as plain HTTP without a password.
        "GATEWAY_ADMIN_LISTEN", "ADDR:PORT", app.admin.listen, address_or_off;

        /// Whether other machines too can change the filter of the log (PUT /log): true or false.
        "GATEWAY_ADMIN_REMOTE_LOG", "BOOL", app.admin.remote_log, switch;
    }
};
