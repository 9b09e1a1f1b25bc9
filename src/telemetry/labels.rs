//! The labels of metrics whose values are a closed set. Events of spans have the same values.

use std::fmt;

use opentelemetry::KeyValue;

/// Why a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryCause {
    /// There was no connection.
    NotSent,
    /// 429.
    RateLimited,
    /// 503 and its like.
    Unavailable,
    /// No response, to a request that is safe to repeat.
    NoResponse,
}

/// The result of a search for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryResult {
    /// It exists.
    Found,
    /// It does not exist.
    NotFound,
    /// More than one connection matches.
    Ambiguous,
    /// It does not exist, and the server has finished with the request.
    Settled,
    /// The team's list could not be read, or not to its end.
    ListUnavailable,
    /// What responds is not Chartbrew.
    NotTheApi,
}

/// The state of the circuit to Chartbrew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls go through.
    Closed,
    /// Calls fail at once.
    Open,
    /// One call goes through, to find out whether Chartbrew can be reached.
    Probing,
}

/// What is sent to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
}

/// What a file that is read again while the gateway runs is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The certificate, key and client CA of the gateway's port.
    Tls,
    /// The CA and the client certificate for Chartbrew.
    ChartbrewTls,
    /// The gateway's own token.
    Token,
    /// Who may call.
    Callers,
}

/// A certificate, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// The one of the gateway's port.
    Server,
    /// The authority of its callers' certificates.
    ClientCa,
    /// The one that the gateway shows to Chartbrew.
    ChartbrewClient,
}

/// Why a TLS handshake of a caller failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// It took too long.
    Timeout,
    /// The caller's certificate is missing or is not accepted.
    Certificate,
    /// Anything else: the caller has left, does not trust the gateway, or speaks no TLS.
    Other,
}

/// A label whose values are a closed set.
pub(super) trait Label: Copy + 'static {
    /// All values.
    const ALL: &'static [Self];

    /// The value as text.
    fn name(self) -> &'static str;
}

/// The label with this value.
pub(super) fn label<L: Label>(key: &'static str, value: L) -> KeyValue {
    KeyValue::new(key, value.name())
}

// === impl Label ===

impl Label for RetryCause {
    const ALL: &'static [Self] = &[
        Self::NotSent,
        Self::RateLimited,
        Self::Unavailable,
        Self::NoResponse,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::NoResponse => "no_answer",
        }
    }
}

impl Label for RecoveryResult {
    const ALL: &'static [Self] = &[
        Self::Found,
        Self::NotFound,
        Self::Ambiguous,
        Self::Settled,
        Self::ListUnavailable,
        Self::NotTheApi,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::NotFound => "not_found",
            Self::Ambiguous => "ambiguous",
            Self::Settled => "settled",
            Self::ListUnavailable => "list_unavailable",
            Self::NotTheApi => "not_the_api",
        }
    }
}

impl Label for CircuitState {
    const ALL: &'static [Self] = &[Self::Closed, Self::Open, Self::Probing];

    fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }
}

impl Label for Signal {
    const ALL: &'static [Self] = &[Self::Traces, Self::Metrics];

    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

impl Label for FileKind {
    const ALL: &'static [Self] = &[Self::Tls, Self::ChartbrewTls, Self::Token, Self::Callers];

    fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::ChartbrewTls => "chartbrew_tls",
            Self::Token => "token",
            Self::Callers => "callers",
        }
    }
}

impl Label for Certificate {
    const ALL: &'static [Self] = &[Self::Server, Self::ClientCa, Self::ChartbrewClient];

    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::ClientCa => "client_ca",
            Self::ChartbrewClient => "chartbrew_client",
        }
    }
}

impl Label for HandshakeFailure {
    const ALL: &'static [Self] = &[Self::Timeout, Self::Certificate, Self::Other];

    fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Certificate => "certificate",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for RecoveryResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
