//! libFuzzer's way into [`chartbrew_gateway_fuzz::request`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| chartbrew_gateway_fuzz::request::run(data));
