//! Pure mapping between the gRPC contract and Chartbrew's REST types.
//!
//! - [`create`]: request → [`types::Create`](crate::chartbrew::types::Create), or [`Violations`]: all that is wrong with it, at once, in
//!   the contract's terms. Chartbrew itself accepts nearly anything and stores it, so wrong input
//!   is caught here or nowhere. What Chartbrew neither refuses nor spoils is let through.
//! - [`connection`]: a row → the contract's `Connection`, with nothing lost on the way.
//! - [`proto_field`]: the contract's name of a REST field, for naming what Chartbrew refused.
//!
//! Nothing here waits, logs or remembers.

mod check;
mod enums;
mod fields;
mod json;
mod limits;
#[cfg(test)]
mod properties;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod violations;

pub use fields::proto_field;
pub use limits::Limits;
pub use request::create;
pub use response::connection;
pub use violations::{Kind, Violation, Violations};
