//! Compiles the contract: protox (no protoc needed) → descriptor set → prost and tonic code. Notes
//! which commit is built.

use std::{env, error::Error, fs, path::PathBuf, process::Command};

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
    println!("cargo:rustc-env=GATEWAY_COMMIT={}", commit());
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

/// The commit that is built, of 12 digits: `GATEWAY_COMMIT` where that is set, as in a container that
/// has no history, else what git says. `unknown` without both.
fn commit() -> String {
    println!("cargo:rerun-if-env-changed=GATEWAY_COMMIT");
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        (output.status.success() && !text.is_empty()).then(|| text.trim().to_owned())
    };
    // It grows with each commit, and when another one is checked out.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    let given = env::var("GATEWAY_COMMIT")
        .ok()
        .filter(|commit| !commit.is_empty());
    let commit = given.or_else(|| git(&["rev-parse", "HEAD"]));
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    commit.chars().take(12).collect()
}
