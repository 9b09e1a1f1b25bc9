//! The gRPC server. Five steps a call, each in a module of its own: metadata → convert → delivery →
//! convert → status. [`handlers`] has them for each method.

mod call;
mod call_record;
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

use std::time::Duration;

pub use self::{health::Health, server::Server, status::DOMAIN};
use crate::{chartbrew::Token, convert::Limits};

/// How the gateway serves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Largest request message, in bytes after decompression.
    pub max_message_bytes: usize,
    /// Calls at the same time on one connection.
    pub max_streams: u32,
    /// Connections of callers at the same time. More are closed immediately.
    pub max_connections: usize,
    /// How long a connection may take to send its preface, and each call to send its headers.
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
    /// A token of the gateway's own, used in place of the callers'.
    pub own_token: Option<Token>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Four files of 1 MiB and a body fit in.
            max_message_bytes: 5 * 1024 * 1024,
            max_streams: 256,
            max_connections: 10_000,
            handshake_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(30),
            shutdown_delay: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(120),
            create_deadline: Duration::from_secs(120),
            limits: Limits::default(),
            own_token: None,
        }
    }
}
