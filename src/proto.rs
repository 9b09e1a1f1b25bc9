//! The generated contract: messages, client and server of `chartbrew.connection.v1`, and its
//! descriptors for the reflection service.
//!
//! Every module may use it. The messages that hold secrets get a `Debug` of their own
//! here, since prost's would print them: it names the message and shows nothing of its content.

use std::sync::LazyLock;

use prost::Message;
use prost_types::FileDescriptorSet;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::restriction,
    reason = "generated code; the comments in the .proto file are its docs"
)]
mod generated {
    tonic::include_proto!("chartbrew.connection.v1");
}

pub use generated::*;

/// The encoded `FileDescriptorSet` of the contract and what it imports.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// `package.Service/Method` of every method of the contract.
static METHODS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap_or_default();
    let services = files.file.iter().flat_map(|file| {
        let package = file.package();
        file.service.iter().map(move |service| (package, service))
    });
    let methods = services.flat_map(|(package, service)| {
        let name = move |method: &str| format!("{package}.{}/{method}", service.name());
        service.method.iter().map(move |method| name(method.name()))
    });
    methods.collect()
});

/// `package.Service/Method` of every method of the contract.
#[must_use]
pub fn methods() -> &'static [String] {
    &METHODS
}

macro_rules! opaque_debug {
    ($($message:ident),+ $(,)?) => {$(
        impl std::fmt::Debug for $message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )+};
}

opaque_debug!(
    Authentication,
    Connection,
    ConnectionFiles,
    NewConnection,
    SshTunnel,
    TestNewResponse,
    TestResponse,
);
