//! Every fault against every way to ask, as a table.

use std::{fmt::Write, time::Duration};

use chartbrew_sandbox::What;
use futures_util::{StreamExt, future::join_all, stream};

use super::{Fault, Handle, Outcome, WINDOW, call};
use crate::support::{
    gateway::{gateway, minimal, sandbox, with_id},
    raw::{Cut, proxy},
    time::soon,
};

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
    /// The first caller stops waiting and asks again.
    WithIdAgain,
}

const ASKS: [Ask; 4] = [Ask::Plain, Ask::WithId, Ask::WithIdTwice, Ask::WithIdAgain];

/// What is between the gateway and Chartbrew.
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
        ("reset in the response's head", Trouble::Cut(Cut::Response(10))),
        ("reset in the response's body", Trouble::Cut(Cut::Response(400))),
        ("answer swallowed", Trouble::Cut(Cut::Silence)),
        ("answer in drops", Trouble::Cut(Cut::Drip)),
    ]
}

/// What every caller of one creation got, and how many rows there are in the end.
async fn run(trouble: &Trouble, ask: Ask) -> (Vec<Outcome>, Handle) {
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
    let outcomes = match ask {
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
    (outcomes, sandbox)
}

fn ids(sandbox: &Handle) -> Vec<i32> {
    let id = |row: &serde_json::Value| row["id"].as_i64().unwrap().try_into().unwrap();
    sandbox.rows(1).iter().map(id).collect()
}

fn check(outcomes: &[Outcome], rows: &[i32]) -> Result<(), String> {
    if rows.len() > 1 {
        return Err("stored twice".to_owned());
    }
    for outcome in outcomes {
        match outcome {
            Outcome::Created(id) if rows != [*id] => {
                return Err(format!("{id} is not what is stored"));
            }
            Outcome::Created(_) | Outcome::NotCreated(_) | Outcome::Unknown => {}
        }
    }
    // Another call with the id may have created it since; nobody else can have.
    match outcomes
        .iter()
        .any(|outcome| matches!(outcome, Outcome::Created(_)))
    {
        false if !rows.is_empty() && !outcomes.contains(&Outcome::Unknown) => {
            Err("a caller was told that nothing was created, but it is stored".to_owned())
        }
        _ => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_makes_a_second_row_or_a_false_response() {
    let troubles = troubles();
    let cases = troubles
        .iter()
        .flat_map(|trouble| ASKS.map(|ask| (trouble, ask)));
    let runs: Vec<_> = stream::iter(cases)
        .map(async |((name, trouble), ask)| {
            let (outcomes, sandbox) = run(trouble, ask).await;
            (*name, ask, outcomes, ids(&sandbox))
        })
        .buffered(24)
        .collect()
        .await;
    let mut table = String::new();
    let mut wrong = 0;
    for (name, ask, outcomes, rows) in &runs {
        let verdict = match check(outcomes, rows) {
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
            "{name:28} {ask:12} stored {stored}  outcomes {outcomes:?}  {verdict}"
        )
        .unwrap();
    }
    eprintln!("{table}");
    assert_eq!(wrong, 0, "\n{table}");
    // The matrix must not be true only because nothing is ever known.
    let created = runs
        .iter()
        .filter(|(_, _, outcomes, _)| matches!(outcomes.last(), Some(Outcome::Created(_))));
    assert!(created.count() * 2 > runs.len(), "\n{table}");
}
