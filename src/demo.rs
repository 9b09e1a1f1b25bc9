//! `chartbrew-gateway demo`: see it work within a minute, with nothing installed.
//!
//! An embedded Chartbrew and the gateway in one process, a real gRPC Create from one through the
//! other, and then both go on serving, so that you can try a call of your own.

use std::{
    error::Error,
    future::Future,
    io::{self, ErrorKind, IsTerminal, Write},
    net::{Ipv4Addr, SocketAddr},
};

use chartbrew_sandbox::{self as sandbox, Sandbox};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use tonic::metadata::MetadataValue;

use crate::{
    app::{self, App, StartError},
    proto::{
        self, Authentication, AuthenticationType, ConnectionSubType, ConnectionType, CreateRequest,
        NewConnection, SslMode, connection_service_client::ConnectionServiceClient,
    },
};

/// Port of the embedded Chartbrew, that of a real one; any free port if it is taken.
const SANDBOX_PORT: u16 = 4019;

/// Runs the demo until the signal.
///
/// # Errors
/// If no socket can be bound or the example call fails.
pub async fn run(
    settings: app::Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let sandbox = bind_sandbox().await?;
    let sandbox_url = sandbox.url();
    let app = bind_gateway(settings, &sandbox_url).await?;
    let addr = app.grpc_addr();
    let admin_addr = app.admin_addr();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sandbox = tokio::spawn(sandbox.run(async {
        stopped.await.ok();
    }));

    say(&format!(
        "An embedded Chartbrew answers at {}",
        strong(&sandbox_url)
    ))?;
    say(&format!(
        "The gateway serves gRPC at       {}",
        strong(&addr.to_string())
    ))?;
    if let Some(addr) = admin_addr {
        let metrics = format!("http://{addr}/metrics");
        say(&format!(
            "Its metrics are at               {}",
            strong(&metrics)
        ))?;
    }
    say("")?;
    let serving = app.run(shutdown);
    let calling = async {
        let response = create(addr).await?;
        show(&response)?;
        say(&format!("Try it yourself:\n\n{}\n", strong(&grpcurl(addr))))?;
        say("Serving until Ctrl-C.")?;
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    };
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = &mut serving => {}
        called = calling => {
            called?;
            serving.await;
        }
    }
    drop(stop);
    sandbox.await?;
    Ok(())
}

async fn bind_sandbox() -> io::Result<Sandbox> {
    let settings = |port| sandbox::Settings {
        listen: (Ipv4Addr::LOCALHOST, port).into(),
        databases: [("db.example.com".to_owned(), orders_database())].into(),
        ..sandbox::Settings::default()
    };
    match Sandbox::bind(settings(SANDBOX_PORT)).await {
        Err(error) if error.kind() == ErrorKind::AddrInUse => Sandbox::bind(settings(0)).await,
        bound => bound,
    }
}

/// The one database that the embedded Chartbrew reaches: docs/connections.md rotates its password.
fn orders_database() -> sandbox::Database {
    sandbox::Database {
        schema: serde_json::json!({
            "tables": ["orders"],
            "description": {"orders": ["id", "customer", "total"]},
        }),
        password: Some("new-password".to_owned()),
    }
}

async fn bind_gateway(
    mut settings: app::Settings,
    sandbox_url: &str,
) -> Result<App, Box<dyn Error + Send + Sync>> {
    settings.chartbrew.url = sandbox_url.parse()?;
    // Callers bring the sandbox's token: a real one must not reach even an embedded Chartbrew.
    settings.grpc.own_token = None;
    // There is no load balancer that must learn of the end.
    settings.grpc.shutdown_delay = std::time::Duration::ZERO;
    loop {
        // A port that is taken is no reason not to show anything: any other will do.
        match App::bind(settings.clone()).await {
            Err(StartError::Listen { addr, error }) if is_taken(addr, &error) => {
                settings.listen = SocketAddr::new(addr.ip(), 0);
            }
            Err(StartError::ListenAdmin { addr, error }) if is_taken(addr, &error) => {
                settings.admin.listen = Some(SocketAddr::new(addr.ip(), 0));
            }
            bound => return Ok(bound?),
        }
    }
}

fn is_taken(addr: SocketAddr, error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrInUse && addr.port() != 0
}

/// The sample of Chartbrew's documentation, in the contract's terms.
fn sample() -> CreateRequest {
    let text = || Some("<string>".to_owned());
    let empty = prost_types::Struct::default;
    CreateRequest {
        team_id: 1,
        connection: Some(Box::new(NewConnection {
            name: "<string>".to_owned(),
            r#type: ConnectionType::Mongodb.into(),
            sub_type: ConnectionSubType::Timescaledb.into(),
            host: text(),
            port: text(),
            username: text(),
            password: text(),
            authentication: Some(Authentication {
                r#type: AuthenticationType::BearerToken.into(),
                token: text(),
                user: text(),
                pass: text(),
            }),
            options: Some(prost_types::Value {
                kind: Some(prost_types::value::Kind::StructValue(empty())),
            }),
            firebase_service_account: Some(empty()),
            ssl: Some(false),
            ssl_mode: SslMode::Require.into(),
            schema: Some(empty()),
            ..NewConnection::default()
        })),
        ..CreateRequest::default()
    }
}

async fn create(addr: SocketAddr) -> Result<proto::CreateResponse, Box<dyn Error + Send + Sync>> {
    let mut client = ConnectionServiceClient::connect(format!("http://{addr}")).await?;
    let mut request = tonic::Request::new(sample());
    let token = MetadataValue::try_from(format!("Bearer {}", sandbox::TOKEN))?;
    request.metadata_mut().insert("authorization", token);
    say(&format!(
        "{} ConnectionService.Create, the sample of Chartbrew's docs",
        strong("→")
    ))?;
    Ok(client.create(request).await?.into_inner())
}

/// Prints the response as protobuf's JSON, as grpcurl does.
fn show(response: &proto::CreateResponse) -> Result<(), Box<dyn Error + Send + Sync>> {
    let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET)?;
    let descriptor = pool
        .get_message_by_name("chartbrew.connection.v1.CreateResponse")
        .ok_or("the contract has CreateResponse")?;
    let message = DynamicMessage::decode(descriptor, response.encode_to_vec().as_slice())?;
    let json = serde_json::to_string_pretty(&message)?;
    say(&format!("{} CreateResponse\n{json}\n", strong("←")))?;
    Ok(())
}

/// A command line to copy.
fn grpcurl(addr: SocketAddr) -> String {
    format!(
        "grpcurl -plaintext -H 'authorization: Bearer {token}' \\\n  \
         -d '{{\"team_id\": 1, \"connection\": {{\"name\": \"orders\", \"type\": \
         \"CONNECTION_TYPE_POSTGRES\", \"host\": \"db.example.invalid\", \"port\": \"5432\", \
         \"project_ids\": [\"1\"]}}}}' \\\n  \
         {addr} chartbrew.connection.v1.ConnectionService/Create",
        token = sandbox::TOKEN,
    )
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

/// Bold, where a person is looking.
fn strong(text: &str) -> String {
    match io::stdout().is_terminal() {
        true => format!("\x1b[1m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}
