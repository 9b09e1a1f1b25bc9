//! `chartbrew-gateway health`: asks a gateway whether it serves, for probes that run a command.

use std::{
    env,
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use chartbrew_gateway::tls::probe::Files;
use clap::value_parser;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::service_fn;

use super::{Failure, print};

/// Which gateway is asked, and how. Without flags: the one of the same environment.
#[derive(Debug, clap::Args)]
pub(super) struct Health {
    /// Where it listens. Unset: GATEWAY_LISTEN, on this machine.
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    target: Option<SocketAddr>,
    /// The service that is asked for. Empty: the gateway as a whole.
    #[arg(long, value_name = "NAME", default_value = "")]
    service: String,
    /// How many seconds it may take.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = value_parser!(u64).range(1..))]
    timeout: u64,
    /// Connects with TLS. So it does with --ca or --cert, and without --target if GATEWAY_TLS_CERT is set.
    #[arg(long)]
    tls: bool,
    /// A file with the authorities that are trusted, in PEM. Needed with --tls if the target is not
    /// on this machine; otherwise the certificate is not checked without it.
    #[arg(long, value_name = "PATH")]
    ca: Option<PathBuf>,
    /// The name that the certificate must have.
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    server_name: String,
    /// A file with a client certificate, in PEM, where the gateway asks for one.
    #[arg(long, value_name = "PATH", requires = "key")]
    cert: Option<PathBuf>,
    /// A file with its key, in PEM.
    #[arg(long, value_name = "PATH", requires = "cert")]
    key: Option<PathBuf>,
}

impl Health {
    /// Prints what the gateway says, or why it says nothing.
    pub(super) async fn run(self) -> ExitCode {
        let limit = Duration::from_secs(self.timeout);
        let said = match timeout(limit, self.ask()).await {
            Ok(said) => said,
            Err(_) => Err("the gateway does not answer in time".into()),
        };
        let printed = match &said {
            Ok(said) => print(&[said.as_str_name()]).is_ok(),
            Err(error) => {
                eprintln!("chartbrew-gateway: {}", reason(&**error));
                true
            }
        };
        match said {
            Ok(ServingStatus::Serving) if printed => ExitCode::SUCCESS,
            Ok(_) | Err(_) => ExitCode::FAILURE,
        }
    }

    async fn ask(&self) -> Result<ServingStatus, Failure> {
        let request = HealthCheckRequest {
            service: self.service.clone(),
        };
        let mut client = HealthClient::new(self.connect().await?);
        let response = client.check(request).await;
        let response = response.map_err(|status| self.failure(&status))?;
        Ok(response.into_inner().status())
    }

    /// What a failure means: the gateway's words, or why there are none.
    fn failure(&self, status: &Status) -> String {
        match status.source() {
            None => format!(
                "the gateway responds {:?}: {}",
                status.code(),
                status.message()
            ),
            Some(cause) if self.has_tls() => reason(cause),
            Some(cause) => format!("{}; a port with TLS needs --tls", reason(cause)),
        }
    }

    fn has_tls(&self) -> bool {
        let has_files = self.ca.is_some() || self.cert.is_some();
        self.tls || has_files || self.target.is_none() && is_set("GATEWAY_TLS_CERT")
    }

    async fn connect(&self) -> Result<Channel, Failure> {
        let target = match self.target {
            Some(target) => target,
            None => own_address()?,
        };
        let endpoint = Endpoint::try_from(format!("http://{target}"))?;
        if !self.has_tls() {
            return Ok(endpoint.connect().await?);
        }
        if self.ca.is_none() && !target.ip().is_loopback() {
            return Err("--ca is needed: the target is not on this machine".into());
        }
        let files = Files {
            ca: self.ca.clone(),
            pair: self
                .cert
                .clone()
                .zip(self.key.clone())
                .map(|(cert, key)| [cert, key]),
        };
        let connector = TlsConnector::from(Arc::new(files.config()?));
        let name = ServerName::try_from(self.server_name.clone())?;
        let connect = service_fn(move |_: Uri| {
            let (connector, name) = (connector.clone(), name.clone());
            async move {
                let stream = TcpStream::connect(target).await?;
                let stream = connector.connect(name, stream).await?;
                io::Result::Ok(TokioIo::new(stream))
            }
        });
        Ok(endpoint.connect_with_connector(connect).await?)
    }
}

/// An error and what caused it, on one line.
fn reason(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let mut texts: Vec<_> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "must be an IP address and a port: 127.0.0.1:50051")
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|text| !text.is_empty())
}

/// Where the gateway of this environment listens, from this machine.
fn own_address() -> Result<SocketAddr, Failure> {
    let listen = env::var("GATEWAY_LISTEN").unwrap_or_default();
    let mut addr = match listen.trim() {
        "" => chartbrew_gateway::app::Settings::default().listen,
        text => address(text).map_err(|problem| format!("GATEWAY_LISTEN: {problem}"))?,
    };
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        });
    }
    Ok(addr)
}
