//! What the gateway tells about itself. A leaf: every room may write to `tracing`.

mod logs;

pub use logs::{Format, InvalidFilter, Logs};
