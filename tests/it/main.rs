//! The integration tests, in one binary: a file a promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; clippy.toml sees only #[test] bodies"
)]

mod access;
mod contract;
mod convert;
mod create;
mod delivery;
mod durations;
mod edge;
mod errors;
mod fuzz;
mod limits;
mod modules;
mod outage;
mod request_id_store;
mod resource;
mod resource_errors;
mod security;
mod store_suite;
mod support;
mod telemetry;
mod transport;
