//! Keeps creates that look alike from being taken for one another.
//!
//! Two creates of the same name in the same team are twins: after a lost answer, the row of one
//! may be found by the recovery of the other. So a create holds the *share* of its name while its
//! own outcome is open, and a recovery takes the name *alone*: it begins when every twin knows its
//! own row, and twins that come later wait until it ends. Creates of different names never meet.
//!
//! Within this process only. A twin that another gateway sends is told apart by the ids that both
//! have handed out, if they share a store, and by nothing else.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

type Name = (i32, String);

/// All names that creates are under way for.
#[derive(Debug, Default)]
pub(super) struct Twins {
    names: Mutex<HashMap<Name, Arc<Twin>>>,
    /// Bodies are told apart by a hash, since they hold secrets.
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Twin {
    // Fair: a recovery that waits is not overtaken by new creates.
    gate: Arc<RwLock<()>>,
    /// How many recoveries wait or run, by body.
    unresolved: Mutex<HashMap<u64, usize>>,
}

/// The place of one create among its twins.
#[derive(Debug)]
pub(super) struct Place {
    twins: Arc<Twins>,
    name: Name,
    twin: Arc<Twin>,
}

/// A create of the name is under way.
#[derive(Debug)]
pub(super) struct Share {
    _guard: OwnedRwLockReadGuard<()>,
    _place: Arc<Place>,
}

/// A recovery has the name alone.
#[derive(Debug)]
pub(super) struct Alone {
    // Dropped in this order: the next in line must not count a recovery that has ended.
    unresolved: Unresolved,
    _guard: OwnedRwLockWriteGuard<()>,
}

#[derive(Debug)]
struct Unresolved {
    place: Arc<Place>,
    body: u64,
}

// === impl Twins ===

impl Twins {
    pub(super) fn place(self: &Arc<Self>, team: i32, name: &str) -> Arc<Place> {
        let name = (team, name.to_owned());
        let twin = lock(&self.names).entry(name.clone()).or_default().clone();
        Arc::new(Place {
            twins: self.clone(),
            name,
            twin,
        })
    }
}

// === impl Place ===

impl Place {
    /// Joins the creates of this name, once no recovery is under way.
    pub(super) async fn share(self: &Arc<Self>) -> Share {
        Share {
            _guard: self.twin.gate.clone().read_owned().await,
            _place: self.clone(),
        }
    }

    /// Waits until no create of this name is under way. Give up your own share first.
    pub(super) async fn alone(self: &Arc<Self>, body: &[u8]) -> Alone {
        let body = self.twins.hasher.hash_one(body);
        *lock(&self.twin.unresolved).entry(body).or_default() += 1;
        let unresolved = Unresolved {
            place: self.clone(),
            body,
        };
        Alone {
            _guard: self.twin.gate.clone().write_owned().await,
            unresolved,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut names = lock(&self.twins.names);
        // The map's own and this one: nobody else is at this name.
        if Arc::strong_count(&self.twin) == 2 {
            names.remove(&self.name);
        }
    }
}

// === impl Alone ===

impl Alone {
    /// How many rows may belong to creates like this one whose answers were lost. Their bodies
    /// are the same byte for byte, so it does not matter which row goes to which.
    pub(super) fn unresolved(&self) -> usize {
        let Unresolved { place, body } = &self.unresolved;
        lock(&place.twin.unresolved).get(body).copied().unwrap_or(1)
    }
}

impl Drop for Unresolved {
    fn drop(&mut self) {
        let mut unresolved = lock(&self.place.twin.unresolved);
        if let Some(count) = unresolved.get_mut(&self.body) {
            *count -= 1;
            if *count == 0 {
                unresolved.remove(&self.body);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_recovery_waits_for_twins_and_later_twins_wait_for_it() {
        let twins = Arc::new(Twins::default());
        let (first, second) = (twins.place(1, "a"), twins.place(1, "a"));
        let share = first.share().await;
        let mut recovery = Box::pin(second.alone(b"x"));
        assert!(recovery.as_mut().now_or_never().is_none());
        let later = twins.place(1, "a");
        let mut later_share = Box::pin(later.share());
        assert!(later_share.as_mut().now_or_never().is_none());
        assert!(twins.place(1, "b").share().now_or_never().is_some());
        assert!(twins.place(2, "a").share().now_or_never().is_some());

        drop(share);
        let alone = recovery.await;
        assert_eq!(alone.unresolved(), 1);
        drop(alone);
        drop(later_share.await);
    }

    #[tokio::test]
    async fn only_equal_bodies_are_counted_together() {
        let twins = Arc::new(Twins::default());
        let place = twins.place(1, "a");
        let alone = place.alone(b"x").await;
        let other = twins.place(1, "a");
        let mut same = Box::pin(other.alone(b"x"));
        let mut different = Box::pin(other.alone(b"y"));
        assert!(same.as_mut().now_or_never().is_none());
        assert!(different.as_mut().now_or_never().is_none());
        assert_eq!(alone.unresolved(), 2);
        drop(same);
        assert_eq!(alone.unresolved(), 1);
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_name_that_nobody_uses() {
        let twins = Arc::new(Twins::default());
        for name in ["a", "b"] {
            let place = twins.place(1, name);
            let share = place.share().await;
            drop(twins.place(1, name));
            assert_eq!(lock(&twins.names).len(), 1);
            drop((place, share));
        }
        assert!(lock(&twins.names).is_empty());
    }
}
