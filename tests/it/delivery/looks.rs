//! What a search for a lost row goes by: when the request began, what time it is, how long a look
//! may take.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Fault, Gate, Outcome, WINDOW, outcome};
use crate::support::{
    gateway::{authorized, gateway, minimal, sandbox, trailer},
    process::ask,
    time::{hastened, soon},
};

const JSON: &str = "application/json";

/// Longer than a proxy's clock may be ahead.
const LONG_WAIT: u64 = 60;

#[tokio::test]
async fn a_search_begins_with_the_attempt_that_was_lost() {
    let sandbox = sandbox().await;
    let wait = LONG_WAIT.to_string();
    sandbox.script([
        Fault::create().status(429).header("retry-after", &wait),
        Fault::create().drop_before_storing(),
    ]);
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.delivery.recovery_window = WINDOW)
        .start()
        .await;
    // Made by somebody else while the call waited for its turn.
    let meanwhile = Timestamp::now() - SignedDuration::from_secs(30);
    let row = json!({"name": "m", "type": "mongodb", "createdAt": meanwhile.to_string()});
    sandbox.insert(1, row);
    let mut client = gateway.client.clone();
    let call = tokio::spawn(async move { client.create(authorized(minimal("m"))).await });
    soon(sandbox.answered(1)).await;
    hastened(Duration::from_secs(10), sandbox.seen(2)).await;
    let response = soon(call).await.unwrap();
    assert_eq!(outcome(&response), Outcome::Unknown);
}

#[tokio::test]
async fn a_proxys_clock_that_is_ahead_hides_no_row() {
    let sandbox = sandbox().await;
    let gate = Gate::new();
    sandbox.script([Fault::create()
        .hold_after_storing(&gate)
        .drop_after_storing()]);
    // Shorter than the clock is ahead: time alone must not make the row old enough.
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.delivery.recovery_window = Duration::from_secs(1))
        .start()
        .await;
    let mut client = gateway.client.clone();
    let call = tokio::spawn(async move { client.create(authorized(minimal("m"))).await });
    soon(gate.reached()).await;
    // Its list as it is, with the time of a clock that is ahead.
    let token = "authorization: Bearer sandbox-token\r\n";
    let list = ask(sandbox.addr(), "GET", "/team/1/connections", token, "").await;
    let ahead = std::time::SystemTime::now() + Duration::from_secs(4);
    let ahead = httpdate::fmt_http_date(ahead);
    let list = Fault::list().body(200, JSON, list.body);
    sandbox.script([list.header("date", &ahead).forever()]);
    gate.open();
    let response = soon(call).await.unwrap().unwrap();
    assert_eq!(trailer(response.metadata(), "x-outcome"), Some("recovered"));
}

#[tokio::test]
async fn a_look_that_never_ends_makes_room_for_another() {
    let sandbox = sandbox().await;
    let (all_sent, stuck) = (Gate::new(), Gate::new());
    let lost = Fault::create().hold_after_storing(&all_sent);
    sandbox.script([
        lost.drop_after_storing().times(2),
        Fault::list().hold_before_storing(&stuck),
    ]);
    let gateway = gateway(&sandbox.url())
        .with(|settings| settings.delivery.recovery_window = Duration::from_secs(30))
        .start()
        .await;
    let calls = ["a", "b"].map(|name| {
        let mut client = gateway.client.clone();
        tokio::spawn(async move { client.create(authorized(minimal(name))).await })
    });
    soon(sandbox.stored(2)).await;
    all_sent.open();
    soon(stuck.reached()).await;
    let [a, b] = calls;
    let both = async { [a.await.unwrap(), b.await.unwrap()] };
    for response in hastened(Duration::from_secs(5), both).await {
        let response = response.unwrap();
        assert_eq!(trailer(response.metadata(), "x-outcome"), Some("recovered"));
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_hides_no_other() {
    let sandbox = sandbox().await;
    // Deeper than a JSON reader goes that keeps its stack.
    let deep = (0..200).fold(Value::Null, |inner, _| json!([inner]));
    sandbox.insert(
        1,
        json!({"name": "deep", "type": "mongodb", "options": deep}),
    );
    sandbox.script([Fault::create().drop_after_storing()]);
    let gateway = gateway(&sandbox.url()).start().await;
    let response = soon(gateway.create(minimal("m"))).await.unwrap();
    assert_eq!(trailer(response.metadata(), "x-outcome"), Some("recovered"));
    let token = "authorization: Bearer sandbox-token\r\n";
    let list = ask(sandbox.addr(), "GET", "/team/1/connections", token, "").await;
    assert!(
        serde_json::from_str::<Value>(&list.body).is_err(),
        "it is there, and too deep"
    );
}
