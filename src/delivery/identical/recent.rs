//! The rows that were assigned to creates in the last seconds, whatever their bodies.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// How long every assigned row is remembered at least; at most twice as long. A recovery looks back
/// [`CLOCK_SLACK`](super::super::clock::CLOCK_SLACK) and a second further than its request.
pub(super) const RECENT: Duration = Duration::from_secs(7);

/// A team and the id of one of its connections.
pub(super) type RowKey = (i32, i32);

/// For each row a hash of its owner. Two maps instead of a time for each row.
#[derive(Debug, Default)]
pub(super) struct RecentRows {
    newer: HashMap<RowKey, u64>,
    older: HashMap<RowKey, u64>,
    /// When `newer` was begun.
    began: Option<Instant>,
}

// === impl RecentRows ===

impl RecentRows {
    /// Forgets what is too old to matter.
    pub(super) fn prune(&mut self, now: Instant) {
        let age = self.began.map(|began| now.duration_since(began));
        if age.is_none_or(|age| age >= RECENT) {
            self.older = std::mem::take(&mut self.newer);
            self.began = Some(now);
        }
        if age.is_some_and(|age| age >= 2 * RECENT) {
            self.older = HashMap::new();
        }
    }

    pub(super) fn insert(&mut self, row: RowKey, owner: u64) {
        self.newer.insert(row, owner);
    }

    pub(super) fn owner(&self, row: RowKey) -> Option<u64> {
        let owner = self.newer.get(&row).or_else(|| self.older.get(&row));
        owner.copied()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }
}
