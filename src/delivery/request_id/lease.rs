//! A lease: a holder renews it while it works, so that others can see when its process has died.

use std::future::Future;

use tokio_util::task::AbortOnDropHandle;

/// Keeps a claim for its holder for as long as it is held itself.
#[derive(Debug)]
#[must_use = "the claim lapses when the lease is dropped"]
pub struct Lease {
    _renewal: Option<AbortOnDropHandle<()>>,
}

// === impl Lease ===

impl Lease {
    /// For a store whose claims do not lapse.
    pub(super) fn endless() -> Self {
        Self { _renewal: None }
    }

    /// Renewed by this future, which ends with the lease.
    pub(super) fn renewed_by(renewal: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            _renewal: Some(AbortOnDropHandle::new(tokio::spawn(renewal))),
        }
    }
}
