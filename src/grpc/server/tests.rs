use std::{
    convert::Infallible,
    io,
    sync::{Mutex, PoisonError},
};

use http::{HeaderMap, Request, Response};
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
    handled_by(|_| panic!("on purpose"), request).await
}

/// All layers, before a handler that panics in its own way.
async fn handled_by(
    panics: impl Fn(&HeaderMap) -> Infallible + Clone,
    request: Request<Body>,
) -> Response<impl http_body::Body> {
    let handler = tower::service_fn(move |request: Request<_>| {
        let panics = panics.clone();
        async move { match panics(request.headers()) {} }
    });
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

fn call(authorization: &str) -> http::request::Builder {
    Request::post(CREATE)
        .header("content-type", "application/grpc")
        .header("authorization", authorization)
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
        let mut request = call("Bearer t");
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

/// Set where [`a_panic_is_logged_without_what_it_says_of_data`] runs in a process of its own.
const ALONE: &str = "CHARTBREW_GATEWAY_TEST_ALONE";
const MARK: &str = "marker-of-a-token";

/// In a process of its own: there is one log and one hook for panics in each.
#[tokio::test]
async fn a_panic_is_logged_without_what_it_says_of_data() {
    if std::env::var_os(ALONE).is_some() {
        return panic_with_a_token().await;
    }
    let name = "grpc::server::tests::a_panic_is_logged_without_what_it_says_of_data";
    for backtrace in ["0", "1", "full"] {
        let mut test = std::process::Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", name, "--nocapture"]);
        let test = test.env(ALONE, "1").env("RUST_BACKTRACE", backtrace);
        let output = test.output().unwrap();
        let written = [output.stdout, output.stderr].concat();
        let written = String::from_utf8(written).unwrap();
        assert!(output.status.success(), "{written}");
        assert!(!written.contains(MARK), "{written}");
        let lines = written.lines().filter(|line| line.starts_with('{'));
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let panics: Vec<_> = lines
            .filter(|line| line["message"] == "the gateway panicked")
            .collect();
        assert_eq!(panics.len(), 2, "{written}");
        for panic in &panics {
            assert_eq!(panic["level"], "ERROR");
            let location = panic["location"].as_str().unwrap();
            assert!(location.contains("tests.rs:"), "{location}");
            assert_eq!(panic["backtrace"].is_string(), backtrace != "0", "{panic}");
        }
        assert_eq!(panics[0]["cause"], "(left out: it is made of values)");
        assert_eq!(panics[1]["cause"], "a text of the code");
    }
}

async fn panic_with_a_token() {
    let logs = crate::telemetry::Logs {
        filter: "trace".to_owned(),
        format: crate::telemetry::Format::Json,
    };
    let _logging = logs.init().unwrap();
    let cut_within_a_character = |headers: &HeaderMap| -> Infallible {
        let text = headers["authorization"].to_str().unwrap().to_owned() + "ä";
        panic!("never: {}", &text[..text.len() - 1])
    };
    let literal = |_: &HeaderMap| -> Infallible { panic!("a text of the code") };
    let request = || call(&format!("Bearer {MARK}")).body(Body::empty()).unwrap();
    drop(handled_by(cut_within_a_character, request()).await);
    drop(handled_by(literal, request()).await);
}
