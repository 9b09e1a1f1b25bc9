//! Compiles the contract: protox (no protoc needed) → descriptor set → prost and tonic code.

use std::{env, error::Error, fs, path::PathBuf};

const CONTRACT: &str = "proto/chartbrew/connection/v1/connection_service.proto";

/// Messages that hold secrets: `src/proto.rs` writes their `Debug` by hand.
const SECRET_MESSAGES: [&str; 5] = [
    "chartbrew.connection.v1.NewConnection",
    "chartbrew.connection.v1.Connection",
    "chartbrew.connection.v1.Authentication",
    "chartbrew.connection.v1.SshTunnel",
    "chartbrew.connection.v1.ConnectionFiles",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile([CONTRACT], ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(
        out.join("descriptors.bin"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        .bytes(".chartbrew.connection.v1.ConnectionFiles")
        .skip_debug(SECRET_MESSAGES)
        .compile_fds(descriptors)?;
    Ok(())
}
