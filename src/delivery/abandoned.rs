//! Limits the number of operations that continue after their callers have left.
//!
//! Each of them keeps a connection to Chartbrew open. They have a limit of their own, so that they
//! do not use up the limit of calls in progress.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// The operations whose callers have left, oldest first.
#[derive(Debug)]
pub(super) struct Abandoned {
    limit: usize,
    operations: Mutex<VecDeque<CancellationToken>>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Member<'a> {
    all: &'a Abandoned,
    given_up: CancellationToken,
}

// === impl Abandoned ===

impl Abandoned {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            operations: Mutex::default(),
        }
    }

    /// Adds an operation. If there are too many, the oldest one is told to end.
    pub(super) fn enter(&self) -> Member<'_> {
        let given_up = CancellationToken::new();
        let mut operations = self.operations();
        operations.push_back(given_up.clone());
        if operations.len() > self.limit
            && let Some(oldest) = operations.pop_front()
        {
            oldest.cancel();
        }
        drop(operations);
        Member {
            all: self,
            given_up,
        }
    }

    fn operations(&self) -> MutexGuard<'_, VecDeque<CancellationToken>> {
        // No code that can panic runs under this lock.
        let operations = self.operations.lock();
        operations.unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Member ===

impl Member<'_> {
    /// Waits until the operation must end because there are too many newer ones.
    pub(super) async fn given_up(&self) {
        self.given_up.cancelled().await;
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        // Tokens cannot be compared: the one that is cancelled now is this one.
        self.given_up.cancel();
        self.all.operations().retain(|known| !known.is_cancelled());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_oldest_gives_up_first() {
        let all = Abandoned::new(2);
        let (first, second) = (all.enter(), all.enter());
        assert!(first.given_up().now_or_never().is_none());
        let third = all.enter();
        assert!(first.given_up().now_or_never().is_some());
        drop(second);
        let fourth = all.enter();
        assert!(third.given_up().now_or_never().is_none());
        assert!(fourth.given_up().now_or_never().is_none());
        drop((first, third, fourth));
        assert!(all.operations().is_empty());
    }
}
