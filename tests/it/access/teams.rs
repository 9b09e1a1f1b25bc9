//! What one caller knows or made opens nothing for another one.

use chartbrew_gateway::proto::{
    CreateRequest, ListRequest, connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox::{self as sandbox, User};
use tonic::{Code, Request, Status, codec::CompressionEncoding, transport::Channel};

use super::callers::{by, entry, for_callers};
use crate::support::{
    gateway::{Failure, failure, gateway, sandbox, sandbox_with, trailer, with_id},
    pki::Directory,
};

const DENIED: (Code, &str) = (Code::PermissionDenied, "TEAM_NOT_ALLOWED");

type Client = ConnectionServiceClient<Channel>;

fn refused<T>(case: &str, result: Result<T, Status>, expected: (Code, &str)) -> Failure {
    let failure = failure(result);
    let got = (failure.code, &*failure.reason);
    assert_eq!(got, expected, "{case}: {}", failure.status);
    failure
}

async fn create(
    client: &Client,
    request: Request<CreateRequest>,
) -> Result<tonic::Response<chartbrew_gateway::proto::CreateResponse>, Status> {
    client.clone().create(request).await
}

#[tokio::test]
async fn a_request_id_of_another_caller_opens_no_team() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let callers = entry("billing", &["billing"], "teams = [1]")
        + &entry("reports", &["reports"], "teams = [2]")
        + &entry("reader", &["reader"], "teams = [1]\nmethods = [\"Get\"]");
    let gateway = for_callers(&sandbox.url(), &directory, &callers)
        .start()
        .await;
    let message = with_id("m");
    let client = &gateway.client;
    create(client, by("billing", message.clone()))
        .await
        .unwrap();
    sandbox.clear_requests();
    let again = create(client, by("reports", message.clone())).await;
    refused("another's team", again, DENIED);
    let again = create(client, by("reader", message.clone())).await;
    let not_allowed = (Code::PermissionDenied, "METHOD_NOT_ALLOWED");
    refused("another's method", again, not_allowed);
    assert!(sandbox.requests().is_empty());
    // In a team of its own the id is another one: Chartbrew is asked, which has no such team.
    let elsewhere = CreateRequest {
        team_id: 2,
        ..message.clone()
    };
    let again = create(client, by("reports", elsewhere)).await;
    let no_team = (Code::PermissionDenied, "ACCESS_DENIED");
    refused("its own team", again, no_team);
    assert_eq!(sandbox.rows(1).len(), 1);
    let again = create(client, by("billing", message)).await.unwrap();
    assert_eq!(trailer(again.metadata(), "x-outcome"), Some("replayed"));
}

/// The gateway has no token of its own: Chartbrew decides.
#[tokio::test]
async fn a_request_id_of_another_chartbrew_token_shows_no_connection() {
    let users = vec![
        User::owner(sandbox::TOKEN, [1]),
        User::owner("of-team-2", [2]),
    ];
    let sandbox = sandbox_with(sandbox::Settings {
        users,
        ..sandbox::Settings::default()
    })
    .await;
    let gateway = gateway(&sandbox.url()).start().await;
    let message = with_id("m");
    gateway.create(message.clone()).await.unwrap();
    for (token, expected) in [
        ("of-team-2", (Code::PermissionDenied, "ACCESS_DENIED")),
        ("made-up", (Code::Unauthenticated, "TOKEN_REJECTED")),
    ] {
        let again = create(&gateway.client, by(token, message.clone())).await;
        refused(token, again, expected);
    }
    assert_eq!(sandbox.rows(1).len(), 1);
}

#[tokio::test]
async fn a_page_token_is_of_no_use_for_another_team() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let callers = entry("billing", &["billing"], "teams = [1]")
        + &entry("reports", &["reports"], "teams = [2]");
    let gateway = for_callers(&sandbox.url(), &directory, &callers)
        .start()
        .await;
    for name in ["a", "b"] {
        sandbox.insert(1, serde_json::json!({"name": name, "type": "mysql"}));
    }
    let list = async |token: &str, team_id, page_token: &str| {
        let request = ListRequest {
            team_id,
            page_size: 1,
            page_token: page_token.to_owned(),
            ..ListRequest::default()
        };
        gateway.client.clone().list(by(token, request)).await
    };
    let page = list("billing", 1, "").await.unwrap().into_inner();
    assert!(!page.next_page_token.is_empty());
    sandbox.clear_requests();
    let invalid = (Code::InvalidArgument, "INVALID_FIELD");
    let other = list("reports", 2, &page.next_page_token).await;
    let found = refused("under a team that is allowed", other, invalid);
    assert_eq!(found.fields(), ["page_token"]);
    let other = list("reports", 1, &page.next_page_token).await;
    refused("under its own team", other, DENIED);
    assert!(sandbox.requests().is_empty());
    let next = list("billing", 1, &page.next_page_token).await.unwrap();
    assert_eq!(next.into_inner().connections.len(), 1);
}

#[tokio::test]
async fn a_compressed_message_is_of_the_same_team() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let callers = entry("reports", &["reports"], "teams = [2]");
    let gateway = for_callers(&sandbox.url(), &directory, &callers)
        .start()
        .await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let client = gateway.client.clone().send_compressed(encoding);
        let result = create(&client, by("reports", with_id("m"))).await;
        refused(&format!("{encoding:?}"), result, DENIED);
    }
    assert!(sandbox.requests().is_empty());
}
