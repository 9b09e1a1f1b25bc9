//! What waits, in the order in which it began to, and how many bytes all of it takes up. Whoever has
//! too much of it removes the oldest.

use std::collections::BTreeMap;

/// What waits. Each has a place, which is never given to another one.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    /// With their bytes.
    entries: BTreeMap<u64, (usize, T)>,
    next: u64,
    bytes: usize,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            next: 0,
            bytes: 0,
        }
    }
}

impl<T> Waiting<T> {
    /// Adds one that takes up so many bytes, and returns its place.
    pub(super) fn add(&mut self, bytes: usize, value: T) -> u64 {
        let place = self.next;
        self.next += 1;
        self.bytes += bytes;
        self.entries.insert(place, (bytes, value));
        place
    }

    /// Notes how many bytes one takes up now. `None`: it was removed.
    pub(super) fn resize(&mut self, place: u64, bytes: usize) -> Option<&mut T> {
        let (before, value) = self.entries.get_mut(&place)?;
        self.bytes = self.bytes - *before + bytes;
        *before = bytes;
        Some(value)
    }

    /// One that waits. `None`: it was removed.
    pub(super) fn get_mut(&mut self, place: u64) -> Option<&mut T> {
        self.entries.get_mut(&place).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, place: u64) -> Option<T> {
        let (bytes, value) = self.entries.remove(&place)?;
        self.bytes -= bytes;
        Some(value)
    }

    /// Removes the one that has waited longest.
    pub(super) fn remove_oldest(&mut self) -> Option<T> {
        let (_, (bytes, value)) = self.entries.pop_first()?;
        self.bytes -= bytes;
        Some(value)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What all of them take up.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
