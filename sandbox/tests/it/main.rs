//! The sandbox responds as the real server was recorded to respond, and each fault does what its
//! documentation says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; clippy.toml sees only #[test] bodies"
)]

mod api;
mod control;
mod cut_off;
mod faults;
mod raw;
mod recorded;
mod replay;
mod rows;
mod testing;
mod transport;

use chartbrew_sandbox::{Handle, Sandbox, Settings};
use serde_json::Value;
use tokio::task::JoinHandle;

use raw::{Broken, Reply, Request};

/// A sandbox that serves until it is dropped.
struct Running {
    handle: Handle,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(settings: Settings) -> Self {
        let sandbox = Sandbox::bind(settings).await.unwrap();
        let handle = sandbox.handle();
        let task = tokio::spawn(sandbox.run(std::future::pending()));
        Self { handle, task }
    }

    /// Sends a request on a connection of its own.
    async fn send(&self, request: Request) -> Result<Reply, Broken> {
        raw::send(self.handle.addr(), &request).await
    }

    /// Sends a request whose response is JSON.
    async fn json(&self, request: Request) -> (u16, Value) {
        let response = self.send(request).await.unwrap();
        (response.status, response.json())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
