//! Why a response cannot be read as a connection, or as a list of them.

/// A response that cannot be read. It shows nothing of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The JSON ends in the middle.
    #[error("the response is cut short")]
    CutShort,
    /// Not JSON, or nested deeper than 127 levels.
    #[error("the response is not JSON that can be read")]
    NotJson,
    /// JSON, but not an object where a row is due, or not an array where a list is.
    #[error("the response is JSON of another shape than a connection's")]
    WrongShape,
    /// An object without an id that is a whole number from 1 to 2,147,483,647.
    #[error("the response is a connection without a usable id")]
    NoId,
    /// One row is larger than what is read of a whole response.
    #[error("a connection in the response is larger than the limit")]
    TooLarge,
}

// === impl Unreadable ===

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        use serde_json::error::Category;
        match error.classify() {
            Category::Eof => Self::CutShort,
            Category::Data => Self::WrongShape,
            Category::Io | Category::Syntax => Self::NotJson,
        }
    }
}
