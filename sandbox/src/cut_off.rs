//! Notices a client that closes its connection before the response to a request that names a
//! connection is complete. The real Chartbrew's process ends then.

use std::sync::Arc;

use http::Method;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Kind, state::App};

/// A request that must not be cut off, until its response is complete. Dropped before, its client
/// has cut it off.
pub(super) struct CutOff(Option<Watched>);

struct Watched {
    app: Arc<App>,
    /// Ends everything that is under way.
    stop: CancellationToken,
}

impl CutOff {
    /// Watches a request, if its kind is one that must not be cut off.
    pub(super) fn watch(app: &Arc<App>, stop: &CancellationToken, kind: Kind) -> Self {
        Self(kind.names_a_connection().then(|| Watched {
            app: Arc::clone(app),
            stop: stop.clone(),
        }))
    }

    /// A request that may be cut off.
    pub(super) fn unwatched() -> Self {
        Self(None)
    }

    /// Watches no longer: the response is complete, or the sandbox itself breaks off.
    pub(super) fn disarm(&mut self) {
        self.0 = None;
    }

    /// Watches no longer if there is no body to wait for.
    pub(super) fn without_body(mut self, method: &Method) -> Self {
        if method == Method::HEAD {
            self.disarm();
        }
        self
    }
}

impl Drop for CutOff {
    fn drop(&mut self) {
        // Once everything stops, it is the sandbox that closes connections.
        if let Some(Watched { app, stop }) = self.0.take()
            && !stop.is_cancelled()
        {
            warn!("a request was cut off: as the real Chartbrew does, the sandbox ends");
            app.change(|m| m.cut_off += 1);
            stop.cancel();
        }
    }
}
