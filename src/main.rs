//! The `chartbrew-gateway` binary.
fn main() {}
