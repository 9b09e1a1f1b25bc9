//! A list that is not as it should be: cut short, no array, with elements that are no rows, or
//! without end.

use std::sync::Arc;

use chartbrew_gateway::proto::{ListRequest, ListResponse};
use chartbrew_sandbox::Fault;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, sync::Notify};
use tonic::{Code, Response, Status};

use crate::support::{
    gateway::{Gateway, authorized, failure, gateway, sandbox, trailer},
    raw::Raw,
    time::soon,
};

const JSON: &str = "application/json; charset=utf-8";

async fn list(gateway: &Gateway, page_size: i32) -> Result<Response<ListResponse>, Status> {
    let message = ListRequest {
        team_id: 1,
        page_size,
        ..ListRequest::default()
    };
    soon(gateway.client.clone().list(authorized(message))).await
}

fn ids(response: Response<ListResponse>) -> Vec<i32> {
    let rows = response.into_inner().connections;
    rows.iter().map(|row| row.id).collect()
}

fn row(id: i32) -> Value {
    json!({ "id": id, "name": "m", "createdAt": format!("2026-01-01T00:{:02}:00.000Z", 60 - id) })
}

#[tokio::test]
async fn a_response_that_is_no_whole_list_is_an_error() {
    const MISCONFIGURED: (Code, &str) = (Code::Internal, "UPSTREAM_MISCONFIGURED");
    const DENIED: (Code, &str) = (Code::PermissionDenied, "ACCESS_DENIED");
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let whole = json!([row(1), row(2)]).to_string();
    let begun = &whole[..whole.len() - 1];
    let cases = [
        (200, JSON, r#"{"a":1}"#, MISCONFIGURED),
        (200, JSON, "null", MISCONFIGURED),
        (200, JSON, r#""[]""#, MISCONFIGURED),
        (200, JSON, "", MISCONFIGURED),
        (200, JSON, " ", MISCONFIGURED),
        (200, JSON, "[", MISCONFIGURED),
        (200, JSON, begun, MISCONFIGURED),
        (200, JSON, "[] []", MISCONFIGURED),
        (200, "text/html", "<!DOCTYPE html>", MISCONFIGURED),
        (302, "text/html", "", MISCONFIGURED),
        (404, "text/html", "Cannot GET", MISCONFIGURED),
        (403, JSON, r#"{"message":"Access denied"}"#, DENIED),
    ];
    for (status, kind, body, expected) in cases {
        sandbox.clear_faults();
        sandbox.script([Fault::list().body(status, kind, body.to_owned()).forever()]);
        let failed = failure(list(&gateway, 10).await);
        assert_eq!((failed.code, &*failed.reason), expected, "{status} {body}");
    }
}

#[tokio::test]
async fn a_list_whose_connection_breaks_is_read_again() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let id = sandbox.insert(1, json!({ "name": "m" }));
    sandbox.script([
        Fault::list().cut_answer_at(50),
        Fault::list().cut_answer_at(0),
    ]);
    let response = list(&gateway, 10).await.unwrap();
    assert_eq!(
        trailer(response.metadata(), "x-upstream-attempts"),
        Some("3")
    );
    assert_eq!(ids(response), [id]);
    sandbox.script([Fault::list().cut_answer_at(50).forever()]);
    let failed = failure(list(&gateway, 10).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::Unavailable, "UPSTREAM_UNAVAILABLE")
    );
    assert!(failed.has_retry_info());
}

#[tokio::test]
async fn an_element_that_is_no_row_is_passed_over() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deep: String =
        format!(r#"{{"id":90,"createdAt":"2026-01-01T00:30:00.000Z","options":{deep}}}"#);
    let list_of = |elements: &[String]| format!(" [ {} ] ", elements.join(" ,\n"));
    let [one, two, three] = [1, 2, 3].map(|id| row(id).to_string());
    let elements = [
        "1".to_owned(),
        "null".to_owned(),
        one,
        r#""a \"],[{ text""#.to_owned(),
        "{}".to_owned(),
        r#"{"id":"x"}"#.to_owned(),
        r#"{"id":0}"#.to_owned(),
        r#"{"id":-3,"createdAt":"2026-01-01T00:00:00.000Z"}"#.to_owned(),
        r#"{"id":99999999999}"#.to_owned(),
        r#"[{"id":8}]"#.to_owned(),
        two,
        "true".to_owned(),
        deep,
        r#"{"id":91 "name":1}"#.to_owned(),
        three,
    ];
    sandbox.script([Fault::list().body(200, JSON, list_of(&elements)).forever()]);
    assert_eq!(ids(list(&gateway, 10).await.unwrap()), [1, 2, 3]);
    let first = list(&gateway, 2).await.unwrap().into_inner();
    assert!(!first.next_page_token.is_empty());
    let empty = list_of(&["null".to_owned()]);
    sandbox.clear_faults();
    sandbox.script([Fault::list().body(200, JSON, empty)]);
    let none = list(&gateway, 10).await.unwrap().into_inner();
    assert_eq!((none.connections.len(), &*none.next_page_token), (0, ""));
}

/// Upstream's order is not relied on.
#[tokio::test]
async fn a_list_in_any_order_comes_newest_first() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let mixed: Vec<_> = [5, 1, 4, 9, 2, 8, 3, 7, 6].map(row).into();
    let body = Value::from(mixed).to_string();
    sandbox.script([Fault::list().body(200, JSON, body).forever()]);
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let message = ListRequest {
            team_id: 1,
            page_size: 2,
            page_token: token,
            ..ListRequest::default()
        };
        let page = gateway
            .client
            .clone()
            .list(authorized(message))
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.connections.iter().map(|row| row.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

/// An upstream whose list has no end: the page comes all the same, and then the connection is
/// closed.
#[tokio::test]
async fn upstream_is_read_no_further_than_the_page_needs() {
    let closed = Arc::new(Notify::new());
    let notify = closed.clone();
    let raw = Raw::start(move |mut peer, _| {
        let notify = notify.clone();
        async move {
            let Some(_) = peer.request().await else {
                return;
            };
            peer.write("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[")
                .await;
            for id in 1_i64.. {
                let second = jiff::Timestamp::from_second(2_000_000_000 - id).unwrap();
                let row = json!({ "id": id, "name": "m", "createdAt": second.to_string() });
                if peer
                    .0
                    .write_all(format!("{row},").as_bytes())
                    .await
                    .is_err()
                {
                    break;
                }
            }
            notify.notify_one();
        }
    })
    .await;
    let gateway = gateway(&raw.url).start().await;
    let expected: Vec<_> = (1..=100).collect();
    assert_eq!(ids(list(&gateway, 100).await.unwrap()), expected);
    soon(closed.notified()).await;
}
