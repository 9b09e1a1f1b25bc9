//! The bare pass-through: tonic in, reqwest out, and nothing checked. What is lost by being careful
//! shows beside it.
//!
//! It knows no deadline, no retry, no metrics and no log, does not validate, and returns every
//! failure as UNKNOWN. JSON values, authentication and SSH tunnels are left out. A list comes whole,
//! whatever the size of a page. What is not measured is UNIMPLEMENTED.

use std::{error::Error, net::SocketAddr};

use chartbrew_gateway::proto::{
    Connection, ConnectionSubType, ConnectionType, CreateRequest, CreateResponse, DeleteRequest,
    DeleteResponse, GetRequest, GetResponse, ListRequest, ListResponse, SslMode, TestNewRequest,
    TestNewResponse, TestRequest, TestResponse, UpdateRequest, UpdateResponse, UploadFilesRequest,
    UploadFilesResponse,
    connection_service_server::{ConnectionService, ConnectionServiceServer},
};
use clap::Parser;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Server};

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
        let url = self.connections(request.team_id);
        let body = serde_json::to_vec(&body(request)?).map_err(failed)?;
        let call = self.client.post(url).body(body);
        let call = call.header(CONTENT_TYPE, "application/json");
        let row: Row = self.send(call, metadata).await?;
        Ok(Response::new(CreateResponse {
            connection: Some(Box::new(connection(row))),
        }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let connections = self.connections(request.team_id);
        let url = format!("{connections}/{}", request.connection_id);
        let row: Row = self.send(self.client.get(url), metadata).await?;
        Ok(Response::new(GetResponse {
            connection: Some(Box::new(connection(row))),
        }))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = self.client.get(self.connections(request.team_id));
        let rows: Vec<Row> = self.send(call, metadata).await?;
        Ok(Response::new(ListResponse {
            connections: rows.into_iter().map(connection).collect(),
            next_page_token: String::new(),
        }))
    }

    async fn update(&self, _: Request<UpdateRequest>) -> Result<Response<UpdateResponse>, Status> {
        Err(not_measured())
    }

    async fn delete(&self, _: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        Err(not_measured())
    }

    async fn test(&self, _: Request<TestRequest>) -> Result<Response<TestResponse>, Status> {
        Err(not_measured())
    }

    async fn test_new(
        &self,
        _: Request<TestNewRequest>,
    ) -> Result<Response<TestNewResponse>, Status> {
        Err(not_measured())
    }

    async fn upload_files(
        &self,
        _: Request<UploadFilesRequest>,
    ) -> Result<Response<UploadFilesResponse>, Status> {
        Err(not_measured())
    }
}

impl Bare {
    fn connections(&self, team: i32) -> String {
        format!("{}/team/{team}/connections", self.upstream)
    }

    /// Sends a call with the caller's token, and reads the JSON of its response.
    async fn send<T: DeserializeOwned>(
        &self,
        mut call: RequestBuilder,
        metadata: MetadataMap,
    ) -> Result<T, Status> {
        if let Some(token) = metadata.into_headers().remove(AUTHORIZATION) {
            call = call.header(AUTHORIZATION, token);
        }
        if self.fresh {
            // The server closes first, so that no port here is left in TIME_WAIT.
            call = call.header(CONNECTION, "close");
        }
        let response = call.send().await.map_err(failed)?;
        let response = response.error_for_status().map_err(failed)?;
        let json = response.bytes().await.map_err(failed)?;
        serde_json::from_slice(&json).map_err(failed)
    }
}

fn not_measured() -> Status {
    Status::unimplemented("not measured")
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
