//! A port of loopback that stays the same test's.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port that is given to no other test while this exists, whether something listens on it or not. As
/// long as nothing does, it refuses connections.
///
/// Its socket is bound and never listens; who sets SO_REUSEADDR, as servers do, can listen beside it.
pub(crate) struct Port(TcpSocket);

impl Port {
    pub(crate) fn reserve() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self(socket)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }
}
