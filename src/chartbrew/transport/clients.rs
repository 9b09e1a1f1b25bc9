//! The clients that requests go out on, by what may be sent on their connections.

use http::{HeaderMap, HeaderValue, Uri, header::CONNECTION};
use rustls::ClientConfig;

use super::{AGENT, TCP_KEEPALIVE, connections::Connections};
use crate::chartbrew::Settings;

/// What reqwest speaks.
const HTTP1: &[u8] = b"http/1.1";

/// All connections to Chartbrew. When the files of TLS change, all of this is made anew: no request
/// then uses a connection, or resumes a session, of the certificates before.
///
/// A reused connection may just be being closed by the server when a request is written onto it,
/// and then nobody can tell whether it was read (hyper issue 2136). So creates have a pool with
/// rules of its own, and an upload, which is streamed and cannot be sent again, has a connection of
/// its own. All other requests are safe to repeat and share pooled connections.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) creates: Connections,
    /// For uploads.
    pub(super) fresh: reqwest::Client,
    /// For all other requests.
    pub(super) pooled: reqwest::Client,
}

// === impl Clients ===

impl Clients {
    /// `server` is the scheme and the authority.
    pub(super) fn new(
        settings: &Settings,
        server: Uri,
        tls: ClientConfig,
    ) -> Result<Self, reqwest::Error> {
        let mut over_http1 = tls.clone();
        over_http1.alpn_protocols = vec![HTTP1.to_vec()];
        let builder = || {
            reqwest::Client::builder()
                .user_agent(AGENT)
                .tls_backend_preconfigured(over_http1.clone())
                .http1_only()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .retry(reqwest::retry::never())
                .tcp_nodelay(true)
                .tcp_keepalive(TCP_KEEPALIVE)
                .connect_timeout(settings.connect_timeout)
        };
        let close = HeaderMap::from_iter([(CONNECTION, HeaderValue::from_static("close"))]);
        Ok(Self {
            creates: Connections::new(settings, server, tls),
            fresh: builder()
                .pool_max_idle_per_host(0)
                // The server closes first, so that no port of ours is left in TIME_WAIT.
                .default_headers(close)
                .build()?,
            pooled: builder().pool_idle_timeout(settings.idle_timeout).build()?,
        })
    }
}
