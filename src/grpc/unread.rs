//! Bounds the memory of responses that their callers do not read.
//!
//! A caller that keeps its window shut can have as many responses wait as it has calls, and that of a list
//! can have megabytes. So what waits of large responses has a limit for all callers together; beyond it,
//! the response that has waited longest is given up, and its stream reset.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::waiting::Waiting;

/// Bytes of large responses that wait, all together.
const MOST: usize = 128 * 1024 * 1024;
/// What is handed on at a time, so that the HTTP library keeps no more. A response that is not larger
/// is not counted.
const PIECE: usize = 16 * 1024;

/// The responses that wait, of all callers.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<Mutex<Waiting<Bytes>>>);

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
    place: u64,
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
        let mut waiting = self.waiting();
        let place = waiting.add(message.len(), message);
        let mut given_up = Vec::new();
        // One that is too large by itself waits alone.
        while waiting.bytes() > MOST && waiting.len() > 1 {
            given_up.extend(waiting.remove_oldest());
        }
        // Their memory is given back when others can go on.
        drop(waiting);
        let unread = self.clone();
        Message::Large(Place { unread, place })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Message ===

impl Message {
    pub(super) fn take(&mut self) -> Piece {
        match self {
            Self::Small(message) => Piece::Last(std::mem::take(message)),
            Self::Large(place) => place.take(),
        }
    }
}

// === impl Place ===

impl Place {
    fn take(&self) -> Piece {
        let mut waiting = self.unread.waiting();
        let Some(message) = waiting.get_mut(self.place) else {
            return Piece::GivenUp;
        };
        // Copied: a part would keep the memory of the whole.
        let piece = Bytes::copy_from_slice(&message.split_to(PIECE.min(message.len())));
        // Until the last piece the whole takes up its memory, and counts.
        match message.is_empty() {
            true => Piece::Last(piece),
            false => Piece::NotLast(piece),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let message = self.unread.waiting().remove(self.place);
        // The guard is gone by here: others need not wait until the memory is given back.
        drop(message);
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
    fn a_response_that_was_read_in_part_counts_whole() {
        let unread = Unread::default();
        let of = |bytes| unread.keep(Bytes::from(vec![0; bytes]));
        let mut first = of(3 * PIECE);
        assert!(matches!(first.take(), Piece::NotLast(_)));
        let second = of(MOST - 2 * PIECE);
        assert_eq!(read(first), None);
        drop(second);
        assert_eq!(unread.waiting().bytes(), 0);
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
        assert_eq!((waiting.bytes(), waiting.len()), (0, 0));
    }
}
