//! `GATEWAY_REDACT_RESPONSES`: no response has a secret, whatever is asked for and whatever the row
//! has in it.

use std::collections::BTreeSet;

use chartbrew_gateway::{
    chartbrew::types::{Secret, fields},
    proto::{
        ConnectionView, GetRequest, ListRequest, UpdateRequest, UploadFilesRequest,
        connection_service_client::ConnectionServiceClient,
    },
};
use chartbrew_sandbox::Fault;
use prost::Message;
use prost_types::FieldMask;
use serde_json::json;
use tonic::{Response, Status, transport::Channel};

use super::{
    hasty,
    hostile::{Hostile, response},
    marks,
    resource::NO_SECRETS,
    shown::rows,
    with_token,
};
use crate::support::gateway::{Builder, gateway, sandbox, trailer};

type Called = Result<Vec<u8>, Status>;

/// The methods whose responses have a connection in them.
#[derive(Clone, Copy, Debug)]
enum Rpc {
    Create,
    Replay,
    Get,
    List,
    Update,
    UploadFiles,
}

const ALL: [Rpc; 6] = [
    Rpc::Create,
    Rpc::Replay,
    Rpc::Get,
    Rpc::List,
    Rpc::Update,
    Rpc::UploadFiles,
];

fn redacted(upstream: &str) -> Builder {
    hasty(upstream).with(|settings| settings.grpc.redact_responses = true)
}

/// Asks for all that there is. The message of the response.
async fn call(client: &ConnectionServiceClient<Channel>, rpc: Rpc) -> Called {
    fn bytes<T: Message>(response: Response<T>) -> Vec<u8> {
        response.into_inner().encode_to_vec()
    }
    let (mut client, team_id, connection_id) = (client.clone(), 1, 1);
    let view = ConnectionView::Full.into();
    let marked = marks::request();
    match rpc {
        Rpc::Create => {
            let request = with_token(marks::without_files(false));
            client.create(request).await.map(bytes)
        }
        Rpc::Replay => {
            let request = marks::without_files(true);
            client.create(with_token(request.clone())).await?;
            let replayed = client.create(with_token(request)).await?;
            let outcome = trailer(replayed.metadata(), "x-outcome");
            assert_eq!(outcome, Some("replayed"));
            Ok(bytes(replayed))
        }
        Rpc::Get => {
            let request = GetRequest {
                team_id,
                connection_id,
                view,
            };
            client.get(with_token(request)).await.map(bytes)
        }
        Rpc::List => {
            let request = ListRequest {
                team_id,
                view,
                ..ListRequest::default()
            };
            client.list(with_token(request)).await.map(bytes)
        }
        Rpc::Update => {
            let paths = vec!["password".to_owned(), "extra_fields".to_owned()];
            let request = UpdateRequest {
                team_id,
                connection_id,
                connection: marked.connection,
                update_mask: Some(FieldMask { paths }),
            };
            client.update(with_token(request)).await.map(bytes)
        }
        Rpc::UploadFiles => {
            let request = UploadFilesRequest {
                team_id,
                connection_id,
                files: marked.files,
            };
            client.upload_files(with_token(request)).await.map(bytes)
        }
    }
}

fn secret_in(bytes: &[u8]) -> Option<&'static str> {
    marks::found_but(&NO_SECRETS, bytes)
}

#[tokio::test]
async fn no_response_of_any_method_has_a_secret() {
    let hostile = Hostile::start().await;
    let (open, redacted) = (hasty(&hostile.url), redacted(&hostile.url));
    let (open, redacted) = (open.start().await, redacted.start().await);
    let mut open_secrets = BTreeSet::new();
    for (number, (name, mut row)) in rows().into_iter().enumerate() {
        for (rpc, id) in ALL.into_iter().zip(number * ALL.len() + 2..) {
            let case = format!("{rpc:?}, {name}");
            // No two creates can make the same row.
            row["id"] = match rpc {
                Rpc::Create | Rpc::Replay => id.into(),
                _ => 1.into(),
            };
            let body = match rpc {
                Rpc::List => json!([row, row]),
                _ => row.clone(),
            };
            hostile.answer(response(200, body.to_string().as_bytes()), None);
            let called = call(&redacted.client, rpc).await;
            let bytes = called.unwrap_or_else(|status| panic!("{case}: {status}"));
            let shown = String::from_utf8_lossy(&bytes);
            assert_eq!(secret_in(&bytes), None, "{case}: {shown}");
            assert!(shown.contains("db.example"), "{case}: {shown}");
            let open = call(&open.client, rpc).await.unwrap();
            open_secrets.extend(secret_in(&open).map(|_| format!("{rpc:?}")));
        }
    }
    // What `UploadFiles` returns has none for anybody.
    let expected = ["Create", "Get", "List", "Replay", "Update"].map(str::to_owned);
    assert_eq!(open_secrets, BTreeSet::from(expected));
}

#[tokio::test]
async fn a_row_that_was_looked_for_has_none_either() {
    for is_redacted in [false, true] {
        let sandbox = sandbox().await;
        sandbox.script([Fault::create().drop_after_storing()]);
        let gateway = gateway(&sandbox.url())
            .with(|settings| settings.grpc.redact_responses = is_redacted)
            .start()
            .await;
        let request = marks::without_files(true);
        for outcome in ["recovered", "replayed"] {
            let response = gateway.create(request.clone()).await.unwrap();
            assert_eq!(trailer(response.metadata(), "x-outcome"), Some(outcome));
            let bytes = response.into_inner().encode_to_vec();
            assert_eq!(secret_in(&bytes).is_none(), is_redacted, "{outcome}");
        }
    }
}

#[test]
fn the_documented_fields_are_those_of_the_table() {
    let document = include_str!("../../../docs/connections.md");
    let (_, section) = document
        .split_once("## Withhold secrets from every caller")
        .unwrap();
    let section = section.split("\n## ").next().unwrap();
    let documented = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<_> = documented
        .map(|row| row.split('`').next().unwrap())
        .collect();
    let secrets = fields().filter(|field| field.secret != Secret::No);
    // Those that the contract does not know are in no table.
    let unknown = ["connection.extra_fields"];
    let secrets = secrets.map(|field| field.path.unwrap()).chain(unknown);
    assert_eq!(documented, secrets.collect());
}
