//! The methods beside Create, each called in the simplest way.

use std::time::Duration;

use chartbrew_gateway::proto::{
    Connection, ConnectionFiles, ConnectionView, DeleteRequest, GetRequest, ListRequest,
    NewConnection, TestNewRequest, TestRequest, UpdateRequest, UploadFilesRequest,
    connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox::Fault;
use prost_types::FieldMask;
use tonic::{Request, Response, Status, transport::Channel};

use super::gateway::{authorized, minimal};

/// A method of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    Get,
    List,
    /// Gives the connection the name [`NEW_NAME`].
    Update,
    Delete,
    Test,
    TestNew,
    /// Uploads a certificate and its key.
    UploadFiles,
}

/// All of them.
pub(crate) const ALL: [Rpc; 7] = [
    Rpc::Get,
    Rpc::List,
    Rpc::Update,
    Rpc::Delete,
    Rpc::Test,
    Rpc::TestNew,
    Rpc::UploadFiles,
];

/// What an update changes the name to.
pub(crate) const NEW_NAME: &str = "another name";

impl Rpc {
    /// A fault for the request that the method makes.
    pub(crate) fn fault(self) -> Fault {
        match self {
            Self::Get => Fault::get(),
            Self::List => Fault::list(),
            Self::Update => Fault::update(),
            Self::Delete => Fault::delete(),
            Self::Test => Fault::test(),
            Self::TestNew => Fault::test_new(),
            Self::UploadFiles => Fault::files(),
        }
    }

    /// Its HTTP method.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Get | Self::List | Self::Test => "GET",
            Self::Update => "PUT",
            Self::Delete => "DELETE",
            Self::TestNew | Self::UploadFiles => "POST",
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn is_read(self) -> bool {
        match self {
            Self::Get | Self::List | Self::Test | Self::TestNew => true,
            Self::Update | Self::Delete | Self::UploadFiles => false,
        }
    }

    /// Calls it for a connection of team 1, and returns the connections that it returns.
    pub(crate) async fn call(
        self,
        client: &ConnectionServiceClient<Channel>,
        connection_id: i32,
        timeout: Option<Duration>,
    ) -> Result<Response<Vec<Connection>>, Status> {
        let (mut client, team_id, view) = (client.clone(), 1, ConnectionView::Full.into());
        fn with<T>(message: T, timeout: Option<Duration>) -> Request<T> {
            let mut request = authorized(message);
            if let Some(timeout) = timeout {
                request.set_timeout(timeout);
            }
            request
        }
        fn one<T>(
            response: Response<T>,
            of: impl FnOnce(T) -> Option<Box<Connection>>,
        ) -> Response<Vec<Connection>> {
            response.map(|message| of(message).map(|row| *row).into_iter().collect())
        }
        match self {
            Self::Get => {
                let request = GetRequest {
                    team_id,
                    connection_id,
                    view,
                };
                let response = client.get(with(request, timeout)).await?;
                Ok(one(response, |message| message.connection))
            }
            Self::List => {
                let request = ListRequest {
                    team_id,
                    view,
                    ..ListRequest::default()
                };
                let response = client.list(with(request, timeout)).await?;
                Ok(response.map(|message| message.connections))
            }
            Self::Update => {
                let request = UpdateRequest {
                    team_id,
                    connection_id,
                    connection: Some(Box::new(NewConnection {
                        name: NEW_NAME.to_owned(),
                        ..NewConnection::default()
                    })),
                    update_mask: Some(FieldMask {
                        paths: vec!["name".to_owned()],
                    }),
                };
                let response = client.update(with(request, timeout)).await?;
                Ok(one(response, |message| message.connection))
            }
            Self::Delete => {
                let request = DeleteRequest {
                    team_id,
                    connection_id,
                    remove_datasets: false,
                };
                let response = client.delete(with(request, timeout)).await?;
                Ok(response.map(|_| Vec::new()))
            }
            Self::Test => {
                let request = TestRequest {
                    team_id,
                    connection_id,
                };
                let response = client.test(with(request, timeout)).await?;
                Ok(response.map(|_| Vec::new()))
            }
            Self::TestNew => {
                let request = TestNewRequest {
                    team_id,
                    connection: minimal("m").connection,
                    files: None,
                };
                let response = client.test_new(with(request, timeout)).await?;
                Ok(response.map(|_| Vec::new()))
            }
            Self::UploadFiles => {
                let request = UploadFilesRequest {
                    team_id,
                    connection_id,
                    files: Some(ConnectionFiles {
                        ssl_cert: Some("certificate".into()),
                        ssl_key: Some("key".into()),
                        ..ConnectionFiles::default()
                    }),
                };
                let response = client.upload_files(with(request, timeout)).await?;
                Ok(one(response, |message| message.connection))
            }
        }
    }
}
