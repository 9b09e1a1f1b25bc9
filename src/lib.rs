//! chartbrew-gateway: gRPC in, Chartbrew's REST API out, typed both ways.
#![forbid(unsafe_code)]

pub mod chartbrew;
pub mod convert;
pub mod proto;
pub mod sandbox;
