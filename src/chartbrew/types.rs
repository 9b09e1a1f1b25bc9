//! What Chartbrew's REST API takes and gives, as types. REST names live in this room and nowhere
//! else.
//!
//! | type | direction |
//! |---|---|
//! | [`NewConnection`] → [`CreateBody`] → [`Create`] | the body of a create, serialised once, and what belongs to it |
//! | [`Files`] | the parts of an upload |
//! | [`Connection`], [`ConnectionList`] | what comes back |
//! | [`Likeness`] | whether a row that came back is what a body asked for |
//!
//! Writing is strict, reading is lenient: a field that Chartbrew adds, or gives in another JSON
//! type than it documents, is kept in [`Connection::extra`] instead of failing the call.
//!
//! Nearly all of these hold secrets. Their `Debug` names the type and shows nothing of what is in
//! it.

mod connection;
mod create;
mod files;
mod lenient;
mod likeness;
mod list;
pub mod names;
mod new_connection;
#[cfg(test)]
mod tests;
mod unreadable;

pub use connection::Connection;
pub use create::{Create, CreateBody};
pub use files::{File, Files};
pub use lenient::{PortText, ProjectId};
pub use likeness::{Likeness, View};
pub use list::ConnectionList;
pub use new_connection::{NewConnection, authentication};
pub use unreadable::Unreadable;
