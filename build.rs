//! Compiles the contract: protox (no protoc needed) → descriptor set → prost and tonic code.

use std::{env, error::Error, fs, path::PathBuf};

const CONTRACT: &str = "proto/chartbrew/connection/v1/connection_service.proto";

/// Messages that hold secrets: `src/proto.rs` writes their `Debug` by hand.
const SECRET_MESSAGES: [&str; 7] = [
    "chartbrew.connection.v1.NewConnection",
    "chartbrew.connection.v1.Connection",
    "chartbrew.connection.v1.Authentication",
    "chartbrew.connection.v1.SshTunnel",
    "chartbrew.connection.v1.ConnectionFiles",
    "chartbrew.connection.v1.TestResponse",
    "chartbrew.connection.v1.TestNewResponse",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_file(CONTRACT)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    // Encoded by the compiler, since prost's types have no place for `debug_redact`.
    fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .bytes(".chartbrew.connection.v1.ConnectionFiles")
        .skip_debug(SECRET_MESSAGES)
        // Messages are moved from layer to layer: what is boxed is moved as a pointer.
        .boxed(".chartbrew.connection.v1.CreateRequest.connection")
        .boxed(".chartbrew.connection.v1.CreateResponse.connection")
        .boxed(".chartbrew.connection.v1.GetResponse.connection")
        .boxed(".chartbrew.connection.v1.UpdateRequest.connection")
        .boxed(".chartbrew.connection.v1.UpdateResponse.connection")
        .boxed(".chartbrew.connection.v1.TestNewRequest.connection")
        .boxed(".chartbrew.connection.v1.UploadFilesResponse.connection")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
