//! At most once, and nothing lost: every fault against every way to ask.

mod again;
mod beside;
mod late;
mod looks;

use std::{fmt::Write, time::Duration};

use chartbrew_gateway::proto::{CreateRequest, CreateResponse};
use chartbrew_sandbox::{Fault, Gate, Handle, Seen, What};
use futures_util::{StreamExt, future::join_all, stream};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use crate::support::{
    gateway::{Gateway, authorized, failure, gateway, minimal, sandbox, trailer, with_id},
    raw::{Cut, closes_when_idle, proxy},
    time::soon,
};

/// How long a lost answer is looked for in these tests.
const WINDOW: Duration = Duration::from_millis(1_500);

/// Sequential creates before an upstream that closes idle connections at random moments.
const RACES: usize = 10_000;

/// What Chartbrew answers when its database goes away in the middle of the INSERT, stored or not.
const LOST: &str =
    r#"{"name":"SequelizeDatabaseError","parent":{"code":"ECONNRESET","fatal":true}}"#;

/// The same with PostgreSQL, whose error has no code.
const LOST_POSTGRES: &str =
    r#"{"name":"SequelizeDatabaseError","parent":{"length":99},"original":{},"sql":"INSERT"}"#;

/// What Envoy says when it has forwarded a request and lost the response.
const RESET: &str = "upstream connect error or disconnect/reset before headers. reset reason: \
                     connection termination";

/// How a creation is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ask {
    Plain,
    WithId,
    /// Two callers send the same request at the same time.
    WithIdTwice,
    /// The first caller has no patience and asks again.
    WithIdAgain,
}

const ASKS: [Ask; 4] = [Ask::Plain, Ask::WithId, Ask::WithIdTwice, Ask::WithIdAgain];

/// What stands between the gateway and Chartbrew.
#[derive(Clone, Debug)]
enum Trouble {
    Faults(Vec<Fault>),
    Cut(Cut),
}

#[rustfmt::skip]
fn troubles() -> Vec<(&'static str, Trouble)> {
    let ms = Duration::from_millis;
    let create = Fault::create;
    let fault = |fault| Trouble::Faults(vec![fault]);
    let both = |create, list| Trouble::Faults(vec![create, list]);
    // What a proxy shows while the server behind it is away.
    let page = || Fault::list().body(404, "text/html", "<html>").times(9);
    vec![
        ("none", fault(create().delay_after_storing(ms(0)))),
        ("503 once, not forwarded", fault(create().not_forwarded())),
        ("503 for ever, not forwarded", fault(create().not_forwarded().forever())),
        ("503, nothing stored", fault(create().status(503))),
        ("503 after storing", fault(create().store_then_body(503, "text/plain", RESET))),
        ("503 after storing, each time", fault(create().store_then_body(503, "text/plain", RESET).forever())),
        ("503, stored later", fault(create().delay_after_storing(ms(400)).respond_then_store(503, "text/plain", RESET))),
        ("408 after storing", fault(create().store_then_body(408, "text/html", "x"))),
        ("522, stored later", fault(create().delay_after_storing(ms(700)).respond_then_store(522, "text/html", "x"))),
        ("a proxy's 500, stored later", fault(create().delay_after_storing(ms(700)).respond_then_store(500, "text/html", "x").header("server", "nginx"))),
        ("429 once", fault(create().status(429).header("retry-after", "0"))),
        ("400", fault(create().body(400, "application/json", "{}"))),
        ("400, the database was lost", fault(create().body(400, "application/json", LOST))),
        ("400 after storing, the same", fault(create().store_then_body(400, "application/json", LOST))),
        ("400, a PostgreSQL was lost", fault(create().body(400, "application/json", LOST_POSTGRES))),
        ("400 after storing, the same", fault(create().store_then_body(400, "application/json", LOST_POSTGRES))),
        ("500, nothing stored", fault(create().status(500))),
        ("500 after storing", fault(create().store_then_body(500, "text/html", "x"))),
        ("502 after storing", fault(create().store_then_body(502, "text/html", "x"))),
        ("504, stored later", fault(create().delay_before_storing(ms(400)).store_then_body(504, "text/html", "x"))),
        ("200 of something else", fault(create().body(200, "text/html", "<html>"))),
        ("200 after storing, garbled", fault(create().garbled_answer())),
        ("200 after storing, cut at 0", fault(create().cut_answer_at(0))),
        ("200 after storing, cut at 40", fault(create().cut_answer_at(40))),
        ("closed before reading", fault(create().drop_before_reading())),
        ("closed before storing", fault(create().drop_before_storing())),
        ("closed after storing", fault(create().drop_after_storing())),
        ("closed, stored before", fault(create().delay_after_storing(ms(300)).drop_after_storing())),
        ("slow to store", fault(create().delay_before_storing(ms(700)))),
        ("slow to store, then closed", fault(create().delay_before_storing(ms(700)).drop_after_storing())),
        ("slow to answer", fault(create().delay_after_storing(ms(700)))),
        ("silent", fault(create().silent())),
        ("slow drip", fault(create().slow_drip(ms(1)))),
        ("lost, and the list is a page", both(create().drop_after_storing(), page())),
        ("lost, and the list fails", both(create().drop_after_storing(), Fault::list().status(503).times(9))),
        ("500 stored, the list is a page", both(create().store_then_body(500, "text/html", "x"), page())),
        ("500 stored, the list fails", both(create().store_then_body(500, "text/html", "x"), Fault::list().status(503).times(9))),
        ("garbled, and the list is a page", both(create().garbled_answer(), page())),
        ("list fails too", fault(Fault::any().status(503).times(2))),
        ("reset after 4 bytes", Trouble::Cut(Cut::Request(4))),
        ("reset after the headers", Trouble::Cut(Cut::Request(230))),
        ("reset in the answer's head", Trouble::Cut(Cut::Answer(10))),
        ("reset in the answer's body", Trouble::Cut(Cut::Answer(400))),
        ("answer swallowed", Trouble::Cut(Cut::Silence)),
        ("answer in drops", Trouble::Cut(Cut::Drip)),
    ]
}

/// What a caller was told.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Created(i32),
    Unknown,
    /// Any failure that says that nothing was created.
    NotCreated(String),
}

fn told(answer: &Result<Response<CreateResponse>, Status>) -> Told {
    let status = match answer {
        Ok(answer) => return Told::Created(answer.get_ref().connection.as_ref().unwrap().id),
        Err(status) => status,
    };
    match status.get_error_details().error_info() {
        Some(info) if info.reason != "OUTCOME_UNKNOWN" => Told::NotCreated(info.reason.clone()),
        Some(_) => Told::Unknown,
        // The caller's own clock was faster than the answer.
        None if status.message() == "Timeout expired" => Told::Unknown,
        None => panic!("no reason: {status:?}"),
    }
}

async fn call(gateway: &Gateway, message: CreateRequest, timeout: Duration) -> Told {
    let mut request = authorized(message);
    request.set_timeout(timeout);
    told(&gateway.client.clone().create(request).await)
}

/// Everything that callers were told about one creation, and how many rows there are in the end.
async fn run(trouble: &Trouble, ask: Ask) -> (Vec<Told>, Handle) {
    let sandbox = sandbox().await;
    let mut url = sandbox.url();
    match trouble {
        Trouble::Faults(faults) => sandbox.script(faults.clone()),
        Trouble::Cut(cut) => url = proxy(sandbox.addr(), *cut).await.url,
    }
    let gateway = gateway(&url)
        .with(|s| s.delivery.recovery_window = WINDOW)
        .start()
        .await;
    let patient = Duration::from_secs(6);
    let hasty = Duration::from_millis(350);
    let message = match ask {
        Ask::Plain => minimal("logical create"),
        Ask::WithId | Ask::WithIdTwice | Ask::WithIdAgain => with_id("logical create"),
    };
    let told = match ask {
        Ask::Plain | Ask::WithId => vec![call(&gateway, message, patient).await],
        Ask::WithIdTwice => {
            let calls = [
                call(&gateway, message.clone(), patient),
                call(&gateway, message, patient),
            ];
            join_all(calls).await
        }
        Ask::WithIdAgain => {
            let first = call(&gateway, message.clone(), hasty).await;
            vec![first, call(&gateway, message, patient).await]
        }
    };
    // What is stored behind a proxy's back counts too.
    let is_late = |fault: &Fault| matches!(fault.what, What::RespondThenStore(_));
    if matches!(trouble, Trouble::Faults(faults) if faults.iter().any(is_late)) {
        soon(sandbox.stored(1)).await;
    }
    (told, sandbox)
}

fn ids(sandbox: &Handle) -> Vec<i32> {
    let id = |row: &serde_json::Value| row["id"].as_i64().unwrap().try_into().unwrap();
    sandbox.rows(1).iter().map(id).collect()
}

fn check(told: &[Told], rows: &[i32]) -> Result<(), String> {
    if rows.len() > 1 {
        return Err("stored twice".to_owned());
    }
    for told in told {
        match told {
            Told::Created(id) if rows != [*id] => {
                return Err(format!("{id} is not what is stored"));
            }
            Told::Created(_) | Told::NotCreated(_) | Told::Unknown => {}
        }
    }
    // Another call with the id may have created it since; nobody else can have.
    match told.iter().any(|told| matches!(told, Told::Created(_))) {
        false if !rows.is_empty() && !told.contains(&Told::Unknown) => {
            Err("told that nothing was created, but it is stored".to_owned())
        }
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_makes_a_second_row_or_a_false_answer() {
    let troubles = troubles();
    let cases = troubles
        .iter()
        .flat_map(|trouble| ASKS.map(|ask| (trouble, ask)));
    let runs: Vec<_> = stream::iter(cases)
        .map(async |((name, trouble), ask)| {
            let (told, sandbox) = run(trouble, ask).await;
            (*name, ask, told, ids(&sandbox))
        })
        .buffered(24)
        .collect()
        .await;
    let mut table = String::new();
    let mut wrong = 0;
    for (name, ask, told, rows) in &runs {
        let verdict = match check(told, rows) {
            Ok(()) => "ok".to_owned(),
            Err(why) => {
                wrong += 1;
                format!("WRONG: {why}")
            }
        };
        let ask = format!("{ask:?}");
        let stored = rows.len();
        writeln!(
            table,
            "{name:28} {ask:12} stored {stored}  told {told:?}  {verdict}"
        )
        .unwrap();
    }
    eprintln!("{table}");
    assert_eq!(wrong, 0, "\n{table}");
    // The matrix must not be true only because nothing is ever known.
    let created = runs
        .iter()
        .filter(|(_, _, told, _)| matches!(told.last(), Some(Told::Created(_))));
    assert!(created.count() * 2 > runs.len(), "\n{table}");
}

#[tokio::test]
async fn a_lost_answer_is_found_and_said_to_be_recovered() {
    for fault in [
        Fault::create().drop_after_storing(),
        Fault::create().cut_answer_at(10),
        Fault::create().garbled_answer(),
        Fault::create().store_then_body(500, "text/html", "x"),
        Fault::create()
            .delay_before_storing(Duration::from_millis(300))
            .drop_after_storing(),
    ] {
        let sandbox = sandbox().await;
        sandbox.script([fault]);
        let gateway = gateway(&sandbox.url()).start().await;
        let answer = gateway.create(minimal("m")).await.unwrap();
        assert_eq!(trailer(answer.metadata(), "x-outcome"), Some("recovered"));
        assert_eq!(trailer(answer.metadata(), "x-upstream-attempts"), Some("1"));
        assert_eq!(sandbox.rows(1).len(), 1);
    }
}

#[tokio::test]
async fn a_row_that_is_not_ours_is_never_taken_for_it() {
    let stranger = |name: &str, password: &str, created: &str| {
        serde_json::json!({"name": name, "type": "mongodb", "password": password,
                           "createdAt": created})
    };
    let now = jiff::Timestamp::now().to_string();
    for (row, why) in [
        (stranger("another name", "p", &now), "another name"),
        (stranger("m", "other", &now), "another password"),
        (stranger("m", "p", "2020-01-01T00:00:00Z"), "created before"),
    ] {
        let sandbox = sandbox().await;
        sandbox.insert(1, row);
        sandbox.script([Fault::create().drop_before_storing()]);
        let gateway = gateway(&sandbox.url()).with(|s| s.delivery.recovery_window = WINDOW);
        let gateway = gateway.start().await;
        let mut request = minimal("m");
        request.connection.as_mut().unwrap().password = Some("p".to_owned());
        assert_eq!(told(&gateway.create(request).await), Told::Unknown, "{why}");
    }
}

#[tokio::test]
async fn a_row_handed_to_another_request_is_never_taken() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).with(|s| s.delivery.recovery_window = WINDOW);
    let gateway = gateway.start().await;
    let Told::Created(first) = told(&gateway.create(minimal("m")).await) else {
        panic!()
    };
    sandbox.script([Fault::create().drop_before_storing()]);
    assert_eq!(told(&gateway.create(minimal("m")).await), Told::Unknown);
    sandbox.script([Fault::create().drop_after_storing()]);
    let Told::Created(second) = told(&gateway.create(minimal("m")).await) else {
        panic!()
    };
    assert_ne!(first, second);
}

#[tokio::test]
async fn twins_whose_answers_are_lost_each_get_a_row_of_their_own() {
    let sandbox = sandbox().await;
    let lost = Fault::create().delay_after_storing(Duration::from_millis(100));
    sandbox.script([lost.drop_after_storing().times(4)]);
    let gateway = gateway(&sandbox.url()).start().await;
    let calls = (0..6).map(|_| gateway.create(minimal("twin")));
    let mut ids: Vec<_> = join_all(calls)
        .await
        .iter()
        .map(|answer| match told(answer) {
            Told::Created(id) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert_eq!(sandbox.rows(1).len(), 6);
}

#[tokio::test]
async fn a_replay_reads_the_row_and_says_so() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let request = with_id("m");
    let first = gateway.create(request.clone()).await.unwrap();
    let again = gateway.create(request.clone()).await.unwrap();
    assert_eq!(trailer(first.metadata(), "x-outcome"), None);
    assert_eq!(trailer(again.metadata(), "x-outcome"), Some("replayed"));
    assert_eq!(trailer(again.metadata(), "x-upstream-attempts"), Some("0"));
    assert_eq!(told(&Ok(first)), told(&Ok(again)));
    // The same id in another team is another creation.
    let elsewhere = CreateRequest {
        team_id: 2,
        ..request
    };
    assert!(matches!(
        told(&gateway.create(elsewhere).await),
        Told::NotCreated(_)
    ));
    assert_eq!(sandbox.rows(1).len(), 1);
}

#[tokio::test]
async fn a_refused_request_id_may_be_tried_again() {
    let sandbox = sandbox().await;
    sandbox.script([
        Fault::create().status(401),
        Fault::create().not_forwarded().times(3),
    ]);
    let gateway = gateway(&sandbox.url()).start().await;
    let request = with_id("m");
    for _ in 0..2 {
        assert!(matches!(
            told(&gateway.create(request.clone()).await),
            Told::NotCreated(_)
        ));
    }
    assert!(matches!(
        told(&gateway.create(request).await),
        Told::Created(_)
    ));
    assert_eq!(sandbox.rows(1).len(), 1);
}

#[tokio::test]
async fn a_retry_waits_as_long_as_it_was_asked_to() {
    let sandbox = sandbox().await;
    sandbox.script([Fault::create().status(429).header("retry-after", "1")]);
    let gateway = gateway(&sandbox.url()).start().await;
    let began = tokio::time::Instant::now();
    let answer = gateway.create(minimal("m")).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(trailer(answer.metadata(), "x-upstream-attempts"), Some("2"));
}

#[tokio::test]
async fn callers_that_retry_by_themselves_earn_no_retries() {
    let sandbox = sandbox().await;
    sandbox.script([Fault::create().not_forwarded().forever()]);
    let gateway = gateway(&sandbox.url())
        .with(|s| {
            s.delivery.retries_per_second = 1;
            s.delivery.retry_ratio = 1.0;
            s.delivery.breaker.failures = 1_000;
        })
        .start()
        .await;
    let attempts = async |retry: bool| {
        let mut sum = 0;
        for _ in 0..30 {
            let mut request = authorized(minimal("m"));
            if retry {
                request
                    .metadata_mut()
                    .insert("grpc-previous-rpc-attempts", "1".parse().unwrap());
            }
            let status = gateway.client.clone().create(request).await.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable);
            let count = trailer(status.metadata(), "x-upstream-attempts").unwrap();
            sum += count.parse::<usize>().unwrap();
        }
        sum
    };
    // A reserve of ten a second's worth for ten seconds, then nothing more is earned.
    let retried = attempts(true).await;
    assert!(retried <= 30 + 10, "{retried}");
    let fresh = attempts(false).await;
    assert!(fresh >= 30 + 29, "{fresh}");
}

#[tokio::test]
async fn an_answer_that_a_dead_connection_swallowed_is_found_before_the_deadline() {
    for request in [minimal("m"), with_id("m")] {
        let sandbox = sandbox().await;
        let proxy = proxy(sandbox.addr(), Cut::Silence).await;
        let gateway = gateway(&proxy.url).start().await;
        let mut request = authorized(request);
        request.set_timeout(Duration::from_secs(4));
        let answer = gateway.client.clone().create(request).await.unwrap();
        assert_eq!(trailer(answer.metadata(), "x-outcome"), Some("recovered"));
        assert_eq!(sandbox.rows(1).len(), 1);
    }
}

/// hyper issue 2136: a request written onto a connection that the server is just closing. Creates
/// never take a connection that has been idle, so the race cannot be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_closes_idle_connections_at_any_moment_costs_nothing() {
    let sandbox = sandbox().await;
    let fickle = closes_when_idle(sandbox.addr()).await;
    let gateway = gateway(&fickle.url).start().await;
    for n in 0..RACES {
        let answer = gateway.create(minimal(&n.to_string())).await;
        assert!(matches!(told(&answer), Told::Created(_)), "{n}: {answer:?}");
    }
    assert_eq!(sandbox.rows(1).len(), RACES);
}

#[tokio::test]
async fn recoveries_of_a_team_share_its_list() {
    const LOST_AT_ONCE: usize = 40;
    let sandbox = sandbox().await;
    let gate = Gate::new();
    let fault = Fault::create()
        .hold_after_storing(&gate)
        .drop_after_storing();
    sandbox.script([fault.times(LOST_AT_ONCE.try_into().unwrap())]);
    let gateway = gateway(&sandbox.url()).start().await;
    let calls = (0..LOST_AT_ONCE).map(|n| gateway.create(minimal(&n.to_string())));
    let all_lost = async {
        sandbox.stored(LOST_AT_ONCE).await;
        gate.open();
    };
    let (answers, ()) = tokio::join!(join_all(calls.collect::<Vec<_>>()), all_lost);
    for answer in &answers {
        assert!(matches!(told(answer), Told::Created(_)), "{answer:?}");
    }
    let seen = sandbox.requests();
    let is_list = |seen: &&Seen| seen.method == "GET" && seen.path.ends_with("/connections");
    let lists = seen.iter().filter(is_list).count();
    assert!(lists <= LOST_AT_ONCE / 4, "{lists} lists");
}

#[tokio::test]
async fn a_request_that_was_lost_long_ago_is_not_asked_for_for_ever() {
    let sandbox = sandbox().await;
    sandbox.script([Fault::create().drop_before_storing()]);
    let gateway = gateway(&sandbox.url()).with(|s| s.delivery.recovery_window = WINDOW);
    let gateway = gateway.start().await;
    let request = with_id("m");
    let lost = failure(gateway.create(request.clone()).await);
    assert!(lost.has_retry_info());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61 * 60)).await;
    tokio::time::resume();
    let still = failure(gateway.create(request).await);
    assert_eq!(
        (still.code, &*still.reason),
        (Code::Unknown, "OUTCOME_UNKNOWN")
    );
    assert!(!still.has_retry_info());
    assert!(
        still.status.message().contains("new request_id"),
        "{}",
        still.status.message()
    );
    assert!(sandbox.rows(1).is_empty());
}

/// Waits until the gateway has learned that its only caller has left: then there is room for another.
async fn is_alone(gateway: &Gateway) {
    soon(async { while gateway.create(minimal("another")).await.is_err() {} }).await;
}

/// Chartbrew ends its process when a request whose path names a connection is cut off.
#[tokio::test]
async fn nothing_that_names_a_connection_is_cut_off_when_its_caller_leaves() {
    let sandbox = sandbox().await;
    let mut gateway = gateway(&sandbox.url())
        .with(|settings| settings.delivery.max_in_flight = 1)
        .start()
        .await;
    let mut with_file = with_id("m");
    with_file.files = Some(chartbrew_gateway::proto::ConnectionFiles {
        ssl_ca: Some("CA".into()),
        ..Default::default()
    });
    // The caller leaves while its file is uploaded, and again while the row is read.
    for fault in [Fault::files(), Fault::get()] {
        let gate = Gate::new();
        sandbox.script([fault.hold_before_storing(&gate)]);
        let call = tokio::spawn({
            let (mut client, request) = (gateway.client.clone(), authorized(with_file.clone()));
            async move { client.create(request).await }
        });
        gate.reached().await;
        call.abort();
        assert!(call.await.is_err());
        is_alone(&gateway).await;
        assert_eq!(sandbox.cut_off(), 0);
        gate.open();
        let answer = gateway.create(with_file.clone()).await.unwrap();
        assert_eq!(trailer(answer.metadata(), "x-outcome"), Some("replayed"));
    }
    gateway.stop();
    assert!(gateway.stopped().await);
    assert_eq!(sandbox.cut_off(), 0);
    let uploads = sandbox.requests();
    let is_upload = |seen: &&Seen| seen.path.ends_with("/files");
    assert_eq!(uploads.iter().filter(is_upload).count(), 1);
    let rows = sandbox.rows(1);
    assert_eq!(rows.iter().filter(|row| row["name"] == "m").count(), 1);
}

/// An upload is not begun if the deadline leaves too little time for it: begun, it could not be
/// given up.
#[tokio::test]
async fn an_upload_that_cannot_end_in_time_is_not_begun() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let mut message = with_id("m");
    message.files = Some(chartbrew_gateway::proto::ConnectionFiles {
        ssl_ca: Some(vec![b'x'; 1_000_000].into()),
        ..Default::default()
    });
    let mut request = authorized(message);
    request.set_timeout(Duration::from_secs(3));
    let failed = failure(gateway.client.clone().create(request).await);
    assert_eq!(failed.reason, "FILES_NOT_UPLOADED");
    assert_eq!(failed.metadata("cause"), Some("DEADLINE_TOO_SHORT"));
    let seen = sandbox.requests();
    assert!(!seen.iter().any(|seen| seen.path.ends_with("/files")));
    assert_eq!(sandbox.cut_off(), 0);
}

/// A create that hangs holds up no other with another body, whatever its name.
#[tokio::test]
async fn a_create_that_hangs_holds_up_no_other_of_its_name() {
    let sandbox = sandbox().await;
    let gateway = gateway(&sandbox.url()).start().await;
    let named = |host: &str| {
        let mut message = with_id("same name");
        message.connection.as_mut().unwrap().host = Some(host.to_owned());
        message
    };
    sandbox.script([Fault::create().silent()]);
    let hanging = call(&gateway, named("wrong"), Duration::from_millis(500)).await;
    assert_eq!(hanging, Told::Unknown);
    for host in ["right", "also right"] {
        let told = call(&gateway, named(host), Duration::from_secs(5)).await;
        assert!(matches!(told, Told::Created(_)), "{told:?}");
    }
}

/// The same for a row that a recovery reads when the gateway stops and nobody can ask for its outcome.
#[tokio::test]
async fn a_row_that_is_read_when_the_gateway_stops_is_read_to_its_end() {
    let sandbox = sandbox().await;
    let mut gateway = gateway(&sandbox.url()).start().await;
    let gate = Gate::new();
    sandbox.script([
        Fault::create().drop_after_storing(),
        Fault::get().hold_before_storing(&gate),
    ]);
    let call = tokio::spawn({
        let (mut client, request) = (gateway.client.clone(), authorized(minimal("m")));
        async move { client.create(request).await }
    });
    gate.reached().await;
    call.abort();
    assert!(call.await.is_err());
    gateway.stop();
    let open = async {
        // Long enough for a gateway that does not wait to have ended.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        gate.open();
    };
    let (_, ()) = tokio::join!(gateway.stopped(), open);
    assert_eq!(sandbox.cut_off(), 0);
}
