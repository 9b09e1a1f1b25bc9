//! What is fuzzed, apart from what fuzzes it: libFuzzer through `fuzz_targets/`, and `cargo test`
//! on the stable toolchain through `tests/it/fuzz.rs`, which includes this file.
//!
//! | target | way through the gateway |
//! |---|---|
//! | [`answer`] | a status and the bytes of a body, as upstream may send them → what is made of them |
//! | | [`pages`]: the same body as a list that arrives in pieces; [`tested`]: as the result of a test |
//! | [`request`] | the bytes of a message, as a caller may send them → the body that goes upstream |
//! | | [`resource`]: the same bytes as the messages of the other methods |
//!
//! A target returns if all its promises hold and panics if one is broken.

pub mod answer;
pub mod pages;
pub mod request;
pub mod resource;
pub mod tested;
