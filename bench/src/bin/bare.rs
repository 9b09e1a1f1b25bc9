//! The bare pass-through: tonic in, reqwest out, and nothing checked. What is lost by being careful
//! shows beside it.
//!
//! It knows no deadline, no retry, no metrics and no log, does not validate, and returns every
//! failure as UNKNOWN. JSON values, authentication and SSH tunnels are left out.

use std::{error::Error, net::SocketAddr};

use chartbrew_gateway::proto::{
    Connection, ConnectionSubType, ConnectionType, CreateRequest, CreateResponse, SslMode,
    connection_service_server::{ConnectionService, ConnectionServiceServer},
};
use clap::Parser;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE};
use reqwest::Client;
use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status, transport::Server};

/// The bare pass-through.
#[derive(Parser)]
struct Args {
    /// Where it listens.
    #[arg(long)]
    listen: SocketAddr,
    /// Where the REST API is.
    #[arg(long)]
    upstream: String,
    /// A new connection for each request.
    #[arg(long)]
    fresh: bool,
}

struct Bare {
    client: Client,
    upstream: String,
    fresh: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(rename = "team_id")]
    team_id: i32,
    name: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    db_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection_string: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    srv: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssl: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssl_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oauth_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: i32,
    #[serde(rename = "team_id")]
    team_id: i32,
    name: Option<String>,
    r#type: Option<String>,
    sub_type: Option<String>,
    active: Option<bool>,
    host: Option<String>,
    db_name: Option<String>,
    port: Option<String>,
    username: Option<String>,
    password: Option<String>,
    srv: Option<bool>,
    connection_string: Option<String>,
    ssl: Option<bool>,
    ssl_mode: Option<String>,
    oauth_id: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

#[tonic::async_trait]
impl ConnectionService for Bare {
    async fn create(
        &self,
        request: Request<CreateRequest>,
    ) -> Result<Response<CreateResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let token = metadata.into_headers().remove(AUTHORIZATION);
        let url = format!("{}/team/{}/connections", self.upstream, request.team_id);
        let body = serde_json::to_vec(&body(request)?).map_err(failed)?;
        let mut call = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            call = call.header(AUTHORIZATION, token);
        }
        if self.fresh {
            // The server closes first, so that no port here is left in TIME_WAIT.
            call = call.header(CONNECTION, "close");
        }
        let response = call.body(body).send().await.map_err(failed)?;
        let response = response.error_for_status().map_err(failed)?;
        let row = response.bytes().await.map_err(failed)?;
        let row: Row = serde_json::from_slice(&row).map_err(failed)?;
        Ok(Response::new(CreateResponse {
            connection: Some(Box::new(connection(row))),
        }))
    }
}

fn failed(error: impl Error) -> Status {
    Status::unknown(error.to_string())
}

const TYPES: [(ConnectionType, &str); 3] = [
    (ConnectionType::Mongodb, "mongodb"),
    (ConnectionType::Mysql, "mysql"),
    (ConnectionType::Postgres, "postgres"),
];
const SUB_TYPES: [(ConnectionSubType, &str); 2] = [
    (ConnectionSubType::Timescaledb, "timescaledb"),
    (ConnectionSubType::Supabasedb, "supabasedb"),
];
const SSL_MODES: [(SslMode, &str); 2] =
    [(SslMode::Require, "require"), (SslMode::Disable, "disable")];

fn rest<E: Copy + Into<i32>>(table: &[(E, &'static str)], value: i32) -> Option<&'static str> {
    let known = table.iter().find(|(known, _)| (*known).into() == value);
    known.map(|(_, name)| *name)
}

fn proto<E: Copy + Into<i32>>(table: &[(E, &'static str)], name: Option<String>) -> i32 {
    let known = name.and_then(|name| table.iter().find(|(_, known)| *known == name));
    known.map_or(0, |(value, _)| (*value).into())
}

fn body(request: CreateRequest) -> Result<Body, Status> {
    let new = request.connection.ok_or(Status::unknown("no connection"))?;
    Ok(Body {
        team_id: request.team_id,
        name: new.name,
        r#type: rest(&TYPES, new.r#type).ok_or(Status::unknown("no type"))?,
        sub_type: rest(&SUB_TYPES, new.sub_type),
        host: new.host,
        port: new.port,
        db_name: new.db_name,
        username: new.username,
        password: new.password,
        connection_string: new.connection_string,
        srv: new.srv,
        ssl: new.ssl,
        ssl_mode: rest(&SSL_MODES, new.ssl_mode),
        active: new.active,
        oauth_id: new.oauth_id,
    })
}

fn connection(row: Row) -> Connection {
    let time = |text: Option<String>| text.and_then(|text| text.parse().ok());
    Connection {
        id: row.id,
        team_id: row.team_id,
        oauth_id: row.oauth_id,
        name: row.name,
        r#type: proto(&TYPES, row.r#type),
        sub_type: proto(&SUB_TYPES, row.sub_type),
        active: row.active,
        host: row.host,
        db_name: row.db_name,
        port: row.port,
        username: row.username,
        password: row.password,
        srv: row.srv,
        connection_string: row.connection_string,
        ssl: row.ssl,
        ssl_mode: proto(&SSL_MODES, row.ssl_mode),
        create_time: time(row.created_at),
        update_time: time(row.updated_at),
        ..Connection::default()
    }
}

// One worker, as the gateway is given, and a main thread that sleeps.
#[tokio::main(worker_threads = 1)]
async fn main() -> Result<(), Box<dyn Error>> {
    let Args {
        listen,
        upstream,
        fresh,
    } = Args::parse();
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(if fresh { 0 } else { usize::MAX })
        .pool_idle_timeout(std::time::Duration::from_secs(4));
    let bare = Bare {
        client: builder.build()?,
        upstream,
        fresh,
    };
    Server::builder()
        .tcp_nodelay(true)
        .add_service(ConnectionServiceServer::new(bare))
        .serve(listen)
        .await?;
    Ok(())
}
