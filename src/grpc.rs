//! The gRPC server. Five steps a call, each in a module of its own: metadata → convert → delivery →
//! convert → status. [`handlers`] has them for each method.

mod bearer;
mod call;
mod call_record;
mod connection;
mod deadline;
mod foreign;
mod framing;
mod handlers;
mod handshake;
mod health;
mod identity;
mod layers;
mod message;
mod metadata;
mod methods;
mod server;
mod status;
mod unread;
mod waiting;

use std::{path::PathBuf, time::Duration};

pub use self::{
    health::Health,
    identity::OwnToken,
    server::{BindError, Server},
    status::DOMAIN,
};
use crate::{convert::Limits, tls};

/// How the gateway serves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest request message, in bytes after decompression.
    pub max_message_bytes: usize,
    /// Calls at the same time on one connection.
    pub max_streams: u32,
    /// Connections of callers at the same time. More are closed immediately.
    pub max_connections: usize,
    /// After this time a connection ends when its calls have ended, so that its caller connects again.
    /// It varies by up to 10 % from one connection to another. Zero: no limit.
    pub max_connection_age: Duration,
    /// How long a connection may take for its TLS handshake, to send its preface, and each call to send its headers.
    pub handshake_timeout: Duration,
    /// How long a call's message may take to arrive.
    pub message_timeout: Duration,
    /// How long connections and calls are still accepted after the signal to stop, while the health
    /// service says that the gateway is not serving.
    pub shutdown_delay: Duration,
    /// How long calls may continue after that.
    pub shutdown_grace: Duration,
    /// Deadline of a create whose caller sets none.
    pub create_deadline: Duration,
    /// How large the parts of a request may be. Chartbrew's own limits by default.
    pub limits: Limits,
    /// Whether secrets are left out of every response, also where a caller asks for them.
    pub redact_responses: bool,
    /// A token of the gateway's own, used in place of the callers'.
    pub own_token: Option<OwnToken>,
    /// Who may call, where the gateway has a token of its own: see [`callers`](crate::callers).
    pub callers_file: Option<PathBuf>,
    /// TLS of the port.
    pub tls: tls::server::Settings,
    /// Whether tokens may arrive on a port without TLS that other machines can reach.
    pub allow_plaintext: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Four files of 1 MiB and a body fit in.
            max_message_bytes: 5 * 1024 * 1024,
            max_streams: 256,
            max_connections: 10_000,
            max_connection_age: Duration::from_secs(30 * 60),
            handshake_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(30),
            shutdown_delay: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(120),
            create_deadline: Duration::from_secs(120),
            limits: Limits::default(),
            redact_responses: false,
            own_token: None,
            callers_file: None,
            tls: tls::server::Settings::default(),
            allow_plaintext: false,
        }
    }
}
