//! The real binary: what it prints, how it exits, and how it stops.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed; clippy.toml sees only #[test] bodies"
)]

// Files beside the root of an integration test would be tests of their own.
#[path = "cli/binary.rs"]
mod binary;
#[path = "cli/chartbrew_tls.rs"]
mod chartbrew_tls;
#[path = "cli/dependencies.rs"]
mod dependencies;
#[path = "cli/docs.rs"]
mod docs;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/security.rs"]
mod security;
#[path = "cli/serving.rs"]
mod serving;
#[path = "cli/settings.rs"]
mod settings;
