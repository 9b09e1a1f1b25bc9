//! The upstream: an embedded Chartbrew that fails one create in five, in every way.

use std::{collections::BTreeMap, time::Duration};

use chartbrew_sandbox::{self as sandbox, Fault, Handle, Sandbox, User};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Creates are spread over teams, as real ones are: a list is of one team.
const TEAMS: usize = 100;
/// A store that is late is late by this much at most.
const LATEST: u64 = 900;

const HTML: &str = "text/html";
const JSON: &str = "application/json";

/// What Chartbrew answers when its PostgreSQL goes away in the middle of an INSERT, which may have
/// been executed: an error of the database's without the database's code.
const LOST_POSTGRES: &str =
    r#"{"name":"SequelizeDatabaseError","parent":{"length":99},"original":{},"sql":"INSERT"}"#;
/// The same without a `parent`.
const LOST_POSTGRES_BARE: &str = r#"{"name":"SequelizeDatabaseError"}"#;

/// The team of a create.
pub(crate) fn team(number: usize) -> i32 {
    (number % TEAMS + 1).try_into().unwrap()
}

/// Starts it, with faults enough for so many creates.
pub(crate) async fn start(creates: usize) -> Handle {
    let settings = sandbox::Settings {
        users: vec![User::owner(sandbox::TOKEN, (0..TEAMS).map(team))],
        ..sandbox::Settings::default()
    };
    let sandbox = Sandbox::bind(settings).await.unwrap();
    let handle = sandbox.handle();
    tokio::spawn(sandbox.run(std::future::pending()));
    // More than enough for every try.
    handle.script((0..creates * 3).map(|_| any_fault()));
    handle
}

/// The names of all rows, with their ids.
pub(crate) fn rows(upstream: &Handle) -> BTreeMap<String, Vec<i32>> {
    let mut rows: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for row in (0..TEAMS).flat_map(|number| upstream.rows(team(number))) {
        let name = row["name"].as_str().unwrap().to_owned();
        let id = row["id"].as_i64().unwrap().try_into().unwrap();
        rows.entry(name).or_default().push(id);
    }
    rows
}

/// Waits until nothing can be stored any more, also not late. Nobody must connect any longer.
pub(crate) async fn is_idle(upstream: &Handle) {
    // Connections are taken in their order: this is the last.
    let mut last = TcpStream::connect(upstream.addr()).await.unwrap();
    last.shutdown().await.unwrap();
    assert_eq!(last.read(&mut [0]).await.unwrap(), 0);
    upstream.wait_for(|state| state.busy == 0).await;
}

/// One of a create, or now and then one of what a recovery reads.
fn any_fault() -> Fault {
    match fastrand::u8(0..40) {
        0 => Fault::list().status(503),
        1 => Fault::list().drop_after_storing(),
        2 => Fault::get().drop_after_storing(),
        _ => fault_of_a_create(),
    }
}

fn fault_of_a_create() -> Fault {
    if fastrand::u8(0..5) > 0 {
        return Fault::create().delay_before_storing(millis(0..4));
    }
    match fastrand::u8(0..4) {
        0 => refused(),
        1 => failed(),
        2 => of_a_proxy(),
        _ => broken_off(),
    }
}

/// Nothing is stored, and the answer says so.
fn refused() -> Fault {
    let create = Fault::create;
    match fastrand::u8(0..5) {
        0 => create().not_forwarded(),
        1 => create().status(429).header("retry-after", "0"),
        2 => create().body(400, JSON, "{}"),
        3 => create().body(403, JSON, r#"{"message":"Access denied"}"#),
        _ => create().status(500),
    }
}

/// Chartbrew itself fails, or its database does: it may have stored.
fn failed() -> Fault {
    let create = Fault::create;
    let lost = match fastrand::bool() {
        true => LOST_POSTGRES,
        false => LOST_POSTGRES_BARE,
    };
    match fastrand::u8(0..6) {
        0 => create().body(400, JSON, lost),
        1 => create().store_then_body(400, JSON, lost),
        2 => late().respond_then_store(400, JSON, lost),
        3 => create().store_then_body(500, HTML, "x"),
        4 => create().garbled_answer(),
        _ => create().slow_drip(Duration::from_millis(1)),
    }
}

/// A proxy gives up on a request that it has forwarded: before, while or after Chartbrew stores.
fn of_a_proxy() -> Fault {
    let status = [408, 502, 503, 503, 504, 522][fastrand::usize(0..6)];
    // No text of a proxy's by which a 503 proves that nothing was forwarded.
    let body = ["", "<html>Service Unavailable</html>"][fastrand::usize(0..2)];
    match fastrand::u8(0..5) {
        0 => Fault::create().body(status, HTML, body),
        1 => Fault::create().store_then_body(status, HTML, body),
        2 => slow().store_then_body(status, HTML, body),
        3 => late().respond_then_store(status, HTML, body),
        _ => late()
            .respond_then_store(500, HTML, body)
            .header("server", "nginx"),
    }
}

/// No answer, or not in time.
fn broken_off() -> Fault {
    let create = Fault::create;
    match fastrand::u8(0..8) {
        0 => create().cut_answer_at(fastrand::usize(0..200)),
        1 => create().drop_before_reading(),
        2 => create().drop_before_storing(),
        3 => create().drop_after_storing(),
        4 => slow().drop_after_storing(),
        5 => late().drop_after_storing(),
        6 => create().delay_before_storing(millis(400..LATEST)),
        _ => create().silent(),
    }
}

/// Answers first and stores then, or the other way round: some time lies between.
fn late() -> Fault {
    Fault::create().delay_after_storing(millis(50..LATEST))
}

fn slow() -> Fault {
    Fault::create().delay_before_storing(millis(50..LATEST))
}

fn millis(range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(fastrand::u64(range))
}
