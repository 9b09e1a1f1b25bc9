//! The integration tests, in one binary: a file a promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy.toml allows them in tests, but sees only the bodies of #[test] functions"
)]

mod sandbox;
