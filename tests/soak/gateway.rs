//! The gateway as a process of its own, which can be killed.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};
use tonic::transport::Channel;

use crate::port::Port;

/// Neither a start nor an end takes longer, on a busy machine either.
const PATIENCE: Duration = Duration::from_secs(30);

/// Killed when dropped.
pub(crate) struct Gateway {
    child: Child,
    port: Port,
    upstream: String,
    store: String,
}

impl Gateway {
    /// Starts it before an upstream, with a store of request ids.
    pub(crate) async fn start(upstream: String, store: String) -> Self {
        let port = Port::reserve();
        let mut gateway = Self {
            child: spawn(port.addr(), &upstream, &store),
            port,
            upstream,
            store,
        };
        gateway.is_up().await;
        gateway
    }

    /// A connection that is made again when it has broken.
    pub(crate) fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.port.addr()));
        endpoint.unwrap().connect_lazy()
    }

    /// SIGKILL, and a new one in its place.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.child.kill().await.unwrap();
        self.child = spawn(self.port.addr(), &self.upstream, &self.store);
        self.is_up().await;
    }

    /// SIGTERM: nothing is sent to the upstream afterwards.
    pub(crate) async fn stop(mut self) {
        let pid = self.child.id().unwrap().to_string();
        let signal = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(signal.unwrap().success());
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("the gateway ends").unwrap();
    }

    async fn is_up(&mut self) {
        let up = async {
            while TcpStream::connect(self.port.addr()).await.is_err() {
                assert!(self.child.try_wait().unwrap().is_none());
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, up).await.expect("the gateway starts");
    }
}

fn spawn(addr: SocketAddr, upstream: &str, store: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_chartbrew-gateway"))
        .arg("serve")
        .args(["--listen", &addr.to_string()])
        .args(["--chartbrew-url", upstream])
        .args(["--recovery-window", "1s"])
        .args(["--abandoned-after", "8s"])
        .args(["--backoff", "5ms"])
        .args(["--max-in-flight", "4096"])
        .args(["--shutdown-delay", "0s"])
        .args(["--shutdown-grace", "1ms"])
        .args(["--log", "off"])
        .env("GATEWAY_REQUEST_ID_STORE", store)
        .env("GATEWAY_ADMIN_LISTEN", "off")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
