//! What is fuzzed, apart from what fuzzes it: libFuzzer through `fuzz_targets/`, and `cargo test`
//! on the stable toolchain through `tests/it/fuzz.rs`, which includes this file.
//!
//! | target | way through the gateway |
//! |---|---|
//! | [`answer`] | a status and the bytes of a body, as upstream may send them → what is made of them |
//! | [`request`] | the bytes of a message, as a caller may send them → the body that goes upstream |
//!
//! A target returns if all its promises hold and panics if one is broken.

pub mod answer;
pub mod request;
