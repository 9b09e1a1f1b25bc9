//! A place where a request waits until a test lets it go on.

use tokio_util::sync::CancellationToken;

/// Holds a request at a point of its work until [`open`](Self::open) is called.
///
/// Clones are the same gate. What is held goes on even if its caller has hung up.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Fired when a request has come to the gate.
    reached: CancellationToken,
    /// Fired when the gate is open; it never shuts again.
    open: CancellationToken,
}

impl Gate {
    /// A shut gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everything held go on, and whatever comes later pass.
    pub fn open(&self) {
        self.open.cancel();
    }

    /// Resolves when a request has come to the gate.
    pub async fn reached(&self) {
        self.reached.cancelled().await;
    }

    /// Comes to the gate and waits until it is open.
    pub(super) async fn pass(&self) {
        self.reached.cancel();
        self.open.cancelled().await;
    }
}
