//! What Chartbrew's REST API takes and gives, as types. REST names are here and nowhere else.
//!
//! | type | direction |
//! |---|---|
//! | [`NewConnection`] → [`CreateBody`] → [`Create`] | the body of a create, serialised once |
//! | [`Files`] | the parts of an upload |
//! | [`ConnectionRef`], [`Changes`], [`NewTest`] | what the other requests say |
//! | [`Connection`], [`ConnectionList`], [`Page`], [`Tested`] | what comes back |
//! | [`OptionalFields`], [`fields()`] | what both have, and the rules: made from the table in `table.rs` |
//! | [`RowMatch`] | whether a row that came back is what a body asked for |
//!
//! Writing is strict, reading is lenient: a field that Chartbrew adds, or gives in another JSON
//! type than it documents, is kept in [`Connection::extra`] instead of failing the call.
//!
//! Nearly all of these hold secrets. Their `Debug` names the type and shows nothing of what is in
//! it.

mod compare;
mod connection;
mod create;
mod elements;
mod field;
mod fields;
mod files;
mod lenient;
mod list;
pub mod names;
mod new_connection;
mod page;
mod resource;
mod secret_json;
mod table;
mod tested;
#[cfg(test)]
mod tests;
mod unreadable;

pub use compare::{RowMatch, View};
pub use connection::Connection;
pub use create::{Create, CreateBody};
pub use elements::Elements;
pub use field::{Clear, Compare, Field, Secret};
pub use fields::{OptionalFields, SshFields, field, fields};
pub use files::{File, Files};
pub use lenient::{PortText, ProjectId};
pub use list::ConnectionList;
pub use new_connection::{NewConnection, authentication};
pub use page::{Page, PageReader, PageRequest, Position};
pub use resource::{Changes, ConnectionRef, NewTest};
pub use secret_json::secret_json;
pub(crate) use table::connection_fields;
pub use tested::Tested;
pub use unreadable::Unreadable;
