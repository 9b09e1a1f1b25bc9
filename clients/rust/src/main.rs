//! An example of a client of chartbrew-gateway: see docs/clients.md.
//!
//! It never prints a message of the contract: `Debug` of the generated code shows passwords, since prost
//! does not honour `debug_redact`.

use std::{
    collections::BTreeMap, env, error::Error, fs, net::SocketAddr, process::ExitCode,
    time::Duration,
};

use prost_types::{FieldMask, Value};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    contract::{
        ConnectionFiles, ConnectionType, CreateRequest, DeleteRequest, NewConnection, TestRequest,
        UpdateRequest, connection_service_client::ConnectionServiceClient,
    },
    retry::Retries,
};

mod retry;

#[expect(clippy::all, reason = "generated")]
mod contract {
    tonic::include_proto!("chartbrew.connection.v1");
}

const DOMAIN: &str = "gateway.chartbrew.com";
const TEAM: i32 = 1;
const LONGEST_TIMEOUT: f64 = 86_400.0; // in seconds
const NO_CONNECTION: &str = "a response without its connection";
const CA: &[u8] = b"-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n";

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Client = ConnectionServiceClient<InterceptedService<Channel, Token>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match error.downcast_ref::<Status>() {
                Some(status) => report(status),
                None => eprintln!("{error}"),
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (client, retries) = connect()?;
    match arguments[..] {
        ["lifecycle"] => lifecycle(&client, &retries).await,
        ["create", name] => create(&client, &retries, name, None).await.map(drop),
        ["create", name, id] => create(&client, &retries, name, Some(id)).await.map(drop),
        _ => Err("usage: lifecycle | create NAME [REQUEST_ID]".into()),
    }
}

/// Creates a connection, tests it, changes it and deletes it.
async fn lifecycle(client: &Client, retries: &Retries) -> Result<()> {
    let request_id = Uuid::new_v4().to_string();
    let connection_id = create(client, retries, "orders", Some(&request_id)).await?;

    let test = TestRequest {
        team_id: TEAM,
        connection_id,
    };
    let tested = retries
        .call(true, test, async |request| {
            client.clone().test(request).await
        })
        .await?;
    if tested.success {
        println!("tested success=true");
    } else {
        println!("tested success=false: {}", tested.message);
    }

    // Exactly the fields that the mask names are changed.
    let update = UpdateRequest {
        team_id: TEAM,
        connection_id,
        connection: Some(NewConnection {
            host: Some("replica.example.com".to_owned()),
            password: Some("new-password".to_owned()),
            ..NewConnection::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["host".to_owned(), "password".to_owned()],
        }),
    };
    let updated = retries
        .call(true, update, async |request| {
            client.clone().update(request).await
        })
        .await?
        .connection
        .ok_or(NO_CONNECTION)?;
    println!("updated {} host={}", updated.id, updated.host());

    let delete = DeleteRequest {
        team_id: TEAM,
        connection_id,
        remove_datasets: false,
    };
    let deleted = retries
        .call(true, delete, async |request| {
            client.clone().delete(request).await
        })
        .await;
    match deleted {
        // Gone is what it shall be: an attempt whose response was lost may have deleted it.
        Err(status) if reason(&status) != "CONNECTION_NOT_FOUND" => return Err(status.into()),
        _ => {}
    }
    println!("deleted {connection_id}");
    Ok(())
}

/// Creates a connection and returns its id. Only with a request id it may be repeated.
async fn create(
    client: &Client,
    retries: &Retries,
    name: &str,
    request_id: Option<&str>,
) -> Result<i32> {
    let option = BTreeMap::from([("application_name".to_owned(), Value::from("example"))]);
    let request = CreateRequest {
        team_id: TEAM,
        request_id: request_id.map(str::to_owned),
        connection: Some(NewConnection {
            name: name.to_owned(),
            r#type: ConnectionType::Postgres.into(),
            host: Some("db.example.com".to_owned()),
            port: Some("5432".to_owned()),
            username: Some("reader".to_owned()),
            password: Some("old-password".to_owned()),
            options: Some(vec![Value::from(option)].into()),
            ..NewConnection::default()
        }),
        files: Some(ConnectionFiles {
            ssl_ca: Some(CA.to_vec()),
            ..ConnectionFiles::default()
        }),
    };
    let created = retries
        .call(request_id.is_some(), request, async |request| {
            client.clone().create(request).await
        })
        .await?
        .connection
        .ok_or(NO_CONNECTION)?;
    println!("created {}", created.id);
    Ok(created.id)
}

/// A failure, with what its details say.
fn report(status: &Status) {
    let details = status.get_error_details();
    eprintln!(
        "failed {} {}: {}",
        retry::name(status.code()),
        reason(status),
        status.message()
    );
    for violation in details
        .bad_request()
        .map_or(&[][..], |bad| &bad.field_violations)
    {
        eprintln!("  {}: {}", violation.field, violation.description);
    }
    if let Some(wait) = details.retry_info().and_then(|info| info.retry_delay) {
        eprintln!("  may be repeated after {:.1} s", wait.as_secs_f64());
    }
}

/// The gateway's reason of a failure, or "-".
fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .filter(|info| info.domain == DOMAIN)
        .map_or_else(|| "-".to_owned(), |info| info.reason)
}

/// Nothing is sent yet: the first call connects.
fn connect() -> Result<(Client, Retries)> {
    let given = |name: &str| {
        let value = env::var_os(name).unwrap_or_default();
        Some(value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
    };
    let setting = |name: &str, default: &str| given(name).unwrap_or_else(|| default.to_owned());
    let address = setting("CLIENT_ADDRESS", "127.0.0.1:50051");
    let timeout = setting("CLIENT_TIMEOUT_SECONDS", "60").parse();
    let timeout = timeout
        .ok()
        .filter(|seconds| *seconds > 0.0 && *seconds <= LONGEST_TIMEOUT);
    let timeout = timeout.ok_or_else(|| {
        format!("CLIENT_TIMEOUT_SECONDS must be a number above 0, at most {LONGEST_TIMEOUT}")
    })?;
    let token = setting("CLIENT_TOKEN", "sandbox-token");
    // Checked here, since a library may print a token that it cannot send.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("CLIENT_TOKEN has characters that no header may have".into());
    }
    let mut token: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
    token.set_sensitive(true); // `Debug` hides it then.

    let tls = match given("CLIENT_CA_FILE") {
        Some(file) => {
            let ca = Certificate::from_pem(fs::read(file)?);
            Some(ClientTlsConfig::new().ca_certificate(ca))
        }
        None if is_loopback(&address) || setting("CLIENT_PLAINTEXT", "") == "1" => None,
        None => Some(ClientTlsConfig::new().with_native_roots()),
    };
    let endpoint = match tls {
        Some(tls) => Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?,
        None => Endpoint::from_shared(format!("http://{address}"))?,
    };
    let client = ConnectionServiceClient::with_interceptor(endpoint.connect_lazy(), Token(token));
    let timeout = Duration::from_secs_f64(timeout);
    Ok((client, Retries { timeout }))
}

fn is_loopback(address: &str) -> bool {
    let parsed: std::result::Result<SocketAddr, _> = address.parse();
    parsed.is_ok_and(|parsed| parsed.ip().is_loopback()) || address.starts_with("localhost:")
}

/// Adds the token to each call.
#[derive(Clone)]
struct Token(MetadataValue<Ascii>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}
