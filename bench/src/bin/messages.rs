//! Writes what the load sends and what Envoy reads: `messages <folder>`.
//!
//! - `descriptors.bin`: the contract in `proto/` with its annotations, for Envoy
//! - `Create.bin`: a request as gRPC frames it, one file a method

use std::{error::Error, fs, path::Path};

use chartbrew_gateway::proto::{CreateRequest, GetRequest, ListRequest};
use chartbrew_gateway_bench::{REQUESTS, pure};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

const SERVICE: &str = "chartbrew.connection.v1.ConnectionService";
const CONTRACT: &str = "chartbrew/connection/v1/connection_service.proto";

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: messages <folder>")?;
    let folder = Path::new(&folder);
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let mut compiler = protox::Compiler::new([protos])?;
    compiler.include_imports(true).open_file(CONTRACT)?;
    // Not the `FileDescriptorSet` of prost, which forgets annotations.
    let descriptors = compiler.encode_file_descriptor_set();
    fs::write(folder.join("descriptors.bin"), &descriptors)?;

    let pool = DescriptorPool::decode(descriptors.as_slice())?;
    let service = pool.get_service_by_name(SERVICE).ok_or("no service")?;
    for (name, json) in REQUESTS {
        let method = service.methods().find(|method| method.name() == name);
        let kind = method.ok_or("a request has no method")?.input();
        let mut json = serde_json::Deserializer::from_str(json);
        let message = DynamicMessage::deserialize(kind, &mut json)?.encode_to_vec();
        match name {
            "Create" => check_create(&message)?,
            "Get" => check::<GetRequest>(&message)?,
            "List" => check::<ListRequest>(&message)?,
            _ => return Err(format!("{name} is not compared with the gateway's contract").into()),
        }
        let mut framed = vec![0];
        framed.extend(u32::try_from(message.len())?.to_be_bytes());
        framed.extend(message);
        fs::write(folder.join(name).with_extension("bin"), framed)?;
    }
    Ok(())
}

/// The contract here is a copy: whether the gateway's own reads the same from the bytes.
fn check<M: Message + Default>(message: &[u8]) -> Result<(), Box<dyn Error>> {
    if M::decode(message)?.encode_to_vec() == message {
        Ok(())
    } else {
        Err("proto/ differs from the gateway's contract".into())
    }
}

fn check_create(message: &[u8]) -> Result<(), Box<dyn Error>> {
    check::<CreateRequest>(message)?;
    let body = pure::request_to_body(message).map_err(|_| "the gateway refuses the request")?;
    eprintln!("the body of a create has {body} bytes");
    Ok(())
}
