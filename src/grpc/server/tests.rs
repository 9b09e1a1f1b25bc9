use std::{
    convert::Infallible,
    io,
    sync::{Mutex, PoisonError},
};

use http::{Request, Response};
use serde_json::Value;
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt;

use super::*;
use crate::{
    chartbrew::{self, Client},
    delivery::{self, request_id::Store},
};

const CREATE: &str = "/chartbrew.connection.v1.ConnectionService/Create";

/// What is logged.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn bytes(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line of the one call that was made.
    fn call(&self) -> Value {
        let text = String::from_utf8(self.bytes().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut calls = lines.filter(|line: &Value| line["fields"]["message"] == "call");
        let call = calls.next().unwrap();
        assert!(calls.next().is_none(), "{text}");
        call
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// All layers, before a handler that panics.
async fn panicking(request: Request<Body>) -> Response<impl http_body::Body> {
    let handler = tower::service_fn(
        async |_: Request<_>| -> Result<Response<Body>, Infallible> { panic!("on purpose") },
    );
    let client = Client::new(&chartbrew::Settings::default(), std::time::Duration::MAX).unwrap();
    let delivery = Delivery::new(
        delivery::Settings::default(),
        client,
        String::new(),
        Store::Memory(Default::default()),
    );
    let layers = layered(
        handler,
        TaskTracker::new(),
        Identity::default(),
        &Settings::default(),
        &delivery,
    );
    layers.call(request).await
}

#[tokio::test]
async fn a_panic_is_reported_and_logged_with_its_request_id() {
    for given in [Some("my-id"), None] {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .finish();
        let _logged_here = tracing::subscriber::set_default(subscriber);
        let mut request = Request::post(CREATE).header("authorization", "Bearer t");
        if let Some(id) = given {
            request = request.header("x-request-id", id);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = panicking(request).await;
        let id = response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(given.is_none_or(|given| given == id), "{id}");

        let status = Status::from_header_map(response.headers()).unwrap();
        let details = status.get_error_details();
        let reason = &details.error_info().unwrap().reason;
        assert_eq!((status.code(), &**reason), (Code::Internal, "INTERNAL"));
        assert_eq!(details.request_info().unwrap().request_id, id);
        assert!(!status.message().contains("on purpose"));
        assert_eq!(response.headers()["grpc-retry-pushback-ms"], "-1");

        // What the metrics go by is what the line has.
        drop(response);
        let line = log.call();
        assert_eq!(
            (&line["level"], &line["fields"]["reason"]),
            (&"ERROR".into(), &"INTERNAL".into())
        );
        assert_eq!(line["fields"]["request_id"], id);
    }
}
