//! Makes the client's code from the contract: protox (no protoc needed), prost and tonic.

use std::error::Error;

const CONTRACT: &str = "chartbrew/connection/v1/connection_service.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../../proto");
    let descriptors = protox::compile([CONTRACT], ["../../proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(descriptors)?;
    Ok(())
}
