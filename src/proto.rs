//! The generated contract: messages, client and server of `chartbrew.connection.v1`, and its
//! descriptors for the reflection service.
//!
//! Every module may use it. The messages that hold secrets get a `Debug` of their own
//! here, since prost's would print them: it names the message and shows nothing of its content.

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
