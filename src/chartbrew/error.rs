//! What a failed call to Chartbrew says about the outcome.
//!
//! Each error says whether anything was changed upstream:
//!
//! | variant | known | another attempt |
//! |---|---|---|
//! | [`Error::NotSent`] | no server has read any of it, or acted on it | safe, if a retry can help |
//! | [`Error::Rejected`] | the response says that it was not done | safe for some rejections |
//! | [`Error::Unknown`] | it may have been done, now or later | only for calls that may be repeated |
//!
//! No variant holds a byte that upstream sent: a response's body carries SQL, rows and secrets.

use std::fmt;

use super::Rejection;

/// Why a call did not give the response expected, by what is known about its outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No byte of its body can have been read, or the server said that it did not process it.
    #[error("not sent: {0}")]
    NotSent(NotSent),
    /// Chartbrew, or a proxy before it, responded that it did not do it.
    #[error("rejected: {0}")]
    Rejected(Rejection),
    /// The request was written, in part or whole, and what became of it is not known.
    #[error("outcome unknown: {0}")]
    Unknown(Unknown),
}

/// Why a request was not sent, or not in any way that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The host name has no address (for now).
    Dns,
    /// Nobody accepted the connection.
    Connect,
    /// No connection within the connect timeout.
    ConnectTimeout,
    /// TLS could not be agreed on. A retry does not help if a certificate does not verify.
    Tls,
    /// Over HTTP/2, the server said that it did not process the request: it closed the connection to
    /// all streams from this one on.
    Refused,
    /// The request could not be built: a fault of the settings or of the gateway.
    Request,
    /// Its caller stopped waiting before the body was begun: see [`SendState`].
    ///
    /// [`SendState`]: super::SendState
    Withheld,
}

/// Why the outcome of a request that was sent is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The connection ended, or the time, before a whole response came.
    NoResponse,
    /// The server responded with success, whole and with JSON, but not with the JSON expected: it
    /// did something.
    Unreadable,
    /// The server responded with success, whole, but not with JSON: a login page, say. It is not
    /// Chartbrew, or a proxy before it responded.
    NotJson,
    /// The response is larger than what is read. It said success.
    TooLarge,
    /// Chartbrew lost its own database while a statement was under way, and answered 400. The
    /// statement may have been executed.
    StoreLost,
    /// Chartbrew itself failed and is done with the request: 500, 501 or 505 with its own marks.
    ServerError(u16),
    /// A proxy responded, or something without the headers that Chartbrew sends. The request may
    /// never have arrived, may be done, or may still be worked on: 408 and 5xx.
    GatewayError(u16),
}

// === impl NotSent ===

impl NotSent {
    /// Whether trying again can help.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            Self::Dns | Self::Connect | Self::ConnectTimeout | Self::Refused => true,
            Self::Tls | Self::Request | Self::Withheld => false,
        }
    }
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "the host name could not be resolved",
            Self::Connect => "the connection was refused or lost before the request was written",
            Self::ConnectTimeout => "the connection took too long",
            Self::Tls => "TLS could not be agreed on (certificate, name or protocol)",
            Self::Refused => "the server refused the request before processing it",
            Self::Request => "the request could not be built",
            Self::Withheld => "the caller's time was over before the request was written",
        })
    }
}

// === impl Unknown ===

impl Unknown {
    /// Whether the server is certainly done with the request, so that what it created can
    /// already be seen.
    #[must_use]
    pub fn is_settled(self) -> bool {
        match self {
            Self::Unreadable | Self::NotJson | Self::TooLarge | Self::ServerError(_) => true,
            Self::NoResponse | Self::StoreLost | Self::GatewayError(_) => false,
        }
    }
}

impl Unknown {
    /// The HTTP status of the response, if there was one.
    #[must_use]
    pub fn http_status(self) -> Option<u16> {
        match self {
            Self::ServerError(status) | Self::GatewayError(status) => Some(status),
            Self::Unreadable | Self::NotJson | Self::TooLarge => Some(200),
            Self::StoreLost => Some(400),
            Self::NoResponse => None,
        }
    }

    /// Whether Chartbrew itself never sends such a response: a page in place of JSON, or "not
    /// implemented".
    #[must_use]
    pub fn is_not_chartbrew(self) -> bool {
        matches!(self, Self::NotJson | Self::GatewayError(501 | 505))
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResponse => f.write_str("no whole response came"),
            Self::Unreadable => f.write_str("the response is not the JSON expected"),
            Self::NotJson => f.write_str("the response is not JSON"),
            Self::StoreLost => f.write_str("Chartbrew lost its database meanwhile"),
            Self::TooLarge => f.write_str("the response is larger than the limit"),
            Self::ServerError(status) | Self::GatewayError(status) => {
                write!(f, "the response was HTTP {status}")
            }
        }
    }
}

impl Error {
    /// Whether nothing was done and the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotSent(cause) => cause.is_transient(),
            Self::Rejected(rejection) => rejection.is_transient(),
            Self::Unknown(_) => false,
        }
    }

    /// The wait that the server asked for (`Retry-After`).
    #[must_use]
    pub fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Rejected(rejection) => rejection.retry_after(),
            Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }

    /// Its class, as telemetry records it where there is no status.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::NotSent(NotSent::Dns) => "dns",
            Self::NotSent(NotSent::Connect) => "connect",
            Self::NotSent(NotSent::ConnectTimeout) => "connect_timeout",
            Self::NotSent(NotSent::Tls) => "tls",
            Self::NotSent(NotSent::Refused) => "refused",
            Self::NotSent(NotSent::Request) => "request",
            Self::NotSent(NotSent::Withheld) => "withheld",
            Self::Rejected(_) => "rejected",
            Self::Unknown(Unknown::NoResponse) => "no_answer",
            Self::Unknown(Unknown::Unreadable | Unknown::NotJson) => "unreadable",
            Self::Unknown(Unknown::StoreLost) => "store_lost",
            Self::Unknown(Unknown::TooLarge) => "too_large",
            Self::Unknown(Unknown::ServerError(_) | Unknown::GatewayError(_)) => "server_error",
        }
    }

    /// The HTTP status of the response, if there was one.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Unknown(cause) => cause.http_status(),
            Self::Rejected(rejection) => rejection.http_status(),
            Self::NotSent(_) => None,
        }
    }
}
