//! Chartbrew's REST API, as the gateway speaks it.

pub mod types;
