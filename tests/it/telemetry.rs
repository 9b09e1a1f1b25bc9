//! One call can be followed from its caller to Chartbrew, and a fleet run from its metrics.

mod admin;
mod collectors;
mod levels;
mod metrics;
mod readiness;
mod traces;
