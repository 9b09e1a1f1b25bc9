//! The store of request ids in Redis, against a real `redis-server` that each test starts for
//! itself. Not part of plain `cargo test`, which needs nothing but the toolchain:
//!
//! ```text
//! apt-get install -y redis-server
//! cargo test --features redis-tests --test redis
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; clippy.toml sees only #[test] bodies"
)]

#[path = "redis/gateways.rs"]
mod gateways;
#[path = "redis/outage.rs"]
mod outage;
#[path = "it/support/port.rs"]
mod port;
#[path = "redis/secrets.rs"]
mod secrets;
#[path = "redis/server.rs"]
mod server;
#[path = "redis/store.rs"]
mod store;
#[path = "it/store_suite.rs"]
mod store_suite;
