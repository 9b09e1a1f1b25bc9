//! The same promises for the methods beside Create: whatever upstream answers, no status, no view
//! BASIC, no result of a test and no line of the log has a secret.

use chartbrew_gateway::proto::{
    ConnectionView, DeleteRequest, GetRequest, ListRequest, TestNewRequest, TestRequest,
    UpdateRequest, UploadFilesRequest, connection_service_client::ConnectionServiceClient,
};
use prost_types::FieldMask;
use tonic::{Response, Status, transport::Channel};

use super::{
    binary::{Serving, assert_clean},
    hasty,
    hostile::{Hostile, STATUSES, garbage, refusals, response},
    marks, nothing_in_response,
    seen::{logs, nothing_in_logs, seen},
    shown::{row, rows},
    with_token,
};
use crate::support::{
    collector::Collector,
    process::Process,
    rpc::{ALL, Rpc},
};

/// Words that only an SQL statement has.
const SQL: [&str; 3] = ["INSERT INTO", "VALUES (", "UPDATE `"];
/// The fields of a request, in a mask.
const PATHS: [&str; 19] = [
    "name",
    "type",
    "host",
    "port",
    "db_name",
    "username",
    "password",
    "options",
    "connection_string",
    "authentication",
    "firebase_service_account",
    "schema",
    "ssh.host",
    "ssh.username",
    "ssh.password",
    "ssh.passphrase",
    "extra_fields",
    "ssl_mode",
    "ssl",
];

type Called = Result<Response<String>, Status>;

/// Calls a method with a marker in every field that has one. What its response shows, but for that
/// of an update, which is in full.
pub(super) async fn call(client: &ConnectionServiceClient<Channel>, rpc: Rpc) -> Called {
    let (mut client, team_id, connection_id) = (client.clone(), 1, 1);
    let marked = marks::request();
    let (connection, files) = (marked.connection, marked.files);
    let view = ConnectionView::Basic.into();
    fn shown<T: prost::Message + std::fmt::Debug>(response: Response<T>) -> Response<String> {
        response.map(|message| {
            let bytes = message.encode_to_vec();
            format!("{message:?}{}", String::from_utf8_lossy(&bytes))
        })
    }
    match rpc {
        Rpc::Get => {
            let request = GetRequest {
                team_id,
                connection_id,
                view,
            };
            client.get(with_token(request)).await.map(shown)
        }
        Rpc::List => {
            let request = ListRequest {
                team_id,
                view,
                ..ListRequest::default()
            };
            client.list(with_token(request)).await.map(shown)
        }
        Rpc::Update => {
            let paths = PATHS.map(str::to_owned).into();
            let request = UpdateRequest {
                team_id,
                connection_id,
                connection,
                update_mask: Some(FieldMask { paths }),
            };
            let response = client.update(with_token(request)).await?;
            Ok(response.map(|_| String::new()))
        }
        Rpc::Delete => {
            let request = DeleteRequest {
                team_id,
                connection_id,
                remove_datasets: true,
            };
            client.delete(with_token(request)).await.map(shown)
        }
        Rpc::Test => {
            let request = TestRequest {
                team_id,
                connection_id,
            };
            client.test(with_token(request)).await.map(shown)
        }
        Rpc::TestNew => {
            let request = TestNewRequest {
                team_id,
                connection,
                files,
            };
            client.test_new(with_token(request)).await.map(shown)
        }
        Rpc::UploadFiles => {
            let request = UploadFilesRequest {
                team_id,
                connection_id,
                files,
            };
            client.upload_files(with_token(request)).await.map(shown)
        }
    }
}

/// The places that are no secrets: a source's words may name them.
pub(super) const NO_SECRETS: [&str; 9] = [
    "host",
    "username",
    "dbName",
    "sshHost",
    "sshUsername",
    "schema",
    "authUser",
    "sslCa",
    "sslCert",
];

/// Asserts that a caller sees no marker: none at all in a failure, none of a secret otherwise.
pub(super) fn nothing_seen(rpc: Rpc, case: &str, called: &Called) {
    nothing_in_response(case, called);
    let text = match called {
        Ok(response) => response.get_ref().clone(),
        Err(_) => String::from_utf8_lossy(&seen(called)).into_owned(),
    };
    let mut may_show = NO_SECRETS.to_vec();
    if rpc == Rpc::Test {
        // No row has the content of a certificate's key.
        may_show.push("sslKey");
    }
    let found = marks::found_but(&may_show, text.as_bytes());
    assert_eq!(found, None, "{case}: {text}");
    // What a source returned may be anything.
    let is_a_result = called.is_ok() && [Rpc::Test, Rpc::TestNew].contains(&rpc);
    let has_sql = SQL.iter().any(|sql| text.contains(sql));
    assert!(is_a_result || !has_sql, "{case}: {text}");
}

/// Whole responses that no method expects, or that hold what nobody must see.
fn answers() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for status in STATUSES {
        let orm = &refusals()[0].1;
        all.push((format!("{status}, the ORM's"), response(status, orm)));
        let text = marks::all();
        all.push((format!("{status}, HTML"), response(status, text.as_bytes())));
    }
    for (name, body) in refusals() {
        all.push((format!("400, {name}"), response(400, &body)));
    }
    // A row with markers where every view shows them.
    let garbage = garbage()
        .into_iter()
        .filter(|(name, _)| *name != "200, a list");
    all.extend(garbage.map(|(name, bytes)| (name.to_owned(), bytes)));
    for (name, row) in rows() {
        all.push((name.clone(), response(200, row.to_string().as_bytes())));
        let list = format!("[{row},null,{row}]");
        all.push((format!("a list of {name}"), response(200, list.as_bytes())));
    }
    all
}

/// Plays every answer, or each of so many, to every method. Returns how many calls there were, and how many failed.
async fn play_all(
    hostile: &Hostile,
    client: &ConnectionServiceClient<Channel>,
    each_of: usize,
    mut after_each: impl FnMut(&str),
) -> (usize, usize) {
    let (mut calls, mut failures) = (0, 0);
    let stored = response(200, row().to_string().as_bytes());
    for (name, bytes) in answers().into_iter().step_by(each_of) {
        for rpc in ALL {
            let case = format!("{rpc:?}, {name}");
            // Of a test's words those are secrets that are in the row, or in the request.
            let row = (rpc == Rpc::Test).then(|| stored.clone());
            hostile.answer(bytes.clone(), row);
            let called = call(client, rpc).await;
            nothing_seen(rpc, &case, &called);
            calls += 1;
            failures += usize::from(called.is_err());
        }
        // The line of a call may come after its response.
        after_each(&name);
    }
    (calls, failures)
}

#[tokio::test]
async fn no_answer_to_any_method_reveals_a_secret() {
    let (text, json, _guard) = logs();
    let hostile = Hostile::start().await;
    let gateway = hasty(&hostile.url).start().await;
    let played = play_all(&hostile, &gateway.client, 1, |case| {
        nothing_in_logs(case, &text, &json);
    });
    let (calls, failures) = played.await;
    assert!(calls > 1_000 && failures > 800, "{failures} of {calls}");
}

#[tokio::test]
async fn the_program_writes_nothing_of_them_in_either_format() {
    for format in ["text", "json"] {
        let hostile = Hostile::start().await;
        let serving = Serving::start(&hostile.url, format, &[]);
        let client = serving.client().await;
        let (calls, _) = play_all(&hostile, &client, 4, |_| {}).await;
        drop(client);
        let written = serving.stop();
        let of_calls = |line: &&str| line.contains("chartbrew.connection.v1.ConnectionService/");
        let lines = written.lines().filter(of_calls);
        assert_eq!(lines.count(), calls, "a line a call, in {format}");
        assert_clean(format, &written);
    }
}

#[tokio::test]
async fn neither_spans_nor_metrics_have_a_secret() {
    let (collector, hostile) = (Collector::grpc().await, Hostile::start().await);
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("GATEWAY_CIRCUIT_FAILURES", "4000000000"),
        ("GATEWAY_RETRIES_PER_SECOND", "1000000"),
    ];
    let mut gateway = Process::start(&hostile.url, &settings).await;
    for (name, bytes) in answers().into_iter().step_by(5) {
        for rpc in ALL {
            hostile.answer(bytes.clone(), None);
            let called = call(&gateway.client, rpc).await;
            nothing_in_response(&name, &called);
        }
    }
    let metrics = gateway.get("/metrics").await.body;
    assert!(metrics.contains("ConnectionService/Test"), "{metrics}");
    assert_eq!(marks::found_in(metrics.as_bytes()), None, "{metrics}");
    gateway.terminate().await;
    assert!(gateway.ended().await);
    let spans = collector.spans();
    assert!(spans.iter().any(|span| span.name.ends_with("/UploadFiles")));
    for place in marks::PLACES {
        assert!(!collector.was_told(&marks::mark(place)), "{place}");
    }
    assert_eq!(marks::found_in(gateway.log().as_bytes()), None);
}
