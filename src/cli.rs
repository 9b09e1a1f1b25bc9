//! The command line: what each subcommand does.

#[cfg(feature = "demo")]
mod demo;
mod health;

use std::{
    env,
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use chartbrew_gateway::{
    app::App,
    callers::{self, token::TokenHash},
    config::{self, Args, Config},
    shutdown::Signals,
    telemetry,
};
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("GATEWAY_COMMIT"), ")");

type Failure = Box<dyn Error + Send + Sync>;

/// A gRPC gateway for Chartbrew: typed, never a duplicate, never a lost outcome, never a leaked
/// secret.
#[derive(Debug, Parser)]
#[command(version = VERSION, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves gRPC and forwards to Chartbrew.
    Serve(Box<Args>),
    #[cfg(feature = "demo")]
    /// Starts an embedded Chartbrew and the gateway, makes one Create, and keeps serving.
    Demo(Box<Args>),
    #[cfg(feature = "demo")]
    /// Serves the embedded Chartbrew alone, for tests: see sandbox/README.md.
    Sandbox {
        /// Where it listens.
        #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4019")]
        listen: std::net::SocketAddr,
    },
    /// Asks a gateway whether it serves. Exits with 0 if it does, else with 1.
    Health(health::Health),
    /// Makes a token for a caller, and its hash for the callers file (GATEWAY_CALLERS_FILE).
    Token,
    /// Reads the settings of `serve` and prints them, secrets hidden. Exits with 2 if one is
    /// wrong.
    Check(Box<Args>),
}

impl Cli {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Serve(args) => {
                let config = Config::read(&args)?;
                let _logging = config.logs.init()?;
                for variable in unknown_variables() {
                    tracing::warn!(variable, "no setting has this name");
                }
                run(runtime(&config)?, serve(config))
            }
            #[cfg(feature = "demo")]
            Command::Demo(args) => {
                let mut config = Config::read(&args)?;
                if config.app.grpc.tls.is_on() {
                    return Err(
                        "demo has no TLS: unset GATEWAY_TLS_CERT, or use sandbox and serve".into(),
                    );
                }
                // A person reads what the demo prints: no lines of the log between it.
                if config.logs.filter == telemetry::Logs::default().filter {
                    config.logs.filter = "warn".to_owned();
                }
                let _logging = config.logs.init()?;
                run(runtime(&config)?, demo::run(config))
            }
            #[cfg(feature = "demo")]
            Command::Sandbox { listen } => {
                let _logging = telemetry::Logs::default().init()?;
                Runtime::new()?.block_on(demo::run_sandbox(listen))
            }
            Command::Health(health) => {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                Ok(runtime.enable_all().build()?.block_on(health.run()))
            }
            Command::Token => token(),
            Command::Check(args) => check(&args),
        }
    }
}

/// Runs to the end. A file that hangs while it is read must not keep the process.
fn run(
    runtime: Runtime,
    what: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    let ended = runtime.block_on(what);
    runtime.shutdown_background();
    ended
}

fn unknown_variables() -> Vec<String> {
    config::unknown_variables(env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

fn runtime(config: &Config) -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = config.worker_threads {
        builder.worker_threads(threads);
    }
    builder.enable_all().build()
}

async fn serve(config: Config) -> Result<ExitCode, Failure> {
    let signals = Signals::catch()?;
    let upstream = config.app.chartbrew.url.clone();
    let grpc = &config.app.grpc;
    let (own_token, callers) = (grpc.own_token.is_some(), grpc.callers_file.is_some());
    let (tls, client_certificates) = (grpc.tls.is_on(), grpc.tls.needs_client_certificates());
    let request_ids = config.app.request_id_store.name();
    let telemetry = telemetry::start(config.telemetry)?;
    let app = App::bind(config.app).await?;
    let admin = app.admin_addr().map(tracing::field::display);
    tracing::info!(
        addr = %app.grpc_addr(),
        admin,
        %upstream,
        request_ids,
        tls,
        client_certificates,
        own_token,
        callers,
        "serving"
    );
    let ended = signals
        .run(|stopped| app.run(async { stopped.await.unwrap_or_default() }))
        .await;
    // A second signal stops the process immediately.
    if ended.is_some() {
        telemetry.flush().await;
    }
    Ok(match ended {
        Some(true) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Some(false) => {
            tracing::error!("stopped with work unfinished: the grace period is over");
            ExitCode::FAILURE
        }
        None => ExitCode::FAILURE,
    })
}

/// Prints each setting as it would be used, by its variable.
fn check(args: &Args) -> Result<ExitCode, Failure> {
    let lines = args.lines();
    Config::read(args)?;
    for variable in unknown_variables() {
        eprintln!("chartbrew-gateway: {variable}: no setting has this name");
    }
    print(&lines)
}

/// Prints a new token and its hash. The token is kept nowhere.
fn token() -> Result<ExitCode, Failure> {
    let token = callers::token::generate()?;
    let hash = TokenHash::of(&token);
    let token = Zeroizing::new(format!("token:        {}", *token));
    print(&[token.as_str(), &format!("token_sha256: {hash}")])
}

fn print(lines: &[impl AsRef<str>]) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    for line in lines {
        let line = line.as_ref();
        match writeln!(out, "{line}") {
            // The reader has closed the pipe, as `head` does after its last line.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            written => written?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
