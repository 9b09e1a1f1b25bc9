//! The subcommands that start the embedded Chartbrew.

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

use chartbrew_gateway::{config::Config, demo, shutdown::Signals, telemetry};
use chartbrew_sandbox::{self as sandbox, Sandbox};

use super::Failure;

/// Sandbox and gateway in one process.
pub(super) async fn run(config: Config) -> Result<ExitCode, Failure> {
    let signals = Signals::catch()?;
    let telemetry = telemetry::start(config.telemetry)?;
    let run = |stopped: tokio::sync::oneshot::Receiver<()>| {
        demo::run(config.app, async { stopped.await.unwrap_or_default() })
    };
    let ended = signals.run(run).await;
    telemetry.flush().await;
    match ended {
        Some(result) => result.map(|()| ExitCode::SUCCESS),
        None => Ok(ExitCode::FAILURE),
    }
}

/// The sandbox alone.
pub(super) async fn run_sandbox(listen: SocketAddr) -> Result<ExitCode, Failure> {
    let signals = Signals::catch()?;
    let settings = sandbox::Settings {
        listen,
        ..sandbox::Settings::default()
    };
    let sandbox = Sandbox::bind(settings)
        .await
        .map_err(|error| format!("--listen: cannot listen on {listen}: {error}"))?;
    writeln!(
        io::stdout(),
        "url {}\ntoken {}",
        sandbox.url(),
        sandbox::TOKEN
    )?;
    let run = |stopped: tokio::sync::oneshot::Receiver<()>| {
        sandbox.run(async { stopped.await.unwrap_or_default() })
    };
    signals.run(run).await;
    Ok(ExitCode::SUCCESS)
}
