//! A `redis-server` of a test's own.

use std::{
    io::ErrorKind,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chartbrew_gateway::delivery::request_id::{RedisSettings, Store, StoreSettings};

use crate::port::Port;

const INSTALL: &str = "redis-server is not installed: `apt-get install -y redis-server`, or set \
                       CHARTBREW_GATEWAY_SKIP_REDIS=1 to leave these tests out";
/// The base URL of the Chartbrew that stores are opened for.
pub(crate) const UPSTREAM: &str = "http://h";

/// Serves on loopback, keeps nothing on disk, and ends with this handle.
pub(crate) struct Server {
    port: Port,
    dir: PathBuf,
    /// More of its options.
    options: Vec<String>,
    process: Child,
}

/// Whether these tests are to run.
pub(crate) fn wanted() -> bool {
    let skip = std::env::var_os("CHARTBREW_GATEWAY_SKIP_REDIS").is_some_and(|skip| skip == "1");
    if skip {
        eprintln!("left out: CHARTBREW_GATEWAY_SKIP_REDIS=1");
    }
    !skip
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(options: &[&str]) -> Self {
        let name = format!("chartbrew-gateway-{}", uuid::Uuid::new_v4());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir(&dir).unwrap();
        let options: Vec<_> = options.iter().copied().map(str::to_owned).collect();
        let port = Port::reserve();
        let mut process = spawn(&port, &dir, &options);
        assert!(is_up(&port, &mut process));
        Self {
            port,
            dir,
            options,
            process,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.port.addr())
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        RedisSettings::parse(&self.url()).unwrap()
    }

    pub(crate) fn store(&self) -> Store {
        open(self.settings())
    }

    pub(crate) async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// All that it was told to write, if it was started with `--appendonly yes`.
    pub(crate) fn written(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.dir.join("appendonlydir")).unwrap();
        let contents = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        contents.flatten().collect()
    }

    /// Ends it. What it held is lost.
    pub(crate) fn stop(&mut self) {
        end(&mut self.process);
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.port, &self.dir, &self.options);
        assert!(is_up(&self.port, &mut self.process));
    }

    /// Makes it fall silent: connections stay open and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        assert!(status.unwrap().success());
    }
}

pub(crate) fn open(settings: RedisSettings) -> Store {
    Store::open(&StoreSettings::Redis(settings), UPSTREAM).unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.process);
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

fn spawn(port: &Port, dir: &PathBuf, options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command
        .args([
            "--port",
            &port.addr().port().to_string(),
            "--bind",
            "127.0.0.1",
        ])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(dir)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    match command.spawn() {
        Ok(process) => process,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!("{INSTALL}"),
        Err(error) => panic!("redis-server: {error}"),
    }
}

fn is_up(port: &Port, process: &mut Child) -> bool {
    for _ in 0..500 {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(port.addr()).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn end(process: &mut Child) {
    // Fails only if it has ended.
    process.kill().ok();
    process.wait().unwrap();
}
