//! chartbrew-gateway: gRPC in, Chartbrew's REST API out, typed both ways: never a duplicate,
//! never a lost outcome, never a leaked secret.
//!
//! The modules, in the order in which a request meets them:
#![forbid(unsafe_code)]

pub mod config;

pub mod app;

pub mod shutdown;

#[cfg(feature = "demo")]
pub mod demo;

pub mod proto;

pub mod grpc;

pub mod convert;

pub mod delivery;

pub mod chartbrew;

pub mod admin;

pub mod telemetry;
