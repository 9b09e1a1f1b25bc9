//! What a call goes through before and after its handler.
//!
//! Plain functions in one `async fn`, not `tower` layers: each of those would box its future, its
//! request's and its response's body, and clone all layers below it, for every call.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};

use axum::Router;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::{BoxError, Service};

use super::{
    call::{CallBody, CallEnd},
    call_record::CallRecord,
    deadline, foreign, identity,
    message::{LimitedBody, MessageLimits},
    metadata::Received,
    methods, status,
};
use crate::{chartbrew::Token, telemetry::Method};

/// All that a call goes through, with its handler. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Layers<S> {
    pub(super) routes: S,
    pub(super) calls: TaskTracker,
    pub(super) own_token: Option<Token>,
    pub(super) limits: MessageLimits,
}

/// The services: the contract's, and the standard ones (health, reflection).
#[derive(Clone, Debug)]
pub(super) struct Routes<C> {
    pub(super) contract: C,
    pub(super) standard: Router,
}

// === impl Layers ===

impl<S> Layers<S> {
    /// A call, from its headers to the body of its response.
    pub(super) async fn call<B>(self, request: Request<B>) -> Response<CallBody>
    where
        S: Service<Request<LimitedBody<B>>, Response = Response<Body>, Error = Infallible>,
    {
        let record = CallRecord::begin(request.headers());
        // Outermost, so that no response is missed: not a panic's, not a refusal by tonic.
        let end = CallEnd::begin(&request, record.clone(), &self.calls);
        // A panic ends one call, not its connection with all the other calls on it. What it leaves
        // half done is dropped with the call. Its text goes to the log by its hook.
        let response = AssertUnwindSafe(self.handle(request, &record)).catch_unwind();
        let response = end.within(response).await;
        let response =
            response.unwrap_or_else(|_| status::Context::new(&record).panicked().into_http());
        end.follow(response)
    }

    async fn handle<B>(mut self, mut request: Request<B>, record: &CallRecord) -> Response<Body>
    where
        S: Service<Request<LimitedBody<B>>, Response = Response<Body>, Error = Infallible>,
    {
        let method = methods::of(request.uri().path().trim_start_matches('/'));
        let token = match identity::token(self.own_token.take(), method, request.headers()) {
            Ok(token) => token,
            Err(missing) => {
                return status::Context::new(record)
                    .token_missing(missing)
                    .into_http();
            }
        };
        let received = Received {
            record: record.clone(),
            token,
            // Its clock starts before the message is read.
            deadline: deadline::read(request.headers()),
        };
        request.extensions_mut().insert(received);
        let request = self.limits.limit(request, record);
        let Ok(response) = self.routes.call(request).await;
        match method {
            // Their refusals are theirs and stay as they are.
            Method::Standard => response,
            Method::Known(_) | Method::Unknown => foreign::explain(response, record),
        }
    }
}

impl<S> hyper::service::Service<Request<hyper::body::Incoming>> for Layers<S>
where
    S: Service<
            Request<LimitedBody<hyper::body::Incoming>>,
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
