//! The connection to Redis: one connection for all operations, replaced when it is dead.

use std::{
    error::Error as StdError,
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::redis::{
    Client, Cmd, ConnectionAddr, FromRedisValue, RedisError, RedisResult, ScriptInvocation,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::{sync::watch, time::timeout};

use super::{PREFIX, RedisSettings, millis, settings::Times};
use crate::{crypto, delivery::request_id::StoreError};

/// How often the server is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(2);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Link {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    times: Times,
    /// Connects again by itself when a connection breaks, but not when one only falls silent.
    manager: Mutex<ConnectionManager>,
}

// === impl Link ===

impl Link {
    /// Connects at the first operation.
    pub(super) fn open(settings: &RedisSettings) -> Result<Self, StoreError> {
        let info = settings.connection_info()?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            crypto::install_provider();
        }
        let client = Client::open(info).map_err(|error| store_error(&error))?;
        let times = settings.times();
        let manager = Mutex::new(connect(&client, times)?);
        Ok(Self {
            shared: Arc::new(Shared {
                client,
                times,
                manager,
            }),
        })
    }

    /// Runs a script, again on a new connection if the one it was sent on proves to be closed: it
    /// may have run all the same, so it must be one that its caller may run twice.
    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        let work = async {
            let mut manager = self.manager().clone();
            match call.invoke_async(&mut manager).await {
                Err(error) if error.is_connection_dropped() => {
                    call.invoke_async(&mut manager).await
                }
                result => result,
            }
        };
        within(self.shared.times.operation, work).await
    }

    /// Runs a command that changes nothing.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let work = async {
            let mut manager = self.manager().clone();
            match command.query_async(&mut manager).await {
                Err(error) if error.is_connection_dropped() => {
                    command.query_async(&mut manager).await
                }
                result => result,
            }
        };
        within(self.shared.times.operation, work).await
    }

    /// Writes something: a replica that only reads, or a server without memory, is of no use.
    async fn ping(&self) -> Result<(), StoreError> {
        let mut set = Cmd::new();
        set.arg("SET")
            .arg(format!("{PREFIX}:{{ping}}:ping"))
            .arg("1")
            .arg("PX")
            .arg(millis(PING_EVERY));
        let mut manager = self.manager().clone();
        let Times {
            operation, connect, ..
        } = self.shared.times;
        // Longer than an operation: this is what brings a slow attempt to connect to its end.
        within(connect + operation, set.exec_async(&mut manager)).await
    }

    /// Gives the connection up for a new one. Operations on the old one go on.
    fn replace(&self) {
        match connect(&self.shared.client, self.shared.times) {
            Ok(manager) => *self.manager() = manager,
            Err(error) => tracing::warn!(%error, "cannot replace the connection"),
        }
    }

    fn manager(&self) -> MutexGuard<'_, ConnectionManager> {
        // No code that can panic runs under this lock.
        let manager = self.shared.manager.lock();
        manager.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pings, reports every change, and replaces a connection without a response.
pub(super) async fn watch_over(link: Link, reachable: watch::Sender<bool>) {
    // So that the first result is reported whatever it is.
    let mut before = None;
    loop {
        let result = link.ping().await;
        let now = result.is_ok();
        match result {
            Ok(()) if before != Some(true) => tracing::info!("the request_id store is reached"),
            Ok(()) => {}
            Err(error) => {
                if before != Some(false) {
                    tracing::warn!(%error, "creates with a request_id fail until it is back");
                }
                link.replace();
            }
        }
        before = Some(now);
        reachable.send_if_modified(|reachable| std::mem::replace(reachable, now) != now);
        tokio::time::sleep(PING_EVERY).await;
    }
}

fn connect(client: &Client, times: Times) -> Result<ConnectionManager, StoreError> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(times.operation))
        .set_connection_timeout(Some(times.connect))
        // An operation fails at once when the connection is lost; the next one connects again.
        .set_number_of_retries(0);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
        .map_err(|error| store_error(&error))
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = RedisResult<T>>,
) -> Result<T, StoreError> {
    match timeout(limit, work).await {
        Ok(result) => result.map_err(|error| store_error(&error)),
        Err(_) => Err(StoreError::Unavailable(format!(
            "no response within {} ms",
            limit.as_millis()
        ))),
    }
}

/// A failure as callers and the log see it: its kind. Its own text may hold addresses and arguments.
fn store_error(error: &RedisError) -> StoreError {
    let is_word = |code: &&str| code.len() <= 32 && code.bytes().all(|b| b.is_ascii_uppercase());
    match error.code().filter(is_word) {
        Some(code) => StoreError::Unavailable(format!("it responded with {code}")),
        None => {
            let what = of_the_connection(error);
            StoreError::Unavailable(what.unwrap_or_else(|| error.category().to_owned()))
        }
    }
}

/// How a connection failed: `connection refused`, or what is wrong with the certificate.
fn of_the_connection(error: &RedisError) -> Option<String> {
    // The cause is behind a shared pointer that shows no cause of its own.
    let shared = error
        .source()?
        .downcast_ref::<Arc<dyn StdError + Send + Sync>>();
    let error = shared?.downcast_ref::<io::Error>()?;
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    Some(tls.map_or_else(|| error.kind().to_string(), ToString::to_string))
}
