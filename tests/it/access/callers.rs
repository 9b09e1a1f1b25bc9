//! The callers file: who may call, and what.

use chartbrew_gateway::{
    callers::token::TokenHash,
    chartbrew::Token,
    grpc::OwnToken,
    proto::{CreateRequest, CreateResponse, connection_service_client::ConnectionServiceClient},
};
use chartbrew_sandbox as sandbox;
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    gateway::{Builder, Failure, Gateway, failure, gateway, minimal, sandbox, trailer},
    pki::{Authority, Directory, Files, endpoint},
    rpc,
    time::soon,
    wire::{call, stalled},
};

/// An entry of the callers file, with more lines.
pub(super) fn entry(name: &str, tokens: &[&str], more: &str) -> String {
    let hashes: Vec<_> = tokens
        .iter()
        .map(|token| TokenHash::of(token).to_string())
        .collect();
    format!("[[caller]]\nname = {name:?}\ntoken_sha256 = {hashes:?}\n{more}\n")
}

/// A gateway with the sandbox's token as its own, for these callers.
pub(super) fn for_callers(upstream: &str, directory: &Directory, callers: &str) -> Builder {
    let path = directory.write("callers.toml", callers);
    gateway(upstream).with(|settings| {
        let own = Token::parse(sandbox::TOKEN).unwrap();
        settings.grpc.own_token = Some(OwnToken::Fixed(own));
        settings.grpc.callers_file = Some(path);
    })
}

/// A request with a token.
pub(super) fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let token = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    request
}

async fn create_by(
    gateway: &Gateway,
    token: &str,
    message: CreateRequest,
) -> Result<Response<CreateResponse>, Status> {
    gateway.client.clone().create(by(token, message)).await
}

fn assert_refused<T>(result: Result<T, Status>, code: Code, reason: &str) -> Failure {
    let failure = failure(result);
    assert_eq!(
        (failure.code, &*failure.reason),
        (code, reason),
        "{}",
        failure.status
    );
    failure
}

#[tokio::test]
async fn a_caller_is_known_by_its_token_and_the_gateways_own_is_sent() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let callers = entry("billing", &["old-token", "new-token"], "");
    let gateway = for_callers(&sandbox.url(), &directory, &callers)
        .start()
        .await;
    for token in ["old-token", "new-token"] {
        create_by(&gateway, token, minimal("m")).await.unwrap();
    }
    let requests = sandbox.requests();
    assert_eq!(requests.len(), 2);
    let own = format!("Bearer {}", sandbox::TOKEN);
    assert!(
        requests
            .iter()
            .all(|request| request.headers["authorization"] == *own)
    );
    // Chartbrew's token is none of the gateway's.
    for token in [
        "another",
        sandbox::TOKEN,
        &TokenHash::of("new-token").to_string(),
    ] {
        let result = create_by(&gateway, token, minimal("m")).await;
        let refused = assert_refused(result, Code::Unauthenticated, "TOKEN_REJECTED");
        assert_eq!(
            trailer(refused.status.metadata(), "x-upstream-attempts"),
            Some("0")
        );
    }
    let result = gateway.client.clone().create(minimal("m")).await;
    assert_refused(result, Code::Unauthenticated, "TOKEN_MISSING");
    let mut twice = by("new-token", minimal("m"));
    twice
        .metadata_mut()
        .append("authorization", "Bearer new-token".parse().unwrap());
    let result = gateway.client.clone().create(twice).await;
    assert_refused(result, Code::Unauthenticated, "TOKEN_MISSING");
    assert_eq!(sandbox.requests().len(), 2);
    // What probes and tools ask needs no token.
    let mut health = HealthClient::new(gateway.channel().await);
    health.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_caller_uses_only_its_teams_with_every_method() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let callers = entry("billing", &[sandbox::TOKEN], "teams = [2, 3]");
    let gateway = for_callers(&sandbox.url(), &directory, &callers)
        .start()
        .await;
    let id = sandbox.insert(
        1,
        serde_json::json!({"name": "not theirs", "type": "mysql"}),
    );
    let denied = (Code::PermissionDenied, "TEAM_NOT_ALLOWED");
    assert_refused(gateway.create(minimal("m")).await, denied.0, denied.1);
    for rpc in rpc::ALL {
        // For a connection of team 1.
        let result = rpc.call(&gateway.client, id, None).await;
        let refused = assert_refused(result, denied.0, denied.1);
        assert!(
            refused.status.message().contains("team 1"),
            "{}",
            refused.status
        );
    }
    // A team that is not said is none of theirs, either.
    let nowhere = CreateRequest {
        team_id: 0,
        ..minimal("m")
    };
    assert_refused(gateway.create(nowhere).await, denied.0, denied.1);
    assert!(sandbox.requests().is_empty());
    // The sandbox has no such team.
    let theirs = CreateRequest {
        team_id: 2,
        ..minimal("m")
    };
    let result = gateway.create(theirs).await;
    assert_refused(result, Code::PermissionDenied, "ACCESS_DENIED");
}

#[tokio::test]
async fn a_caller_calls_only_its_methods_and_is_refused_before_its_message_is_read() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let callers = entry("reader", &[sandbox::TOKEN], "methods = [\"Get\", \"List\"]");
    let gateway = for_callers(&sandbox.url(), &directory, &callers)
        .with(|settings| settings.grpc.message_timeout = std::time::Duration::from_secs(3600))
        .start()
        .await;
    let id = sandbox.insert(1, serde_json::json!({"name": "m", "type": "mysql"}));
    for rpc in rpc::ALL {
        let result = rpc.call(&gateway.client, id, None).await;
        match rpc {
            rpc::Rpc::Get | rpc::Rpc::List => drop(result.unwrap()),
            _ => drop(assert_refused(
                result,
                Code::PermissionDenied,
                "METHOD_NOT_ALLOWED",
            )),
        }
    }
    assert_eq!(sandbox.requests().len(), 2);
    for (token, code, reason) in [
        (
            "Bearer sandbox-token",
            Code::PermissionDenied,
            "METHOD_NOT_ALLOWED",
        ),
        ("Bearer other", Code::Unauthenticated, "TOKEN_REJECTED"),
    ] {
        let headers = [("authorization", token)];
        let status = soon(call(gateway.channel().await, &headers, stalled(b""))).await;
        assert_refused::<()>(Err(status), code, reason);
    }
}

#[tokio::test]
async fn a_caller_that_is_too_fast_is_told_when_to_come_back() {
    let sandbox = sandbox().await;
    let directory = Directory::new();
    let callers = entry("slow", &["slow"], "calls_per_second = 1") + &entry("fast", &["fast"], "");
    let gateway = for_callers(&sandbox.url(), &directory, &callers)
        .start()
        .await;
    // On a machine that is busy for a second, the next call is in time.
    let mut result = create_by(&gateway, "slow", minimal("m")).await;
    for _ in 0..100 {
        if result.is_err() {
            break;
        }
        result = create_by(&gateway, "slow", minimal("m")).await;
    }
    let refused = assert_refused(result, Code::ResourceExhausted, "RATE_LIMITED");
    let wait = refused.details.retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= std::time::Duration::from_secs(1), "{wait:?}");
    let pushback = trailer(refused.status.metadata(), "grpc-retry-pushback-ms");
    assert!(
        pushback.is_some_and(|wait| wait.parse::<u32>().is_ok()),
        "{pushback:?}"
    );
    // Its limit is its own.
    for _ in 0..5 {
        create_by(&gateway, "fast", minimal("m")).await.unwrap();
    }
}

#[tokio::test]
async fn a_caller_is_known_by_its_certificate_or_by_both() {
    let sandbox = sandbox().await;
    let authority = Authority::new("ours");
    let files = Files::new(&authority, &authority);
    let by_certificate = "[[caller]]\nname = \"billing\"\n\
                          certificate_names = [\"spiffe://example/billing\"]\nteams = [1]\n";
    let both = entry("both", &["token"], "certificate_names = [\"both.example\"]");
    let directory = Directory::new();
    let gateway = for_callers(
        &sandbox.url(),
        &directory,
        &format!("{by_certificate}{both}"),
    )
    .with(|settings| files.with_client_ca(settings, &[]))
    .start_without_client()
    .await;
    let billing = authority.issue(&["spiffe://example/billing"]);
    let with_both = authority.issue(&["both.example"]);
    let other = authority.issue(&["other.example"]);
    let missing = Some((Code::Unauthenticated, "TOKEN_MISSING"));
    let rejected = Some((Code::Unauthenticated, "TOKEN_REJECTED"));
    let cases = [
        (&billing, None, 1, None),
        (
            &billing,
            None,
            2,
            Some((Code::PermissionDenied, "TEAM_NOT_ALLOWED")),
        ),
        (&billing, Some("wrong"), 1, rejected),
        (&billing, Some("token"), 1, rejected),
        (&with_both, Some("token"), 1, None),
        (&with_both, None, 1, missing),
        (&other, Some("token"), 1, rejected),
        (&other, None, 1, missing),
    ];
    for (pair, token, team_id, expected) in cases {
        let channel: Channel = endpoint(gateway.addr, authority.pem(), Some(pair))
            .connect()
            .await
            .unwrap();
        let message = CreateRequest {
            team_id,
            ..minimal("m")
        };
        let request = match token {
            Some(token) => by(token, message),
            None => Request::new(message),
        };
        let result = ConnectionServiceClient::new(channel).create(request).await;
        match expected {
            None => drop(result.unwrap()),
            Some((code, reason)) => drop(assert_refused(result, code, reason)),
        }
    }
}
