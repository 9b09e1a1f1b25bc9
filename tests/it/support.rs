//! Helpers of the tests: a gateway on a free port, an upstream of raw sockets.

pub(crate) mod collector;
pub(crate) mod gateway;
pub(crate) mod http2;
pub(crate) mod pki;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod raw;
pub(crate) mod rpc;
pub(crate) mod time;
pub(crate) mod tls;
pub(crate) mod wire;
