//! Signals that stop the process: SIGINT or SIGTERM. A second one stops it immediately.

use std::{future::Future, io};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals, caught from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    /// Runs something that ends in its own time after the first signal, which resolves the future
    /// that it is given. `None` if a second signal cut it off.
    pub async fn run<T, F: Future<Output = T>>(
        mut self,
        work: impl FnOnce(tokio::sync::oneshot::Receiver<()>) -> F,
    ) -> Option<T> {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let mut work = std::pin::pin!(work(stopped));
        tokio::select! {
            result = &mut work => return Some(result),
            signal = self.next() => tracing::info!(signal, "stopping"),
        }
        // Nobody to tell if the work has just ended by itself.
        stop.send(()).unwrap_or_default();
        tokio::select! {
            result = &mut work => Some(result),
            signal = self.next() => {
                tracing::warn!(signal, "stopping at once");
                None
            }
        }
    }
}
