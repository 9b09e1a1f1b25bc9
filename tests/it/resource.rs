//! The rest of the resource, from a gRPC client through the gateway to Chartbrew and back.

mod delete;
mod list;
mod list_upstream;
mod lost;
mod replay;
mod rest;
mod source_tests;
mod test_results;
mod to_the_end;
mod update;
mod update_mask;
mod upload;
mod views;

use std::time::Duration;

use chartbrew_gateway::proto::{
    ConnectionFiles, ConnectionView, DeleteRequest, GetRequest, NewConnection, TestRequest,
    UpdateRequest, UploadFilesRequest, connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox::{Fault, Handle};
use prost_types::FieldMask;
use serde_json::{Value, json};
use tonic::{Request, Status, metadata::MetadataMap, transport::Channel};

use crate::support::gateway::authorized;

type Client = ConnectionServiceClient<Channel>;

/// Every call whose path names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Get,
    Update,
    Delete,
    Test,
    UploadFiles,
}

impl Call {
    const ALL: [Self; 5] = [
        Self::Get,
        Self::Update,
        Self::Delete,
        Self::Test,
        Self::UploadFiles,
    ];

    /// Those that change something.
    const CHANGES: [Self; 3] = [Self::Update, Self::Delete, Self::UploadFiles];

    fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Test)
    }

    /// What meets its request.
    fn fault(self) -> Fault {
        match self {
            Self::Get => Fault::get(),
            Self::Update => Fault::update(),
            Self::Delete => Fault::delete(),
            Self::Test => Fault::test(),
            Self::UploadFiles => Fault::files(),
        }
    }

    /// Makes the call, which changes the row's name to "changed" or its CA certificate, if it is one
    /// that changes a row.
    async fn send(self, client: &Client, id: i32) -> Result<MetadataMap, Status> {
        self.send_within(client, id, None).await
    }

    /// The same with a deadline.
    async fn send_within(
        self,
        client: &Client,
        id: i32,
        timeout: Option<Duration>,
    ) -> Result<MetadataMap, Status> {
        let mut client = client.clone();
        let connection_id = id;
        Ok(match self {
            Self::Get => {
                let request = GetRequest {
                    team_id: 1,
                    connection_id,
                    view: ConnectionView::Full.into(),
                };
                let response = client.get(within(timeout, request)).await?;
                response.metadata().clone()
            }
            Self::Update => {
                let request = rename(id, "changed");
                let response = client.update(within(timeout, request)).await?;
                response.metadata().clone()
            }
            Self::Delete => {
                let request = delete(id);
                let response = client.delete(within(timeout, request)).await?;
                response.metadata().clone()
            }
            Self::Test => {
                let request = test(id);
                let response = client.test(within(timeout, request)).await?;
                response.metadata().clone()
            }
            Self::UploadFiles => {
                let request = upload(id, ca("CA"));
                let response = client.upload_files(within(timeout, request)).await?;
                response.metadata().clone()
            }
        })
    }

    /// Whether the sandbox has done what the call asks for.
    fn is_done(self, sandbox: &Handle, id: i32) -> bool {
        let row = row(sandbox, id);
        match self {
            Self::Get | Self::Test => row.is_some(),
            Self::Update => row.is_some_and(|row| row["name"] == "changed"),
            Self::Delete => row.is_none(),
            Self::UploadFiles => row.is_some_and(|row| row["sslCa"].is_string()),
        }
    }
}

/// A request with the sandbox's token and this deadline.
fn within<T>(timeout: Option<Duration>, message: T) -> Request<T> {
    let mut request = authorized(message);
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    request
}

/// A request with this token.
fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let token = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    request
}

/// A row of team 1 that can be changed.
fn insert(sandbox: &Handle) -> i32 {
    sandbox.insert(1, json!({ "name": "m" }))
}

/// A row of team 1 as it is stored.
fn row(sandbox: &Handle, id: i32) -> Option<Value> {
    sandbox.rows(1).into_iter().find(|row| row["id"] == id)
}

fn delete(connection_id: i32) -> DeleteRequest {
    DeleteRequest {
        team_id: 1,
        connection_id,
        remove_datasets: false,
    }
}

fn test(connection_id: i32) -> TestRequest {
    TestRequest {
        team_id: 1,
        connection_id,
    }
}

fn upload(connection_id: i32, files: ConnectionFiles) -> UploadFilesRequest {
    UploadFilesRequest {
        team_id: 1,
        connection_id,
        files: Some(files),
    }
}

fn ca(content: &str) -> ConnectionFiles {
    ConnectionFiles {
        ssl_ca: Some(content.to_owned().into()),
        ..ConnectionFiles::default()
    }
}

fn rename(connection_id: i32, name: &str) -> UpdateRequest {
    let new = NewConnection {
        name: name.to_owned(),
        ..NewConnection::default()
    };
    update(connection_id, new, ["name"])
}

fn update<'a>(
    connection_id: i32,
    connection: NewConnection,
    paths: impl IntoIterator<Item = &'a str>,
) -> UpdateRequest {
    let paths = paths.into_iter().map(str::to_owned).collect();
    UpdateRequest {
        team_id: 1,
        connection_id,
        connection: Some(Box::new(connection)),
        update_mask: Some(FieldMask { paths }),
    }
}
