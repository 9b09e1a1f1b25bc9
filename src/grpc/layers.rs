//! What a call goes through before and after its handler.
//!
//! Plain functions, not `tower` layers: each of those would box its future, its request's and its
//! response's body, and clone all layers below it, for every call.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    task::{Context, Poll},
};

use axum::Router;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tonic::{Status, body::Body};
use tower::{BoxError, Service};

use super::{
    call::{CallBody, CallEnd},
    call_record::CallRecord,
    deadline, foreign,
    identity::Identity,
    message::{LimitedBody, MessageLimits},
    metadata::{self, Received},
    methods, status,
    unread::Unread,
};
use crate::telemetry::Method;

/// Calls of the reflection service at the same time. They need no token, and the response of one whose
/// caller does not read takes 128 KiB.
pub(super) const MOST_REFLECTIONS: usize = 64;

/// All that a call goes through, with the handlers. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Layers<S> {
    pub(super) routes: S,
    /// All calls, and those of this connection alone.
    pub(super) calls: [TaskTracker; 2],
    pub(super) identity: Identity,
    /// The names in the certificate of this connection's caller.
    pub(super) certificate_names: Option<Arc<[String]>>,
    pub(super) limits: MessageLimits,
    /// Places for calls of the reflection service.
    pub(super) reflections: Arc<Semaphore>,
    pub(super) unread: Unread,
}

/// The services: the contract's, and the standard ones (health, reflection).
#[derive(Clone, Debug)]
pub(super) struct Routes<C> {
    pub(super) contract: C,
    pub(super) standard: Router,
}

/// A call that a handler works at.
struct Handled<F> {
    method: Method,
    response: F,
}

// === impl Layers ===

impl<S> Layers<S> {
    /// A call, from its headers to the body of its response.
    pub(super) fn call<B>(
        mut self,
        request: Request<B>,
    ) -> impl Future<Output = Response<CallBody>> + use<S, B>
    where
        S: Service<Request<Box<LimitedBody<B>>>, Response = Response<Body>, Error = Infallible>,
    {
        let record = CallRecord::begin(request.headers());
        // Outermost, so that no response is missed: not a panic's, not a refusal by tonic.
        let mut end = CallEnd::begin(&request, record.clone(), &self.calls);
        // Not part of the future: it would keep the places of all requests that it has seen.
        let admitted = self.place(&request, &record).and_then(|place| {
            end.hold(place);
            self.admit(request, &record)
        });
        let unread = self.unread;
        async move {
            let response = match admitted {
                Ok(handled) => respond(handled, &end, &record).await,
                Err(refused) => refused.into_http(),
            };
            end.follow(response, &unread)
        }
    }

    /// The place that a call takes up until it has ended, if it is of the reflection service.
    ///
    /// # Errors
    /// If there is none.
    fn place<B>(
        &self,
        request: &Request<B>,
        record: &CallRecord,
    ) -> Result<Option<OwnedSemaphorePermit>, Status> {
        if !methods::is_reflection(request.uri().path().trim_start_matches('/')) {
            return Ok(None);
        }
        match self.reflections.clone().try_acquire_owned() {
            Ok(place) => Ok(Some(place)),
            Err(_) => Err(status::Context::new(record).too_many_reflections()),
        }
    }

    /// What comes before the handler.
    ///
    /// # Errors
    /// If the call is refused before its message is read.
    fn admit<B>(
        &mut self,
        mut request: Request<B>,
        record: &CallRecord,
    ) -> Result<Handled<S::Future>, Status>
    where
        S: Service<Request<Box<LimitedBody<B>>>>,
    {
        let [_, of_connection] = &self.calls;
        if of_connection.is_closed() {
            return Err(status::Context::new(record).connection_is_old());
        }
        let method = methods::of(request.uri().path().trim_start_matches('/'));
        if matches!(method, Method::Known(_)) && !metadata::is_grpc(request.headers()) {
            return Err(status::Context::new(record).not_grpc());
        }
        let refused = |refused| status::Context::new(record).refused(&refused);
        let names = self.certificate_names.as_deref().unwrap_or_default();
        let identified = self.identity.of(method, request.headers(), names);
        let identified = identified.map_err(refused)?;
        if let Some(caller) = &identified.caller {
            record.is_of(caller.name().clone());
        }
        identified.may_call(method).map_err(refused)?;
        let received = Received {
            record: record.clone(),
            identified,
            // Its clock starts before the message is read.
            deadline: deadline::read(request.headers()),
        };
        request.extensions_mut().insert(received);
        let request = self.limits.limit(request, method, record);
        let response = self.routes.call(request);
        Ok(Handled { method, response })
    }
}

/// Waits for the response.
async fn respond(
    handled: Handled<impl Future<Output = Result<Response<Body>, Infallible>>>,
    end: &CallEnd,
    record: &CallRecord,
) -> Response<Body> {
    // A panic ends one call, not its connection with all the other calls on it. What it leaves half
    // done is dropped with the call. Its text goes to the log by its hook.
    let response = AssertUnwindSafe(handled.response).catch_unwind();
    match (end.within(response).await, handled.method) {
        // Refusals by the standard services are theirs and stay as they are.
        (Ok(Ok(response)), Method::Standard) => response,
        (Ok(Ok(response)), Method::Known(_) | Method::Unknown) => {
            foreign::explain(response, record)
        }
        (Err(_), _) => status::Context::new(record).panicked().into_http(),
    }
}

impl<S> hyper::service::Service<Request<hyper::body::Incoming>> for Layers<S>
where
    S: Service<
            Request<Box<LimitedBody<hyper::body::Incoming>>>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static,
{
    type Response = Response<CallBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<hyper::body::Incoming>) -> Self::Future {
        Box::pin(self.clone().call(request).map(Ok))
    }
}

// === impl Routes ===

impl<C, B> Service<Request<B>> for Routes<C>
where
    C: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    C::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Neither tonic's services nor axum's routers are ever busy.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match methods::of(request.uri().path().trim_start_matches('/')) {
            Method::Known(_) => Box::pin(self.contract.call(request)),
            Method::Standard | Method::Unknown => {
                let response = Service::call(&mut self.standard, request);
                Box::pin(response.map(|response| response.map(|found| found.map(Body::new))))
            }
        }
    }
}
