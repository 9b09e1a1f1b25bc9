//! What tools see: health, reflection in both versions, refusals of malformed calls.

use bytes::Bytes;
use chartbrew_gateway::proto::{CreateRequest, CreateResponse};
use prost::Message;
use tonic::{Code, Request, client::Grpc, codec::CompressionEncoding};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::gateway::{Gateway, authorized, failure, gateway, minimal, sandbox};

const SERVICE: &str = "chartbrew.connection.v1.ConnectionService";

async fn health(gateway: &Gateway, service: &str) -> Option<i32> {
    let mut client = HealthClient::new(gateway.channel().await);
    let service = service.to_owned();
    let response = client.check(HealthCheckRequest { service }).await.ok()?;
    Some(response.into_inner().status)
}

#[tokio::test]
async fn health_is_reported_for_the_service_and_for_the_server() {
    const SERVING: i32 = 1;
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    assert_eq!(health(&gateway, "").await, Some(SERVING));
    assert_eq!(health(&gateway, SERVICE).await, Some(SERVING));
    assert_eq!(health(&gateway, "no.such.Service").await, None);
}

macro_rules! file_of {
    ($version:ident, $gateway:expr, $symbol:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut client = ServerReflectionClient::new($gateway.channel().await);
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::FileContainingSymbol($symbol.to_owned())),
        };
        let requests = futures_util::stream::iter([request]);
        let mut responses = client
            .server_reflection_info(requests)
            .await
            .unwrap()
            .into_inner();
        let response = responses.message().await.unwrap().unwrap();
        matches!(
            response.message_response,
            Some(MessageResponse::FileDescriptorResponse(_))
        )
    }};
}

#[tokio::test]
async fn reflection_knows_the_service_and_the_error_details_in_both_versions() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    for symbol in [
        SERVICE,
        "chartbrew.connection.v1.CreateRequest",
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.RetryInfo",
        "google.rpc.RequestInfo",
        "grpc.health.v1.Health",
        "google.protobuf.Struct",
    ] {
        assert!(file_of!(v1, gateway, symbol), "v1: {symbol}");
        assert!(file_of!(v1alpha, gateway, symbol), "v1alpha: {symbol}");
    }
}

/// A message that is any bytes.
#[derive(Clone, PartialEq, Message)]
struct Raw {
    #[prost(bytes = "bytes", tag = "2")]
    connection: Bytes,
}

async fn call(
    gateway: &Gateway,
    method: &'static str,
    message: Raw,
) -> Result<CreateResponse, tonic::Status> {
    let url = format!("http://{}", gateway.addr);
    let channel = tonic::transport::Channel::from_shared(url)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Raw, CreateResponse>::default();
    let path = http::uri::PathAndQuery::from_static(method);
    Ok(client
        .unary(authorized(message), path, codec)
        .await?
        .into_inner())
}

const CREATE: &str = "/chartbrew.connection.v1.ConnectionService/Create";

#[tokio::test]
async fn what_never_reaches_a_handler_is_explained_too() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let broken = Raw {
        connection: Bytes::from_static(b"\xff\xff\xff"),
    };
    let mut nested = Bytes::new();
    for _ in 0..200 {
        // Value.struct_value > Struct.fields > FieldsEntry.value, without keys.
        let value = Raw { connection: nested }.encode_to_vec();
        nested = Bytes::from([vec![0x0a], length(value.len()), value].concat());
    }
    let deep = Raw {
        connection: Bytes::from([vec![0x4a], length(nested.len()), nested.to_vec()].concat()),
    };
    let large = Raw {
        connection: Bytes::from(vec![0x0a; 6 * 1024 * 1024]),
    };
    let cases = [
        (CREATE, broken, Code::InvalidArgument, "INVALID_FIELD"),
        (CREATE, deep, Code::InvalidArgument, "INVALID_FIELD"),
        (CREATE, large, Code::InvalidArgument, "TOO_LARGE"),
        (
            "/chartbrew.connection.v1.ConnectionService/Nope",
            Raw::default(),
            Code::Unimplemented,
            "UNIMPLEMENTED",
        ),
        (
            "/no.such.Service/Nope",
            Raw::default(),
            Code::Unimplemented,
            "UNIMPLEMENTED",
        ),
    ];
    for (method, message, code, reason) in cases {
        let failed = failure(call(&gateway, method, message).await);
        assert_eq!(
            (failed.code, &*failed.reason),
            (code, reason),
            "{method}: {}",
            failed.status
        );
    }
    let mut large = minimal("m");
    large.connection.as_mut().unwrap().host = Some("h".repeat(6 * 1024 * 1024));
    let mut zipping = gateway
        .client
        .clone()
        .send_compressed(CompressionEncoding::Gzip);
    let failed = failure(zipping.create(authorized(large)).await);
    assert_eq!(
        (failed.code, &*failed.reason),
        (Code::InvalidArgument, "TOO_LARGE")
    );
    assert!(sandbox.requests().is_empty());
    assert!(gateway.create(minimal("still serving")).await.is_ok());
}

fn length(n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(n as u64, &mut bytes);
    bytes
}

#[tokio::test]
async fn no_debug_form_of_a_message_shows_a_secret() {
    let mut request = minimal("m");
    request.connection.as_mut().unwrap().password = Some("marker".to_owned());
    let request: Request<CreateRequest> = Request::new(request);
    assert!(!format!("{request:?}").contains("marker"));
}
