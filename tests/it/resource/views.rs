//! What a caller sees of a connection's secrets.

use chartbrew_gateway::proto::{
    AuthenticationType, Connection, ConnectionView, GetRequest, ListRequest, UploadFilesRequest,
};
use prost::Message;
use serde_json::{Value, json};
use tonic::Code;

use super::{ca, rename, upload};
use crate::support::gateway::{Gateway, authorized, failure, gateway, sandbox};

/// In every secret of the row, and nowhere else.
const MARK: &str = "marker";

fn row() -> Value {
    json!({
        "name": "n", "type": "api", "subType": "strapi", "host": "h", "port": "1", "dbName": "d",
        "username": "u", "password": "marker-password", "options": [{"X-Api-Key": "marker-option"}],
        "connectionString": "mongodb://u:marker@h", "srv": true,
        "authentication": {
            "type": "basic_auth", "user": "open", "pass": "marker-pass", "token": "marker-token",
            "other": "marker-other",
        },
        "firebaseServiceAccount": {"private_key": "marker-key"}, "ssl": true, "sslMode": "prefer",
        "schema": {"t": 1}, "project_ids": [1], "useSsh": true, "sshHost": "sh", "sshPort": 22,
        "sshPassword": "marker-ssh", "sshPassphrase": "marker-phrase", "sshPrivateKey": "marker-file",
    })
}

async fn get(gateway: &Gateway, id: i32, view: i32) -> Connection {
    let message = GetRequest {
        team_id: 1,
        connection_id: id,
        view,
    };
    let response = gateway.client.clone().get(authorized(message)).await;
    *response.unwrap().into_inner().connection.unwrap()
}

async fn list(gateway: &Gateway, view: i32) -> Connection {
    let message = ListRequest {
        team_id: 1,
        view,
        ..ListRequest::default()
    };
    let response = gateway.client.clone().list(authorized(message)).await;
    response.unwrap().into_inner().connections.remove(0)
}

fn has_marks(row: &Connection) -> bool {
    String::from_utf8_lossy(&row.encode_to_vec()).contains(MARK)
}

/// What is no secret is there in every view.
fn assert_open(row: &Connection, in_list: bool) {
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        (row.name.clone(), row.host.clone(), row.port.clone()),
        (text("n"), text("h"), text("1"))
    );
    assert_eq!(
        (row.db_name.clone(), row.username.clone()),
        (text("d"), text("u"))
    );
    assert_eq!(
        (row.srv, row.ssl, row.active),
        (Some(true), Some(true), Some(true))
    );
    assert_eq!((row.r#type, row.sub_type, row.ssl_mode), (2, 16, 3));
    assert_eq!(
        (row.team_id, row.project_ids.clone()),
        (1, vec!["1".to_owned()])
    );
    assert_eq!(row.schema.is_some(), !in_list);
    assert!(row.create_time.is_some() && row.update_time.is_some());
    let ssh = row.ssh.clone().unwrap();
    assert_eq!(
        (ssh.enabled, ssh.host, ssh.port),
        (Some(true), text("sh"), Some(22))
    );
    assert_eq!((ssh.password, ssh.passphrase), (None, None));
    let stored = (ssh.has_password, ssh.has_private_key, ssh.has_passphrase);
    assert_eq!(stored, (Some(true), Some(true), Some(true)));
    let authentication = row.authentication.clone().unwrap();
    let kind = AuthenticationType::BasicAuth.into();
    assert_eq!(
        (authentication.r#type, authentication.user),
        (kind, text("open"))
    );
}

#[tokio::test]
async fn secrets_are_shown_only_to_those_who_ask_for_them() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = sandbox.insert(1, row());
    for view in [ConnectionView::Unspecified, ConnectionView::Basic] {
        for row in [
            get(&gateway, id, view.into()).await,
            list(&gateway, view.into()).await,
        ] {
            assert!(!has_marks(&row), "{view:?}");
            assert_eq!((row.password, row.connection_string), (None, None));
            assert!(row.options.is_none() && row.firebase_service_account.is_none());
            let authentication = row.authentication.unwrap();
            assert_eq!((authentication.token, authentication.pass), (None, None));
            assert_eq!(row.extra_fields, None);
        }
        assert_open(&get(&gateway, id, view.into()).await, false);
        assert_open(&list(&gateway, view.into()).await, true);
    }
    let full = ConnectionView::Full.into();
    let (got, listed) = (get(&gateway, id, full).await, list(&gateway, full).await);
    assert_open(&got, false);
    assert_open(&listed, true);
    assert_eq!(got.password.as_deref(), Some("marker-password"));
    // Chartbrew leaves it out.
    assert_eq!(listed.password, None);
    for row in [got, listed] {
        assert_eq!(
            row.connection_string.as_deref(),
            Some("mongodb://u:marker@h")
        );
        assert!(row.options.is_some() && row.firebase_service_account.is_some());
        let authentication = row.authentication.unwrap();
        assert_eq!(authentication.token.as_deref(), Some("marker-token"));
        assert_eq!(authentication.pass.as_deref(), Some("marker-pass"));
        let extra = row.extra_fields.unwrap();
        assert!(
            extra.fields.contains_key("authentication"),
            "the key that has no field"
        );
    }
}

/// A value that is not of the modelled type is found in `extra_fields`, and is a secret there too.
#[tokio::test]
async fn a_secret_of_another_type_is_a_secret() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let odd = json!({
        "name": "n", "type": "marker-free", "options": "marker", "authentication": ["marker"],
        "firebaseServiceAccount": "marker",
    });
    let id = sandbox.insert(1, odd);
    let basic = get(&gateway, id, 0).await;
    assert!(!has_marks(&Connection {
        extra_fields: basic.extra_fields.clone().map(without_type),
        ..basic
    }));
    let full = get(&gateway, id, ConnectionView::Full.into()).await;
    assert!(has_marks(&full));
}

/// The kind that this version does not know stays.
fn without_type(mut fields: prost_types::Struct) -> prost_types::Struct {
    assert!(fields.fields.remove("type").is_some());
    fields
}

#[tokio::test]
async fn a_change_shows_all_and_an_upload_no_secret() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = sandbox.insert(1, row());
    let message: UploadFilesRequest = upload(id, ca("CA"));
    let uploaded = gateway
        .client
        .clone()
        .upload_files(authorized(message))
        .await;
    let uploaded = *uploaded.unwrap().into_inner().connection.unwrap();
    assert!(!has_marks(&uploaded));
    assert!(uploaded.ssl_ca.is_some());
    let renamed = gateway
        .client
        .clone()
        .update(authorized(rename(id, "n")))
        .await;
    let renamed = *renamed.unwrap().into_inner().connection.unwrap();
    assert_eq!(renamed.password.as_deref(), Some("marker-password"));
    assert_open(&renamed, false);
}

#[tokio::test]
async fn a_view_that_does_not_exist_is_refused() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = sandbox.insert(1, row());
    for view in [3, -1, i32::MAX] {
        let get = GetRequest {
            team_id: 1,
            connection_id: id,
            view,
        };
        let list = ListRequest {
            team_id: 1,
            view,
            ..ListRequest::default()
        };
        let got = failure(gateway.client.clone().get(authorized(get)).await);
        let listed = failure(gateway.client.clone().list(authorized(list)).await);
        for failed in [got, listed] {
            assert_eq!(
                (failed.code, &*failed.reason),
                (Code::InvalidArgument, "INVALID_FIELD")
            );
            assert_eq!(failed.fields(), ["view"]);
        }
    }
    assert_eq!(sandbox.requests().len(), 0);
}

#[tokio::test]
async fn ids_that_are_none_are_refused_by_every_call() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    for id in [0, -1, i32::MIN] {
        for call in super::Call::ALL {
            let failed = failure(call.send(&gateway.client, id).await);
            assert_eq!(
                (failed.code, failed.fields()),
                (Code::InvalidArgument, vec!["connection_id"])
            );
        }
    }
    let both = GetRequest::default();
    let failed = failure(gateway.client.clone().get(authorized(both)).await);
    assert_eq!(failed.fields(), ["team_id", "connection_id"]);
    assert_eq!(sandbox.requests().len(), 0);
}
