//! Cuts a list into its rows while it arrives, so that not all of it need be kept.

use super::Unreadable;

/// Cuts a JSON array into its elements while it arrives. Only the element that is arriving is
/// kept.
#[derive(Debug, Default)]
pub struct Elements {
    /// What has arrived of the current element.
    part: Vec<u8>,
    has_elements: bool,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The array has not begun.
    #[default]
    Before,
    /// Between elements, or within one that has no brackets and quotes: a number, say.
    Between,
    /// Within brackets, this many of them.
    Nested(usize),
    /// Within a text.
    Text(usize),
    /// After a backslash in a text.
    Escape(usize),
    /// The array has ended.
    After,
}

// === impl Elements ===

impl Elements {
    /// Takes the next bytes and gives each element that they complete to `each`, until that says
    /// that it needs no more. Returns whether it needs more.
    ///
    /// # Errors
    /// If what arrives is no array, or an element is larger than `max` bytes, and those of `each`.
    pub fn push(
        &mut self,
        bytes: &[u8],
        max: usize,
        mut each: impl FnMut(&[u8]) -> Result<bool, Unreadable>,
    ) -> Result<bool, Unreadable> {
        let mut begin = 0;
        for (index, byte) in bytes.iter().enumerate() {
            let before = self.place;
            self.place = before.after(*byte)?;
            if before == Place::Before && self.place == Place::Between {
                begin = index + 1;
            }
            if before == Place::Between && matches!(byte, b',' | b']') {
                self.part.extend_from_slice(&bytes[begin..index]);
                begin = index + 1;
                let is_empty_array =
                    *byte == b']' && !self.has_elements && self.part.trim_ascii().is_empty();
                self.has_elements = true;
                let needs_more = is_empty_array || each(&self.part)?;
                self.part.clear();
                if !needs_more {
                    return Ok(false);
                }
            }
        }
        if !matches!(self.place, Place::Before | Place::After) {
            self.part.extend_from_slice(&bytes[begin..]);
        }
        match self.part.len() > max {
            true => Err(Unreadable::TooLarge),
            false => Ok(true),
        }
    }

    /// The list has ended.
    ///
    /// # Errors
    /// If its end is missing.
    pub fn finish(self) -> Result<(), Unreadable> {
        match self.place {
            Place::After => Ok(()),
            Place::Before => Err(Unreadable::WrongShape),
            _ => Err(Unreadable::CutShort),
        }
    }
}

// === impl Place ===

impl Place {
    /// The place after this byte.
    fn after(self, byte: u8) -> Result<Self, Unreadable> {
        use Place::{After, Before, Between, Escape, Nested, Text};
        Ok(match (self, byte) {
            (Before, b'[') => Between,
            (Before | After, b' ' | b'\t' | b'\r' | b'\n') => self,
            (Before | After, _) => return Err(Unreadable::WrongShape),
            (Between, b']') => After,
            (Between, b'{' | b'[') => Nested(1),
            (Between, b'"') => Text(0),
            (Between, _) => Between,
            (Nested(depth), b'{' | b'[') => Nested(depth + 1),
            (Nested(1), b'}' | b']') => Between,
            (Nested(depth), b'}' | b']') => Nested(depth - 1),
            (Nested(depth), b'"') => Text(depth),
            (Nested(_), _) => self,
            (Text(depth), b'\\') => Escape(depth),
            (Text(0), b'"') => Between,
            (Text(depth), b'"') => Nested(depth),
            (Text(depth) | Escape(depth), _) => Text(depth),
        })
    }
}

#[cfg(test)]
mod tests;
