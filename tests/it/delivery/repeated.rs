//! Every fault against everything that may be repeated: the methods beside Create, as a table.

use std::{fmt::Write, time::Duration};

use chartbrew_sandbox::What;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tonic_types::StatusExt;

use super::{Fault, Handle};
use crate::support::{
    gateway::{Gateway, gateway, sandbox},
    raw::{Cut, proxy_for},
    rpc::{ALL, NEW_NAME, Rpc},
    time::soon,
};

const JSON: &str = "application/json";
const HTML: &str = "text/html";
/// What Chartbrew answers when its database goes away in the middle of a statement.
const LOST: &str =
    r#"{"name":"SequelizeDatabaseError","parent":{"code":"ECONNRESET","fatal":true}}"#;
const REFUSED: &str =
    r#"{"name":"SequelizeConnectionRefusedError","parent":{"code":"ECONNREFUSED"}}"#;
/// What Envoy says when it has forwarded a request and lost the response.
const RESET: &str = "upstream connect error or disconnect/reset before headers. reset reason: \
                     connection termination";

/// How a method is called.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ask {
    /// Its caller waits.
    Once,
    /// Its caller stops waiting and calls again.
    Again,
    /// Its caller leaves without a word and calls again.
    Gone,
}

/// What is between the gateway and Chartbrew.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// It meets the first request.
    Fault(fn(Fault) -> Fault),
    /// It meets the second one: of an upload, the second file.
    Second(fn(Fault) -> Fault),
    Cut(Cut),
}

impl Trouble {
    /// Whether a caller that does not wait sees another end than one that does.
    fn is_slow(self, rpc: Rpc) -> bool {
        let fault = match self {
            Self::Fault(fault) | Self::Second(fault) => fault(rpc.fault()),
            Self::Cut(cut) => return matches!(cut, Cut::Silence | Cut::Drip),
        };
        let delays = fault.delay_before_storing_ms + fault.delay_after_storing_ms;
        delays > 0 || matches!(fault.what, What::Silent | What::SlowDripMs(_))
    }
}

/// How a call ended for its caller.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Done,
    /// A failure by which nothing can have been done.
    NotDone(String),
    /// A failure that says nothing of it.
    Unknown(String),
}

/// Each with whether a patient caller must succeed.
#[rustfmt::skip]
fn troubles() -> Vec<(&'static str, Trouble, bool)> {
    use Trouble::{Cut as Proxy, Fault as First, Second};
    vec![
        ("none", First(|f| f.delay_after_storing(Duration::ZERO)), true),
        ("503 once, not forwarded", First(|f| f.not_forwarded()), true),
        ("503 for ever, not forwarded", First(|f| f.not_forwarded().forever()), false),
        ("503, nothing done", First(|f| f.status(503)), true),
        ("503 for ever, nothing done", First(|f| f.status(503).forever()), false),
        ("503 when done", First(|f| f.store_then_body(503, "text/plain", RESET)), true),
        ("503 when done, each time", First(|f| f.store_then_body(503, "text/plain", RESET).forever()), false),
        ("503, done later", First(|f| f.delay_after_storing(Duration::from_millis(300)).respond_then_store(503, "text/plain", RESET)), true),
        ("503, then not forwarded", First(|f| f.store_then_body(503, HTML, "x")), true),
        ("408 when done", First(|f| f.store_then_body(408, HTML, "x")), true),
        ("429 once", First(|f| f.status(429).header("retry-after", "0")), true),
        ("429 for ever", First(|f| f.status(429).header("retry-after", "0").forever()), false),
        ("403", First(|f| f.body(403, JSON, r#"{"message":"Access denied"}"#)), false),
        ("404", First(|f| f.body(404, JSON, r#"{"error":"Not Found"}"#)), false),
        ("400", First(|f| f.body(400, JSON, "{}")), false),
        ("400, no database", First(|f| f.body(400, JSON, REFUSED)), false),
        ("400, no database for ever", First(|f| f.body(400, JSON, REFUSED).forever()), false),
        ("400, the database was lost", First(|f| f.body(400, JSON, LOST)), false),
        ("400 when done, the same", First(|f| f.store_then_body(400, JSON, LOST)), false),
        ("500, nothing done", First(|f| f.status(500)), true),
        ("500 when done", First(|f| f.store_then_body(500, HTML, "x")), true),
        ("500 when done, each time", First(|f| f.store_then_body(500, HTML, "x").forever()), false),
        ("502 when done", First(|f| f.store_then_body(502, HTML, "x")), true),
        ("504, done later", First(|f| f.delay_before_storing(Duration::from_millis(300)).store_then_body(504, HTML, "x")), true),
        ("200 of something else", First(|f| f.body(200, HTML, "<html>")), true),
        ("200 of something else, each time", First(|f| f.body(200, HTML, "<html>").forever()), false),
        ("done, 200 of something else, each time", First(|f| f.store_then_body(200, HTML, "<html>").forever()), false),
        ("garbled", First(|f| f.garbled_answer()), true),
        ("garbled, each time", First(|f| f.garbled_answer().forever()), false),
        ("cut at 0", First(|f| f.cut_answer_at(0)), true),
        ("cut at 10", First(|f| f.cut_answer_at(10)), true),
        ("closed before reading", First(|f| f.drop_before_reading()), true),
        ("closed before the work", First(|f| f.drop_before_storing()), true),
        ("closed after the work", First(|f| f.drop_after_storing()), true),
        ("closed after the work, each time", First(|f| f.drop_after_storing().forever()), false),
        ("slow to work", First(|f| f.delay_before_storing(Duration::from_millis(700))), true),
        ("slow to work, then closed", First(|f| f.delay_before_storing(Duration::from_millis(700)).drop_after_storing()), true),
        ("slow to answer", First(|f| f.delay_after_storing(Duration::from_millis(700))), true),
        ("silent", First(|f| f.silent()), false),
        ("slow drip", First(|f| f.slow_drip(Duration::from_millis(1))), true),
        ("second: 503 for ever, not forwarded", Second(|f| f.not_forwarded().forever()), false),
        ("second: 429 for ever", Second(|f| f.status(429).forever()), false),
        ("second: 400, no database", Second(|f| f.body(400, JSON, REFUSED).forever()), false),
        ("second: 413", Second(|f| f.body(413, HTML, "x")), false),
        ("second: 500 for ever", Second(|f| f.status(500).forever()), false),
        ("second: closed after the work", Second(|f| f.drop_after_storing()), true),
        ("second: silent", Second(|f| f.silent()), false),
        ("reset after 4 bytes", Proxy(Cut::Request(4)), true),
        ("reset after the headers", Proxy(Cut::Request(150)), true),
        ("reset in the response's head", Proxy(Cut::Response(10)), true),
        // That of a deletion is shorter.
        ("reset in the response's body", Proxy(Cut::Response(400)), false),
        ("answer swallowed", Proxy(Cut::Silence), false),
        ("answer in drops", Proxy(Cut::Drip), true),
    ]
}

async fn call(gateway: &Gateway, rpc: Rpc, id: i32, timeout: Duration) -> Outcome {
    let status = match rpc.call(&gateway.client, id, Some(timeout)).await {
        Ok(response) => {
            let rows = response.into_inner();
            let is_right = match rpc {
                Rpc::Get => rows.len() == 1 && rows[0].id == id,
                Rpc::List => rows.len() == 2,
                Rpc::Update => rows[0].name.as_deref() == Some(NEW_NAME),
                Rpc::UploadFiles => rows[0].ssl_key.is_some() && rows[0].ssl_cert.is_some(),
                Rpc::Delete | Rpc::Test | Rpc::TestNew => rows.is_empty(),
            };
            assert!(is_right, "{rpc:?}: {rows:?}");
            return Outcome::Done;
        }
        Err(status) => status,
    };
    let details = status.get_error_details();
    let Some(info) = details.error_info() else {
        // The caller's own clock was faster than the response.
        assert_eq!(status.message(), "Timeout expired", "{status:?}");
        return Outcome::Unknown(String::new());
    };
    let says_so = status.code() == tonic::Code::Unavailable
        || info.reason == "OVERLOADED"
        || status.message().contains("nothing was");
    match says_so {
        true => Outcome::NotDone(info.reason.clone()),
        false => Outcome::Unknown(info.reason.clone()),
    }
}

/// Whether what a method does to the connection is done: not at all, in part or whole.
fn state(rpc: Rpc, row: Option<&Value>) -> &'static str {
    let Some(row) = row else { return "done" };
    let parts: &[bool] = match rpc {
        Rpc::Update => &[row["name"] == NEW_NAME],
        Rpc::UploadFiles => &[!row["sslCert"].is_null(), !row["sslKey"].is_null()],
        Rpc::Get | Rpc::List | Rpc::Delete | Rpc::Test | Rpc::TestNew => &[false],
    };
    match (parts.contains(&true), parts.contains(&false)) {
        (true, false) => "done",
        (true, true) => "in part",
        (false, _) => "not done",
    }
}

struct Run {
    outcomes: Vec<Outcome>,
    state: &'static str,
    others: usize,
    cut_off: usize,
}

async fn run(trouble: Trouble, rpc: Rpc, ask: Ask) -> Run {
    let sandbox = sandbox().await;
    let id = sandbox.insert(1, json!({"name": "m"}));
    sandbox.insert(1, json!({"name": "another"}));
    let mut url = sandbox.url();
    match trouble {
        Trouble::Fault(fault) => sandbox.script([fault(rpc.fault())]),
        Trouble::Second(fault) => sandbox.script([rpc.fault(), fault(rpc.fault())]),
        Trouble::Cut(cut) => url = proxy_for(sandbox.addr(), cut, rpc.method()).await.url,
    }
    let gateway = gateway(&url).start().await;
    let patient = Duration::from_secs(3);
    let hasty = Duration::from_millis(350);
    let outcomes = match ask {
        Ask::Once => vec![call(&gateway, rpc, id, patient).await],
        Ask::Again => {
            let first = call(&gateway, rpc, id, hasty).await;
            vec![first, call(&gateway, rpc, id, patient).await]
        }
        Ask::Gone => {
            let left =
                tokio::time::timeout(Duration::from_millis(60), call(&gateway, rpc, id, patient));
            let first = left.await.ok();
            let again = call(&gateway, rpc, id, patient).await;
            first.into_iter().chain([again]).collect()
        }
    };
    let is_late = |sandbox: &Handle| {
        let faults = match trouble {
            Trouble::Fault(fault) => fault(rpc.fault()).what,
            Trouble::Second(_) | Trouble::Cut(_) => What::Answer,
        };
        matches!(faults, What::RespondThenStore(_)) && sandbox.rows(1).len() == 2
    };
    if is_late(&sandbox) {
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let rows = sandbox.rows(1);
    let row = rows.iter().find(|row| row["id"] == id);
    Run {
        outcomes,
        state: state(rpc, row),
        others: rows.iter().filter(|row| row["name"] == "another").count(),
        cut_off: sandbox.cut_off(),
    }
}

fn check(
    trouble: Trouble,
    must_succeed: bool,
    rpc: Rpc,
    ask: Ask,
    run: &Run,
) -> Result<(), String> {
    let last = run.outcomes.last();
    let wrong = |what: &str| Err(what.to_owned());
    if run.others != 1 {
        return wrong("another connection was touched");
    }
    // A proxy that cuts a request off does so by itself.
    if run.cut_off > 0 && !matches!(trouble, Trouble::Cut(_)) {
        return wrong("a request was cut off");
    }
    if rpc.is_read() {
        return match run.state {
            "not done" => Ok(()),
            _ => wrong("a read changed something"),
        };
    }
    if last == Some(&Outcome::Done) && run.state != "done" {
        return wrong("it is not as its caller was told");
    }
    let all_say_no = run
        .outcomes
        .iter()
        .all(|outcome| matches!(outcome, Outcome::NotDone(_)));
    if ask != Ask::Gone && all_say_no && run.state != "not done" {
        return wrong("a caller was told that nothing was done, but it is");
    }
    // Deleted by the call before it.
    let is_gone = rpc == Rpc::Delete
        && ask != Ask::Once
        && last == Some(&Outcome::Unknown("CONNECTION_NOT_FOUND".to_owned()));
    if must_succeed && last != Some(&Outcome::Done) && !is_gone {
        return wrong("a fault that passes was not overcome");
    }
    match must_succeed && run.state != "done" {
        true => wrong("it is not done in the end"),
        false => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_leaves_what_may_be_repeated_undone_or_gives_a_false_response() {
    let mut cases = Vec::new();
    for (name, trouble, must_succeed) in troubles() {
        for rpc in ALL {
            if matches!(trouble, Trouble::Second(_)) && rpc != Rpc::UploadFiles {
                continue;
            }
            cases.push((name, trouble, must_succeed, rpc, Ask::Once));
            // What may be cut off may be left at any time.
            if trouble.is_slow(rpc) && ![Rpc::List, Rpc::TestNew].contains(&rpc) {
                for ask in [Ask::Again, Ask::Gone] {
                    cases.push((name, trouble, must_succeed, rpc, ask));
                }
            }
        }
    }
    let mut runs: Vec<_> = stream::iter(cases.into_iter().enumerate())
        .map(async |(number, case)| {
            let (_, trouble, _, rpc, ask) = case;
            (number, case, soon(run(trouble, rpc, ask)).await)
        })
        .buffer_unordered(48)
        .collect()
        .await;
    runs.sort_by_key(|(number, ..)| *number);
    let (mut table, mut wrong, mut done) = (String::new(), 0, 0);
    for (_, (name, trouble, must_succeed, rpc, ask), run) in &runs {
        let verdict = match check(*trouble, *must_succeed, *rpc, *ask, run) {
            Ok(()) => "ok".to_owned(),
            Err(why) => {
                wrong += 1;
                format!("WRONG: {why}")
            }
        };
        done += usize::from(run.outcomes.last() == Some(&Outcome::Done));
        let (rpc, ask) = (format!("{rpc:?}"), format!("{ask:?}"));
        let Run {
            outcomes,
            state,
            cut_off,
            ..
        } = run;
        writeln!(
            table,
            "{name:38} {rpc:11} {ask:5} {state:8} cut off {cut_off}  {outcomes:?}  {verdict}"
        )
        .unwrap();
    }
    eprintln!("{table}");
    let faults: Vec<_> = table
        .lines()
        .filter(|line| line.contains("WRONG"))
        .collect();
    assert_eq!(wrong, 0, "\n{}", faults.join("\n"));
    // The matrix must not be true only because nothing is ever known.
    assert!(done * 2 > runs.len(), "{done} of {}", runs.len());
}
