//! `chartbrew-sandbox`: the sandbox as a program, for tests in other languages.
#![forbid(unsafe_code)]

use std::{
    error::Error,
    io::{self, Write},
    net::SocketAddr,
};

use chartbrew_sandbox::{Sandbox, Settings, TOKEN};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// A Chartbrew for tests: its REST API for connections, in memory, with faults on demand.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Args {
    /// Where it listens. Port 0: any free one, which is printed.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4019")]
    listen: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Args { listen } = Args::parse();
    let settings = Settings {
        listen,
        ..Settings::default()
    };
    let sandbox = Sandbox::bind(settings).await;
    let sandbox =
        sandbox.map_err(|error| format!("--listen: cannot listen on {listen}: {error}"))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stopped = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    writeln!(io::stdout(), "url {}\ntoken {TOKEN}", sandbox.url())?;
    sandbox.run(stopped).await;
    Ok(())
}
