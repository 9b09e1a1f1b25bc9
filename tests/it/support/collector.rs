//! A collector that decodes OTLP with the published protos, over gRPC and over HTTP.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, routing::post};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// A running collector. Clones are of the same.
#[derive(Clone, Default)]
pub(crate) struct Collector {
    taken: Arc<Mutex<Taken>>,
    pub(crate) url: String,
}

#[derive(Default)]
struct Taken {
    spans: Vec<Span>,
    metrics: Vec<String>,
    resource: BTreeMap<String, String>,
    /// All bytes, as text: for what must not be among them.
    text: String,
}

impl Collector {
    pub(crate) async fn grpc() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self::at(&listener);
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .add_service(MetricsServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        collector
    }

    pub(crate) async fn http() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let collector = Self::at(&listener);
        let router = Router::new()
            .route("/v1/traces", post(spans))
            .route("/v1/metrics", post(metrics))
            .with_state(collector.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        collector
    }

    fn at(listener: &TcpListener) -> Self {
        Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            ..Self::default()
        }
    }

    /// The spans so far, in the order of their beginnings.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let mut spans = self.taken.lock().unwrap().spans.clone();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }

    pub(crate) fn metrics(&self) -> Vec<String> {
        self.taken.lock().unwrap().metrics.clone()
    }

    pub(crate) fn resource(&self, key: &str) -> Option<String> {
        self.taken.lock().unwrap().resource.get(key).cloned()
    }

    /// Whether a text is anywhere in what was sent.
    pub(crate) fn was_told(&self, text: &str) -> bool {
        self.taken.lock().unwrap().text.contains(text)
    }

    /// All that was sent.
    pub(crate) fn text(&self) -> String {
        self.taken.lock().unwrap().text.clone()
    }

    fn take_spans(&self, request: ExportTraceServiceRequest) {
        let mut taken = self.taken.lock().unwrap();
        taken.text.push_str(&format!("{request:?}"));
        for group in request.resource_spans {
            taken.resource = attributes(&group.resource.unwrap().attributes);
            let scopes = group.scope_spans.into_iter();
            taken.spans.extend(scopes.flat_map(|scope| scope.spans));
        }
    }

    fn take_metrics(&self, request: ExportMetricsServiceRequest) {
        let mut taken = self.taken.lock().unwrap();
        taken.text.push_str(&format!("{request:?}"));
        let scopes = request.resource_metrics.into_iter();
        let scopes = scopes.flat_map(|group| group.scope_metrics);
        let names = scopes
            .flat_map(|scope| scope.metrics)
            .map(|metric| metric.name);
        taken.metrics.extend(names);
    }
}

/// Attributes as text.
pub(crate) fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = attributes.iter();
    pairs
        .map(|pair| (pair.key.clone(), text(&pair.value)))
        .collect()
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take_spans(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.take_metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

async fn spans(State(collector): State<Collector>, body: Bytes) {
    collector.take_spans(ExportTraceServiceRequest::decode(body).unwrap());
}

async fn metrics(State(collector): State<Collector>, body: Bytes) {
    collector.take_metrics(ExportMetricsServiceRequest::decode(body).unwrap());
}
