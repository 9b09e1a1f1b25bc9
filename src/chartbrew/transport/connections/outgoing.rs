//! A create as a request of either protocol.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
    uri::PathAndQuery,
};

use crate::{
    chartbrew::{
        Error, NotSent,
        transport::{
            AGENT, JSON,
            send_state::{GuardedBody, SendState, SentBody},
        },
    },
    telemetry::Attempt,
};

/// How many headers a request has at most, with those of a trace and `Content-Length`.
const HEADERS: usize = 10;

/// A request, to be sent on one connection or another.
#[derive(Debug)]
pub(in crate::chartbrew::transport) struct Outgoing {
    pub(in crate::chartbrew::transport) method: Method,
    pub(in crate::chartbrew::transport) path: PathAndQuery,
    pub(in crate::chartbrew::transport) host: HeaderValue,
    pub(in crate::chartbrew::transport) token: HeaderValue,
    pub(in crate::chartbrew::transport) json: Bytes,
    pub(in crate::chartbrew::transport) state: SendState,
}

// === impl Outgoing ===

impl Outgoing {
    pub(super) fn over_http1(&self, attempt: &Attempt) -> Request<SentBody> {
        let mut request = self.request(Uri::from(self.path.clone()), attempt);
        request.headers_mut().insert(HOST, self.host.clone());
        request
    }

    /// Without `Host`: the authority is a part of the URI then.
    pub(super) fn over_http2(
        &self,
        server: &Uri,
        attempt: &Attempt,
    ) -> Result<Request<SentBody>, Error> {
        let mut parts = server.clone().into_parts();
        parts.authority = self.host.as_bytes().try_into().ok();
        parts.path_and_query = Some(self.path.clone());
        let uri = Uri::from_parts(parts).map_err(|_| Error::NotSent(NotSent::Request))?;
        Ok(self.request(uri, attempt))
    }

    fn request(&self, uri: Uri, attempt: &Attempt) -> Request<SentBody> {
        let body = GuardedBody::new(self.json.clone(), self.state.clone());
        let mut request = Request::new(Box::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(AUTHORIZATION, self.token.clone());
        headers.insert(ACCEPT, JSON);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        attempt.write_to(headers);
        request
    }
}
