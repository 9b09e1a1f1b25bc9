//! An upstream that responds with everybody's secrets, in every place a response has.

use std::sync::{Arc, Mutex};

use chartbrew_gateway::proto::CreateRequest;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::marks;
use crate::support::raw::{Peer, Raw};

/// What is asked, and what each route answers.
#[derive(Clone)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) request: CreateRequest,
    /// How often the call is made: the second one finds what the first one left.
    pub(super) calls: usize,
    create: Reply,
    list: Reply,
    get: Reply,
    files: Reply,
}

/// Bytes, after which the connection is closed. `None`: it is reset.
type Reply = Option<Vec<u8>>;

/// The upstream and what it plays at the moment.
pub(super) struct Hostile {
    pub(super) url: String,
    playing: Arc<Mutex<Option<Playing>>>,
}

/// What it answers: to the requests of a create, or the same to every request but that for a row.
#[derive(Clone)]
enum Playing {
    Create(Box<Scenario>),
    Other { answer: Reply, row: Reply },
}

impl Hostile {
    pub(super) async fn start() -> Self {
        let playing = Arc::new(Mutex::new(None));
        let shown = playing.clone();
        let raw = Raw::start(move |peer, _| serve(peer, shown.clone())).await;
        Self {
            url: raw.url,
            playing,
        }
    }

    pub(super) fn play(&self, scenario: &Scenario) {
        *self.playing.lock().unwrap() = Some(Playing::Create(Box::new(scenario.clone())));
    }

    /// Answers every request with these bytes. With a row: a request for a row alone gets that.
    pub(super) fn answer(&self, bytes: Vec<u8>, row: Option<Vec<u8>>) {
        let answer = Some(bytes);
        let row = row.or_else(|| answer.clone());
        *self.playing.lock().unwrap() = Some(Playing::Other { answer, row });
    }
}

async fn serve(mut peer: Peer, playing: Arc<Mutex<Option<Playing>>>) {
    let Some(request) = peer.request().await else {
        return;
    };
    let playing = playing.lock().unwrap().clone().unwrap();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let is_row = request.starts_with("GET") && path.ends_with(|last: char| last.is_ascii_digit());
    let scenario = match playing {
        Playing::Create(scenario) => scenario,
        Playing::Other { answer, row } => {
            let reply = if is_row { row } else { answer };
            let bytes = reply.unwrap_or_default();
            return peer.0.write_all(&bytes).await.unwrap_or_default();
        }
    };
    let reply = match (request.starts_with("POST"), path) {
        (true, path) if path.ends_with("/files") => scenario.files,
        (true, _) => scenario.create,
        (false, path) if path.ends_with("/connections") => scenario.list,
        (false, _) => scenario.get,
    };
    match reply {
        // The gateway may have hung up, which is its right.
        Some(bytes) => peer.0.write_all(&bytes).await.unwrap_or_default(),
        None => peer.reset(),
    }
}

// === answers ===

/// A response whose reason phrase and headers are full of markers.
pub(super) fn response(status: u16, body: &[u8]) -> Vec<u8> {
    let all = marks::all();
    let head = format!(
        "HTTP/1.1 {status} {all}\r\nlocation: https://{all}/?{all}\r\nretry-after: {all}\r\n\
         www-authenticate: Bearer realm=\"{all}\"\r\ndate: {all}\r\nserver: {all}\r\n\
         content-type: text/{all}\r\nset-cookie: {all}={all}\r\nx-request-id: {all}\r\n\
         grpc-status: 0\r\ngrpc-message: {all}\r\ngrpc-status-details-bin: {all}\r\n{all}: {all}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn reply(status: u16, body: impl AsRef<[u8]>) -> Reply {
    Some(response(status, body.as_ref()))
}

/// A row that shows every marker, under names that the contract has and others.
fn row(id: impl Into<Value>) -> Value {
    let all = marks::all();
    json!({
        "id": id.into(), "team_id": 1, "name": "a name", "type": "mongodb", "host": all, "password": all,
        "options": {&all: all}, "authentication": {&all: all}, "createdAt": "2099-01-01T00:00:00Z",
        &all: {&all: [all]}, "port": {"a": all}, "subType": [all],
    })
}

/// The ORM's error object, secrets included, for a column and an error code.
fn orm(name: &str, code: &str, sql_message: &str, path: &str, validator: &str) -> String {
    let all = marks::all();
    let sql = format!("INSERT INTO `Connection` (`password`) VALUES ('{all}');");
    let parent = json!({
        "code": code, "errno": 1406, "sqlState": all, "sqlMessage": sql_message, "sql": sql,
        "parameters": [1, all, {&all: all}],
    });
    let error = json!({
        "message": format!("{path} cannot be {all}"), "type": all, "path": path, "value": all,
        "origin": all, "instance": row(1), "validatorKey": validator,
        "validatorName": all, "validatorArgs": [all, {&all: all}],
    });
    json!({
        "name": name, "errors": [error], "parent": parent, "original": parent, "sql": sql,
        "parameters": [all], "fields": {&all: all, "name": all}, "message": all, "error": all,
        "details": [{"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": all}],
        "stack": all, &all: all,
    })
    .to_string()
}

/// Bodies of refusals, by what is odd about them.
pub(super) fn refusals() -> Vec<(&'static str, Vec<u8>)> {
    let all = marks::all();
    let column = |name: &str| format!("Data too long for column '{name}' at row 1 {all}");
    let database = |sql: &str| {
        orm(
            "SequelizeDatabaseError",
            "ER_DATA_TOO_LONG",
            sql,
            &all,
            &all,
        )
    };
    let whole = database(&column("password"));
    let cut = |at: usize| whole.as_bytes()[..at].to_vec();
    let twice =
        format!(r#"{{"{all}":"{all}","code":"{all}","code":["{all}"],"name":{{"{all}":1}}}}"#);
    vec![
        ("a column", whole.clone().into()),
        ("a column that is a secret", database(&column(&all)).into()),
        (
            "a table that is a secret",
            database(&format!("for column `{all}`.`name` at")).into(),
        ),
        (
            "a reference",
            orm(
                "x",
                "ER_NO_REFERENCED_ROW_2",
                &format!("FOREIGN KEY (`{all}`) R"),
                &all,
                &all,
            )
            .into(),
        ),
        (
            "a code that is a secret",
            orm(&all, &all, &column("name"), &all, &all).into(),
        ),
        (
            "a field",
            orm(
                "SequelizeValidationError",
                &all,
                &all,
                "password",
                "not_a_string",
            )
            .into(),
        ),
        (
            "a field, for an unknown reason",
            orm(&all, &all, &all, "password", &all).into(),
        ),
        (
            "no database",
            orm("SequelizeConnectionRefusedError", &all, &all, &all, &all).into(),
        ),
        (
            "a source",
            json!({"code": "SOURCE_DISABLED", "sourceId": all, "message": all})
                .to_string()
                .into(),
        ),
        (
            "a google.rpc.Status",
            json!({"code": 3, "message": all, "details": [{"@type": all}]})
                .to_string()
                .into(),
        ),
        (
            "a message",
            json!({"message": all, "error": all}).to_string().into(),
        ),
        ("keys, twice", twice.into()),
        ("a text", all.clone().into()),
        (
            "HTML",
            format!("<html><pre>SequelizeDatabaseError: {all}</pre></html>").into(),
        ),
        (
            "no UTF-8",
            [all.as_bytes(), b"\xff\xfe", whole.as_bytes()].concat(),
        ),
        ("cut at its start", cut(20)),
        ("cut in the middle", cut(whole.len() / 2)),
        ("cut at its end", cut(whole.len() - 1)),
        ("nothing", Vec::new()),
    ]
}

/// Whole responses that no create expects.
pub(super) fn garbage() -> Vec<(&'static str, Vec<u8>)> {
    let all = marks::all();
    let cut =
        format!("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{{\"id\":1,\"password\":\"{all}");
    let chunked =
        |body: &str| format!("HTTP/1.1 200 {all}\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    vec![
        (
            "200, a list",
            response(200, json!([row(1)]).to_string().as_bytes()),
        ),
        (
            "200, an id that is a secret",
            response(200, row(all.clone()).to_string().as_bytes()),
        ),
        (
            "200, no id",
            response(200, row(Value::Null).to_string().as_bytes()),
        ),
        ("200, an error", response(200, &refusals()[0].1)),
        (
            "200, HTML",
            response(200, format!("<html>{all}").as_bytes()),
        ),
        (
            "200, a text",
            response(200, json!(all).to_string().as_bytes()),
        ),
        (
            "200, no UTF-8",
            response(200, format!("{{\"id\":1,\"{all}\":\"").as_bytes()),
        ),
        ("200, empty", response(200, b"")),
        ("200, cut", cut.into()),
        ("no HTTP", format!("{all}\r\n{all}\r\n\r\n").into()),
        ("no status", format!("HTTP/1.1 {all} 200\r\n\r\n").into()),
        ("no version", format!("HTTP/{all} 200 OK\r\n\r\n").into()),
        (
            "a header without a colon",
            format!("HTTP/1.1 200 OK\r\n{all}\r\n\r\n").into(),
        ),
        (
            "a header that is no token",
            format!("HTTP/1.1 200 OK\r\n{all} ä: {all}\r\n\r\n").into(),
        ),
        (
            "a length that is none",
            format!("HTTP/1.1 200 OK\r\ncontent-length: {all}\r\n\r\n").into(),
        ),
        (
            "a coding",
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {all}\r\n\r\n{all}").into(),
        ),
        (
            "a head without an end",
            format!("HTTP/1.1 200 OK\r\nx: {all}").into(),
        ),
        (
            "a chunk without a size",
            chunked(&format!("{all}\r\n")).into(),
        ),
        (
            "a chunk extension",
            chunked(&format!("2;{all}\r\n{{}}\r\n0\r\n{all}: {all}\r\n\r\n")).into(),
        ),
        (
            "early hints",
            format!("HTTP/1.1 103 {all}\r\nlink: {all}\r\n\r\nHTTP/1.1 418 {all}\r\n\r\n").into(),
        ),
        (
            "an upgrade",
            format!("HTTP/1.1 101 {all}\r\nupgrade: {all}\r\nconnection: upgrade\r\n\r\n{all}")
                .into(),
        ),
    ]
}

// === scenarios ===

/// Each status that the table of errors knows, those around them, and some that do not exist.
pub(super) const STATUSES: [u16; 49] = [
    200, 201, 202, 204, 206, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405,
    406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 418, 421, 422, 425, 426, 428, 429, 431, 451,
    499, 500, 501, 502, 503, 504, 505, 520, 524, 599, 999,
];

fn scenario(name: String, request: CreateRequest) -> Scenario {
    let row = row(7).to_string();
    Scenario {
        name,
        request,
        calls: 1,
        create: reply(201, &row),
        list: reply(200, "[]"),
        get: reply(200, &row),
        files: reply(200, &row),
    }
}

/// All there is to try.
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for with_id in [false, true] {
        creates(with_id, &mut all);
        recoveries(with_id, &mut all);
        uploads(with_id, &mut all);
    }
    replays(&mut all);
    all
}

fn creates(with_id: bool, all: &mut Vec<Scenario>) {
    let mut add = |name: String, create: Vec<u8>| {
        all.push(Scenario {
            create: Some(create),
            ..scenario(
                format!("create, id {with_id}: {name}"),
                marks::without_files(with_id),
            )
        });
    };
    for status in STATUSES {
        add(
            format!("{status}, the ORM's"),
            response(status, &refusals()[0].1),
        );
        add(
            format!("{status}, HTML"),
            response(status, marks::all().as_bytes()),
        );
    }
    for (name, body) in refusals() {
        add(format!("400, {name}"), response(400, &body));
    }
    for (name, bytes) in garbage() {
        add(name.to_owned(), bytes);
    }
}

/// The response to the create is lost; what the list and the row show is hostile.
fn recoveries(with_id: bool, all: &mut Vec<Scenario>) {
    let mut add = |name: String, list: Vec<u8>, get: Reply| {
        let base = scenario(
            format!("recovery, id {with_id}: {name}"),
            marks::without_files(with_id),
        );
        all.push(Scenario {
            create: None,
            list: Some(list),
            get,
            ..base
        });
    };
    let rows = json!([row(1), row(marks::all()), marks::all(), {"id": 2}]);
    for status in STATUSES {
        add(
            format!("{status}"),
            response(status, &refusals()[0].1),
            None,
        );
        add(
            format!("the row {status}"),
            response(200, rows.to_string().as_bytes()),
            reply(status, marks::all()),
        );
    }
    for (name, bytes) in garbage() {
        add(name.to_owned(), bytes, None);
    }
}

fn uploads(with_id: bool, all: &mut Vec<Scenario>) {
    let request = || CreateRequest {
        files: marks::request().files,
        ..marks::without_files(with_id)
    };
    let bodies = refusals()
        .into_iter()
        .map(|(name, body)| (name, response(400, &body)));
    for (name, files) in bodies.chain(garbage()) {
        all.push(Scenario {
            files: Some(files),
            ..scenario(format!("upload, id {with_id}: {name}"), request())
        });
    }
    for status in STATUSES {
        all.push(Scenario {
            files: reply(status, &refusals()[0].1),
            ..scenario(format!("upload, id {with_id}: {status}"), request())
        });
    }
}

/// The second call reads what the first one created.
fn replays(all: &mut Vec<Scenario>) {
    let gets = STATUSES.map(|status| response(status, &refusals()[0].1));
    let garbage = garbage().into_iter().map(|(_, bytes)| bytes);
    for (number, get) in gets.into_iter().chain(garbage).enumerate() {
        all.push(Scenario {
            calls: 2,
            get: Some(get),
            ..scenario(format!("replay {number}"), marks::without_files(true))
        });
    }
}
