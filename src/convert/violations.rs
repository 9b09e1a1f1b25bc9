//! What is wrong with a request: all of it, in the order of the contract's fields.

use std::fmt;

/// Everything that is wrong with a request.
///
/// At most [`Violations::MAX`] are kept and the rest counted: one small request can be wrong in a
/// million places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    kept: Vec<Violation>,
    omitted: usize,
    invalid: bool,
}

/// One thing that is wrong. It holds no value of a secret field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path as in the contract: `connection.authentication.type`,
    /// `connection.project_ids[2]`.
    pub field: String,
    /// What to change, and what is allowed. A sentence without its full stop.
    pub description: String,
    /// What sort of mistake it is.
    pub kind: Kind,
}

/// Sorts of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A field is missing or wrong.
    Invalid,
    /// The body or a file is larger than Chartbrew takes.
    TooLarge,
}

// === impl Violations ===

impl Violations {
    /// How many violations are kept.
    pub const MAX: usize = 50;

    /// The violations, in the order of the contract's fields.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.kept.iter()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many violations were found beyond those kept.
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether there is something wrong, and all of it is size.
    #[must_use]
    pub fn only_too_large(&self) -> bool {
        !self.is_empty() && !self.invalid
    }

    /// Adds a field that is missing or wrong.
    pub(super) fn invalid(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.push(field.into(), description.into(), Kind::Invalid);
    }

    /// Adds something that is too large.
    pub(super) fn too_large(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.push(field.into(), description.into(), Kind::TooLarge);
    }

    fn push(&mut self, field: String, description: String, kind: Kind) {
        self.invalid |= kind == Kind::Invalid;
        if self.kept.len() < Self::MAX {
            self.kept.push(Violation {
                field,
                description,
                kind,
            });
        } else {
            self.omitted += 1;
        }
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = std::slice::Iter<'a, Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// `name: is required: …; team_id: …`.
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        if self.omitted > 0 {
            write!(f, "; and {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

// === impl Violation ===

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.description)
    }
}

/// A value to be named in a message: its first 64 characters, quoted and with control characters
/// escaped. Not for secrets.
pub(super) fn brief(value: &str) -> String {
    const MAX: usize = 64;
    match value.char_indices().nth(MAX) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}…", value.get(..end).unwrap_or_default()),
    }
}
