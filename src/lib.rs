//! chartbrew-gateway: gRPC in, Chartbrew's REST API out, typed in both directions.
//!
//! A call comes in through [`grpc`]: its server accepts connections, its layers give the call an id,
//! a deadline and a token, and its table of errors makes every status. [`convert`] turns the message
//! into the REST types, or returns all that is wrong with it. [`delivery`] decides what may be sent
//! again and what must not: it retries what had no effect, and looks for the connection when the
//! response to its creation was lost. [`chartbrew`] is the REST client. The response takes the same
//! way back.
//!
//! [`app`] builds these parts from the settings that [`config`] reads, and stops them in order when
//! [`shutdown`] says so. [`reload`] reads files again that change while it runs. [`telemetry`] has the log, the traces and the metrics; [`admin`] serves them
//! to operators. [`proto`] is the code made from the contract.
//!
//! `docs/ARCHITECTURE.md` has the way of a request, the rules of delivery, who may import whom, and
//! where to start for typical changes.
#![forbid(unsafe_code)]

/// The commit that was built, of 12 digits, or `unknown`.
pub const COMMIT: &str = env!("GATEWAY_COMMIT");

pub mod admin;
pub mod app;
pub mod callers;
pub mod chartbrew;
pub mod config;
pub mod convert;
mod crypto;
pub mod delivery;
#[cfg(feature = "demo")]
pub mod demo;
pub mod grpc;
pub mod proto;
pub mod reload;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
