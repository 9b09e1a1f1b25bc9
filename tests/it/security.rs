//! Nothing of a secret leaves the gateway but in the response that carries the caller's own fields
//! back, or a stored one's where its caller asked for it: no status, no detail, no trailer, no line of the log, whatever upstream sends and
//! wherever a caller puts it.
//!
//! What is echoed on purpose, to the caller alone and never to the log: an `oauth_id` or a
//! `request_id` that is no UUID (its first 64 characters), a number that is no value of an enum or
//! no port, and the names on the way to a JSON value that cannot be sent: keys, no values.

mod binary;
mod bytes;
mod everywhere;
mod files;
mod hostile;
mod marks;
mod outdated;
mod redacted;
mod resource;
mod seen;
mod shown;
mod wrong;

use chartbrew_gateway::proto::{
    CreateRequest, CreateResponse, connection_service_client::ConnectionServiceClient,
};
use chartbrew_sandbox::Fault;
use prost::Message;
use tonic::{Request, Response, Status, transport::Channel};

use self::{
    bytes::Bytes,
    hostile::{Hostile, Scenario, scenarios},
    seen::{logs, nothing_in_logs, nothing_in_response, seen},
    wrong::wrong_requests,
};
use crate::support::gateway::{Builder, Gateway, authorized, gateway, sandbox};

// === callers ===

/// Waits as short as can be, and no budget that runs out.
fn hasty(upstream: &str) -> Builder {
    gateway(upstream).with(|settings| {
        settings.delivery.recovery_window = std::time::Duration::from_millis(20);
        settings.delivery.breaker.failures = u32::MAX;
        settings.delivery.retries_per_second = 1_000_000;
    })
}

fn with_token<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let token = format!("Bearer {}", marks::mark("token")).parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    request
}

async fn call(
    client: &ConnectionServiceClient<Channel>,
    message: CreateRequest,
) -> Result<Response<CreateResponse>, Status> {
    client.clone().create(with_token(message)).await
}

/// Plays a scenario and asserts that its caller sees no marker. Returns how often it failed.
async fn play(
    hostile: &Hostile,
    client: &ConnectionServiceClient<Channel>,
    scenario: &Scenario,
) -> usize {
    hostile.play(scenario);
    let mut failures = 0;
    for _ in 0..scenario.calls {
        let result = call(client, scenario.request.clone()).await;
        nothing_in_response(&scenario.name, &result);
        failures += usize::from(result.is_err());
    }
    failures
}

// === promises ===

#[tokio::test]
async fn no_response_of_upstream_reveals_a_secret() {
    let (text, json, _guard) = logs();
    let hostile = Hostile::start().await;
    let gateway = hasty(&hostile.url).start().await;
    let mut failures = 0;
    for scenario in scenarios() {
        failures += play(&hostile, &gateway.client, &scenario).await;
        nothing_in_logs(&scenario.name, &text, &json);
    }
    assert!(failures > 500, "only {failures} calls failed");
}

#[tokio::test]
async fn no_fault_of_the_embedded_chartbrew_reveals_a_secret() {
    let (text, json, _guard) = logs();
    let sandbox = sandbox().await;
    // Chartbrew itself refuses the names and says so with the whole statement.
    let gateway = hasty(&sandbox.url())
        .with(|settings| settings.grpc.limits.name_chars = 1_000)
        .start()
        .await;
    let faults = [
        Fault::create(),
        Fault::create().drop_before_reading(),
        Fault::create().drop_before_storing(),
        Fault::create().drop_after_storing(),
        Fault::create().cut_answer_at(100),
        Fault::create().garbled_answer(),
        Fault::files().garbled_answer(),
        Fault::files().cut_answer_at(100).forever(),
        Fault::files().drop_after_storing().forever(),
    ];
    for with_id in [false, true] {
        for (fault, name) in faults
            .iter()
            .flat_map(|f| [(f, "n".repeat(256)), (f, "n".to_owned())])
        {
            let case = format!("{with_id} {fault:?}");
            sandbox.reset();
            sandbox.script([fault.clone()]);
            let mut message = CreateRequest {
                files: marks::request().files,
                ..marks::without_files(with_id)
            };
            message.connection.as_mut().unwrap().name = name;
            let mut request = authorized(message);
            // The sandbox knows its own token only. Metadata that is on no list goes nowhere.
            let other = marks::mark("token").parse().unwrap();
            request
                .metadata_mut()
                .insert("x-forwarded-authorization", other);
            let result = gateway.client.clone().create(request).await;
            nothing_in_response(&case, &result);
            nothing_in_logs(&case, &text, &json);
        }
    }
    let stored = serde_json::to_vec(&sandbox.rows(1)).unwrap();
    assert!(marks::found_in(&stored).is_some(), "nothing was sent");
}

#[tokio::test]
async fn a_wrong_request_is_explained_without_its_secrets() {
    let (text, json, _guard) = logs();
    let sandbox = sandbox().await;
    let gateway = hasty(&sandbox.url()).start().await;
    for (case, may_show, request) in wrong_requests() {
        let result = call(&gateway.client, request).await;
        assert!(result.is_err(), "{case}");
        let seen = seen(&result);
        let shown = String::from_utf8_lossy(&seen);
        assert_eq!(marks::found_but(&may_show, &seen), None, "{case}: {shown}");
        nothing_in_logs(case, &text, &json);
        assert!(sandbox.requests().is_empty(), "{case} was sent");
    }
}

#[tokio::test]
async fn a_malformed_token_is_not_repeated() {
    let (text, json, _guard) = logs();
    let sandbox = sandbox().await;
    let gateway = hasty(&sandbox.url()).start().await;
    let mark = marks::mark("token");
    let wrong = [
        mark.clone(),
        format!("Basic {mark}"),
        format!("Bearer {mark} {mark}"),
        format!("Bearer{mark}"),
        format!("Bearer {mark}\t"),
        format!("Bearer wrong-{mark}"),
    ];
    for token in wrong {
        let mut request = Request::new(marks::request());
        request
            .metadata_mut()
            .insert("authorization", token.parse().unwrap());
        let result = gateway.client.clone().create(request).await;
        assert!(result.is_err(), "{token}");
        nothing_in_response(&token, &result);
        nothing_in_logs(&token, &text, &json);
    }
    let mut twice = with_token(marks::request());
    twice
        .metadata_mut()
        .append("authorization", mark.parse().unwrap());
    let result = gateway.client.clone().create(twice).await;
    nothing_in_response("twice", &result);
    nothing_in_logs("twice", &text, &json);
}

async fn send_bytes(gateway: &Gateway, bytes: Vec<u8>) -> Result<Response<CreateResponse>, Status> {
    let mut grpc = tonic::client::Grpc::new(gateway.channel().await);
    grpc.ready().await.unwrap();
    let path = "/chartbrew.connection.v1.ConnectionService/Create"
        .parse()
        .unwrap();
    grpc.unary(with_token(bytes), path, Bytes).await
}

#[tokio::test]
async fn a_message_that_cannot_be_decoded_is_not_repeated() {
    let (text, json, _guard) = logs();
    let sandbox = sandbox().await;
    let gateway = hasty(&sandbox.url()).start().await;
    let right = marks::request().encode_to_vec();
    let cut = right[..right.len() / 2].to_vec();
    let mut not_utf8 = right.clone();
    let mark = marks::mark("password");
    let at = not_utf8
        .windows(mark.len())
        .position(|part| part == mark.as_bytes());
    not_utf8[at.unwrap() - 1] = 0xff;
    let no_message = format!("\u{7}{}", marks::all()).into_bytes();
    for (case, bytes) in [
        ("cut", cut),
        ("no UTF-8", not_utf8),
        ("no message", no_message),
    ] {
        let result = send_bytes(&gateway, bytes).await;
        assert!(result.is_err(), "{case}");
        nothing_in_response(case, &result);
        nothing_in_logs(case, &text, &json);
    }
    let result = send_bytes(&gateway, right).await;
    nothing_in_response("right", &result);
    nothing_in_logs("right", &text, &json);
}
