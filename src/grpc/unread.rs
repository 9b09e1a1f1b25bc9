//! Bounds the memory of responses that their callers do not read.
//!
//! A caller that keeps its window shut can have as many responses wait as it has calls, and that of a list
//! can have megabytes. So what waits of large responses has a limit for all callers together; beyond it,
//! the response that has waited longest is given up, and its stream reset.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Bytes of large responses that wait, all together.
const MOST: usize = 128 * 1024 * 1024;
/// What is handed on at a time, so that the HTTP library keeps no more. A response that is not larger
/// is not counted.
const PIECE: usize = 16 * 1024;

/// The responses that wait, of all callers.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they began to wait.
    responses: BTreeMap<u64, Bytes>,
    next: u64,
    bytes: usize,
}

/// The message of a response, as long as it was not read to its end.
#[derive(Debug)]
pub(super) enum Message {
    Small(Bytes),
    Large(Place),
}

/// A response that waits. It no longer does when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    unread: Unread,
    key: u64,
}

/// What comes next of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Last(Bytes),
    NotLast(Bytes),
    /// The response was given up.
    GivenUp,
}

// === impl Unread ===

impl Unread {
    /// Keeps a message until it is read.
    pub(super) fn keep(&self, message: Bytes) -> Message {
        if message.len() <= PIECE {
            return Message::Small(message);
        }
        let key = self.waiting().add(message);
        let unread = self.clone();
        Message::Large(Place { unread, key })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiting ===

impl Waiting {
    fn add(&mut self, message: Bytes) -> u64 {
        let key = self.next;
        self.next += 1;
        self.bytes += message.len();
        self.responses.insert(key, message);
        // One that is too large by itself waits alone.
        while self.bytes > MOST && self.responses.len() > 1 {
            if let Some((_, oldest)) = self.responses.pop_first() {
                self.bytes -= oldest.len();
            }
        }
        key
    }

    fn take(&mut self, key: u64) -> Piece {
        let Some(message) = self.responses.get_mut(&key) else {
            return Piece::GivenUp;
        };
        // Copied: a part would keep the memory of the whole.
        let piece = Bytes::copy_from_slice(&message.split_to(PIECE.min(message.len())));
        self.bytes -= piece.len();
        match message.is_empty() {
            true => Piece::Last(piece),
            false => Piece::NotLast(piece),
        }
    }
}

// === impl Message ===

impl Message {
    pub(super) fn take(&mut self) -> Piece {
        match self {
            Self::Small(message) => Piece::Last(std::mem::take(message)),
            Self::Large(place) => place.unread.waiting().take(place.key),
        }
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.unread.waiting();
        if let Some(rest) = waiting.responses.remove(&self.key) {
            waiting.bytes -= rest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut message: Message) -> Option<usize> {
        let mut bytes = 0;
        loop {
            match message.take() {
                Piece::Last(piece) => return Some(bytes + piece.len()),
                Piece::NotLast(piece) => bytes += piece.len(),
                Piece::GivenUp => return None,
            }
        }
    }

    #[test]
    fn the_response_that_has_waited_longest_is_given_up() {
        let unread = Unread::default();
        let of = |bytes| unread.keep(Bytes::from(vec![0; bytes]));
        let half = MOST / 2;
        let (small, first, second) = (of(PIECE), of(half), of(half - PIECE));
        let third = of(PIECE + 1);
        assert_eq!(read(first), None);
        assert_eq!(read(second), Some(half - PIECE));
        assert_eq!(read(third), Some(PIECE + 1));
        assert_eq!(read(small), Some(PIECE));
        assert_eq!(read(of(MOST + 1)), Some(MOST + 1));
        drop(of(half));
        let waiting = unread.waiting();
        assert_eq!((waiting.bytes, waiting.responses.len()), (0, 0));
    }
}
