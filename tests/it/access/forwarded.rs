//! What Chartbrew sees of a caller: its token if the gateway has none, and nothing else of who it is.

use std::collections::BTreeSet;

use chartbrew_gateway::{chartbrew::Token, grpc::OwnToken};
use chartbrew_sandbox::{self as sandbox, User};
use tonic::Code;

use super::callers::{by, entry, for_callers};
use crate::support::{
    gateway::{authorized, failure, gateway, minimal, sandbox, sandbox_with, with_id},
    pki::Directory,
    rpc,
};

const OWN: &str = "the-gateways-own-token";
const MARK: &str = "marker-of-a-caller";

#[tokio::test]
async fn a_callers_token_never_reaches_chartbrew_where_the_gateway_has_its_own() {
    let own = User::owner(OWN, [1]);
    let sandbox = sandbox_with(sandbox::Settings {
        users: vec![own],
        ..sandbox::Settings::default()
    })
    .await;
    let directory = Directory::new();
    // Every call below is made with the sandbox's token, which is a caller's here.
    let callers = entry("billing", &[sandbox::TOKEN], "");
    let gateway = for_callers(&sandbox.url(), &directory, &callers)
        .with(|settings| {
            settings.grpc.own_token = Some(OwnToken::Fixed(Token::parse(OWN).unwrap()));
        })
        .start()
        .await;
    gateway.create(with_id("m")).await.unwrap();
    for rpc in rpc::ALL {
        let id = sandbox.insert(1, serde_json::json!({"name": "m", "type": "mysql"}));
        rpc.call(&gateway.client, id, None).await.unwrap();
    }
    let requests = sandbox.requests();
    assert!(requests.len() > rpc::ALL.len(), "{}", requests.len());
    for request in requests {
        let case = format!("{} {}", request.method, request.path);
        let authorization: Vec<_> = request.headers.get_all("authorization").iter().collect();
        assert_eq!(authorization, [&*format!("Bearer {OWN}")], "{case}");
        let seen = format!("{} {:?}", request.path, request.headers);
        assert!(!seen.contains(sandbox::TOKEN), "{case}");
        let body = String::from_utf8_lossy(&request.body);
        assert!(!body.contains(sandbox::TOKEN), "{case}");
    }
}

#[tokio::test]
async fn of_a_callers_metadata_only_the_token_and_the_trace_are_sent_on() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let passes_on = gateway(&sandbox.url()).start().await;
    let has_its_own = for_callers(
        &sandbox.url(),
        &directory,
        &entry("billing", &[sandbox::TOKEN], ""),
    )
    .start()
    .await;
    let names = |sandbox: &sandbox::Handle| {
        let requests = sandbox.requests();
        let names = requests.iter().flat_map(|request| request.headers.keys());
        // The gateway's own, by what it knows of the connection.
        let names = names.filter(|name| *name != "expect");
        names.map(ToString::to_string).collect::<BTreeSet<_>>()
    };
    for gateway in [passes_on, has_its_own] {
        sandbox.clear_requests();
        gateway.create(minimal("m")).await.unwrap();
        let expected = names(&sandbox);
        sandbox.clear_requests();
        let mut request = authorized(minimal("m"));
        for name in [
            "x-authorization",
            "x-forwarded-authorization",
            "proxy-authorization",
            "x-api-key",
            "x-access-token",
            "cookie",
            "host",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-user",
            "x-original-url",
            "x-http-method-override",
            "x-real-ip",
            "x-request-id",
            "x-chartbrew-gateway",
            "referer",
            "origin",
        ] {
            request.metadata_mut().insert(name, MARK.parse().unwrap());
        }
        let binary = tonic::metadata::MetadataValue::from_bytes(MARK.as_bytes());
        request
            .metadata_mut()
            .insert_bin("authorization-bin", binary);
        gateway.client.clone().create(request).await.unwrap();
        assert_eq!(names(&sandbox), expected);
        let requests = sandbox.requests();
        assert_eq!(requests.len(), 1);
        let authorization = requests[0].headers.get_all("authorization").iter().count();
        assert_eq!(authorization, 1);
        assert!(!format!("{requests:?}").contains(MARK), "{requests:?}");
    }
}

#[tokio::test]
async fn each_call_on_a_connection_has_the_rights_of_its_own_token() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let callers = entry("billing", &["billing"], "teams = [1]")
        + &entry("reports", &["reports"], "teams = [2]")
        + &entry("reader", &["reader"], "methods = [\"Get\"]");
    let gateway = for_callers(&sandbox.url(), &directory, &callers)
        .start()
        .await;
    let expected = [
        ("billing", None),
        (
            "reports",
            Some((Code::PermissionDenied, "TEAM_NOT_ALLOWED")),
        ),
        (
            "reader",
            Some((Code::PermissionDenied, "METHOD_NOT_ALLOWED")),
        ),
        ("nobody", Some((Code::Unauthenticated, "TOKEN_REJECTED"))),
        ("", Some((Code::Unauthenticated, "TOKEN_MISSING"))),
    ];
    // All at once, on the connection of one client.
    let calls = (0..20).flat_map(|_| expected).map(|(token, expected)| {
        let mut client = gateway.client.clone();
        tokio::spawn(async move {
            let request = match token {
                "" => tonic::Request::new(minimal("m")),
                token => by(token, minimal("m")),
            };
            (token, expected, client.create(request).await)
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (token, expected, result) = call.await.unwrap();
        let refused = result.err().map(|status| failure::<()>(Err(status)));
        let refused = refused
            .as_ref()
            .map(|refused| (refused.code, &*refused.reason));
        assert_eq!(refused, expected, "{token:?}");
    }
    assert_eq!(sandbox.rows(1).len(), 20);
}
