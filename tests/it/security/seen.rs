//! What can be seen of a call, by its caller and in the log, and that no marker is in it.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex},
};

use chartbrew_gateway::telemetry::{Format, Logs};
use tonic::{Response, Status};
use tonic_types::StatusExt;
use tracing::{Dispatch, subscriber::DefaultGuard};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::SubscriberExt, registry::Registry};

use super::marks;

/// All that a caller gets but the message of a success.
pub(super) fn seen<T>(result: &Result<Response<T>, Status>) -> Vec<u8> {
    let status = match result {
        Ok(response) => return format!("{:?}", response.metadata()).into_bytes(),
        Err(status) => status,
    };
    let mut wire = http::HeaderMap::new();
    status.add_header(&mut wire).unwrap();
    let wire: Vec<u8> = wire
        .iter()
        .flat_map(|(name, value)| [name.as_str().as_bytes(), b": ", value.as_bytes()].concat())
        .collect();
    let details = status.get_error_details();
    let shown = format!("{status}\n{status:?}\n{details:?}\n{}", status.message());
    [&wire, shown.as_bytes(), status.details()].concat()
}

/// Collects what is written to it.
#[derive(Clone, Default)]
pub(super) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// While there is but one subscriber, tracing asks the thread that comes first to an event whether
/// anybody wants it, and keeps the answer for all threads.
static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Registry::default()));

/// All lines of this thread, at every level and in both formats, until the guard is dropped.
pub(super) fn logs() -> (Sink, Sink, DefaultGuard) {
    LazyLock::force(&ANOTHER);
    let (text, json) = (Sink::default(), Sink::default());
    let layer = |format, sink: &Sink| -> Box<dyn Layer<Registry> + Send + Sync> {
        let filter = "trace".to_owned();
        Box::new(Logs { filter, format }.layer(sink.clone()).unwrap())
    };
    let both = vec![layer(Format::Text, &text), layer(Format::Json, &json)];
    let guard = tracing::subscriber::set_default(Registry::default().with(both));
    (text, json, guard)
}

/// Asserts that there are lines, no marker in them, and below INFO none but the gateway's own: the
/// libraries see headers and bodies, and may print them in their next version.
pub(super) fn nothing_in_logs(case: &str, text: &Sink, json: &Sink) {
    for (format, sink) in [("text", text), ("json", json)] {
        let lines = sink.take();
        let shown = String::from_utf8_lossy(&lines);
        assert!(shown.contains("call"), "{case}: no {format} lines: {shown}");
        assert_eq!(marks::found_in(&lines), None, "{case}, {format}: {shown}");
        if format == "json" {
            let foreign = shown.lines().find(|line| is_foreign(line));
            assert_eq!(foreign, None, "{case}");
        }
    }
}

/// Whether a line is below INFO and not of this project.
pub(super) fn is_foreign(line: &str) -> bool {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let low = ["TRACE", "DEBUG"]
        .iter()
        .any(|level| line["level"] == *level);
    // `chartbrew_gateway` and the sandbox, whose lines hold neither headers nor bodies.
    low && !line["target"].as_str().unwrap().starts_with("chartbrew_")
}

pub(super) fn nothing_in_response<T>(case: &str, result: &Result<Response<T>, Status>) {
    let seen = seen(result);
    let shown = String::from_utf8_lossy(&seen);
    assert_eq!(marks::found_in(&seen), None, "{case}: {shown}");
}
