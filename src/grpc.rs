//! The gRPC server and its handlers. Five steps a call, each in a module of its own: metadata →
//! convert → delivery → convert → status.

mod call;
mod call_record;
mod deadline;
mod foreign;
mod framing;
mod handshake;
mod health;
mod identity;
mod layers;
mod message;
mod metadata;
mod methods;
mod server;
mod status;

use std::{future::ready, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tonic::{Request, Response, Status};

pub use self::{health::Health, server::Server, status::DOMAIN};
use self::{
    metadata::{Incoming, TokenMissing},
    status::Context,
};
use crate::{
    chartbrew::{Rejection, Token, types::Create},
    convert::{self, Limits},
    delivery::{self, Caller, Delivered, Delivery},
    proto::{CreateRequest, CreateResponse, connection_service_server::ConnectionService},
};

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

/// The service's handlers.
#[derive(Clone, Debug)]
struct Handlers {
    settings: Arc<Settings>,
    delivery: Delivery,
    health: Health,
}

impl ConnectionService for Handlers {
    // Not an `async fn`: that would keep the places of the request and the create while it waits.
    fn create<'a, 'f>(
        &'a self,
        mut request: Request<CreateRequest>,
    ) -> BoxFuture<'f, Result<Response<CreateResponse>, Status>>
    where
        'a: 'f,
    {
        let call = Incoming::read(&mut request);
        let team_id = request.get_ref().team_id;
        match self.accept(&call, request.into_inner()) {
            Ok((caller, create)) => {
                let request_id = create.request_id;
                let delivery = self.delivery.create(caller, create);
                Box::pin(delivery.map(move |delivered| {
                    let mut context = self.context(&call, team_id);
                    context.request_id = request_id;
                    self.respond(context, delivered)
                }))
            }
            Err(status) => Box::pin(ready(Err(status))),
        }
    }
}

// === impl Handlers ===

impl Handlers {
    /// Reads what is to be created, and for whom.
    ///
    /// # Errors
    /// If that is not valid.
    fn accept(&self, call: &Incoming, message: CreateRequest) -> Result<(Caller, Create), Status> {
        let context = self.context(call, message.team_id);
        let token = call.received.token.clone();
        let token = token.ok_or_else(|| context.token_missing(TokenMissing::Absent))?;
        let create = convert::create(message, &self.settings.limits)
            .map_err(|violations| context.violations(&violations))?;
        Ok((call.caller(token, self.settings.create_deadline), create))
    }

    /// The response to a call that was delivered.
    ///
    /// # Errors
    /// If there is no connection, or it is not whole.
    fn respond(
        &self,
        mut context: Context<'_>,
        delivered: Delivered,
    ) -> Result<Response<CreateResponse>, Status> {
        if self.health.is_stopping() && !self.delivery.ids_outlive_process() {
            context.forgets_ids = context.request_id.take().is_some();
        }
        context.record.delivered(delivered.origin);
        self.note_token(&delivered.result);
        let connection = delivered.result.map_err(|error| context.delivery(&error))?;
        let connection = Some(Box::new(convert::connection(*connection)));
        Ok(Response::new(CreateResponse { connection }))
    }

    fn context<'a>(&self, call: &'a Incoming, team_id: i32) -> Context<'a> {
        Context {
            record: &call.received.record,
            team_id: Some(team_id),
            request_id: None,
            forgets_ids: false,
            own_token: self.settings.own_token.is_some(),
        }
    }

    /// A gateway whose own token is rejected can serve nobody.
    fn note_token<T>(&self, result: &Result<T, delivery::Error>) {
        if self.settings.own_token.is_some() && result.as_ref().is_err_and(is_token_rejected) {
            self.health.token_rejected();
        }
    }
}

/// Whether Chartbrew rejected the token, be it after the connection was created.
fn is_token_rejected(error: &delivery::Error) -> bool {
    use delivery::Error::{FilesNotUploaded, NotReadable, Rejected};
    match error {
        Rejected(rejection) => *rejection == Rejection::TokenRejected,
        FilesNotUploaded { cause, .. } | NotReadable { cause, .. } => is_token_rejected(cause),
        _ => false,
    }
}
