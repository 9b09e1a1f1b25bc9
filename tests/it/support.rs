//! What the tests stand on: a gateway on a free port, an upstream of raw sockets.

pub(crate) mod gateway;
pub(crate) mod raw;
