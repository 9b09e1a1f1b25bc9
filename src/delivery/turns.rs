//! One at a time for each connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError},
};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::chartbrew::types::ConnectionRef;

/// Who is working at which connection.
#[derive(Debug, Default)]
pub(super) struct Turns(SyncMutex<HashMap<ConnectionRef, Arc<Mutex<()>>>>);

/// The right to work at a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    connection: ConnectionRef,
    /// `None` while it is waited for.
    held: Option<OwnedMutexGuard<()>>,
}

// === impl Turns ===

impl Turns {
    /// Waits until nobody else works at the connection.
    pub(super) async fn take(&self, connection: ConnectionRef) -> Turn<'_> {
        let lock = self.lock().entry(connection).or_default().clone();
        let mut turn = Turn {
            turns: self,
            connection,
            held: None,
        };
        turn.held = Some(lock.lock_owned().await);
        turn
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionRef, Arc<Mutex<()>>>> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        self.held = None;
        // Nobody else waits for it.
        if turns
            .get(&self.connection)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            turns.remove(&self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn turns_follow_each_other_and_leave_nothing() {
        let turns = Turns::default();
        let (one, other) = (
            ConnectionRef { team: 1, id: 1 },
            ConnectionRef { team: 1, id: 2 },
        );
        let first = turns.take(one).await;
        let mut second = Box::pin(turns.take(one));
        assert!(second.as_mut().now_or_never().is_none());
        drop(turns.take(other).await);
        let given_up = Box::pin(turns.take(one));
        drop(given_up);
        drop(first);
        drop(second.await);
        assert!(turns.lock().is_empty());
    }
}
