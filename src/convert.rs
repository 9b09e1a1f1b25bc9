//! Pure mapping between the gRPC contract and Chartbrew's REST types.
//!
//! - [`create`], [`update()`] and the like: request → REST types, or [`Violations`]: all that is wrong
//!   with it, at once, in the contract's terms. Chartbrew itself accepts nearly anything and stores
//!   it, so wrong input must be found here. What Chartbrew accepts and stores unchanged is allowed.
//! - [`connection`]: a row → the contract's `Connection`, with nothing lost on the way;
//!   [`connection_in`] leaves out what a view does not show.
//! - [`tested`]: the result of a test, without the [`Secrets`] of the call.
//! - [`proto_field`]: the contract's name of a REST field, for naming what Chartbrew refused.
//!
//! Which fields there are, and how each is mapped, is in the table of `chartbrew/types/table.rs`;
//! the functions that its rows name are in `check.rs` and `show.rs`.
//!
//! Nothing here waits, logs or remembers.

mod check;
mod enums;
mod json;
mod limits;
mod new_connection;
mod page_token;
#[cfg(test)]
mod properties;
mod request;
mod response;
mod secrets;
mod show;
#[cfg(test)]
mod tests;
mod update;
mod violations;

pub use limits::Limits;
pub use request::{create, delete, get, list, test, test_new, upload_files};
pub use response::{connection, connection_in, page, tested};
pub use secrets::Secrets;
pub use update::update;
pub use violations::{Kind, Violation, Violations};

use crate::chartbrew::types;

/// Where `CreateRequest` has the REST field of this name (exact case): `subType` →
/// `connection.sub_type`. `None` if a request has no such field.
#[must_use]
pub fn proto_field(rest_name: &str) -> Option<&'static str> {
    types::field(rest_name)?.path
}
