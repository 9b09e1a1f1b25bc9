//! What can be made to go wrong, and for which request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Gate, Kind};

mod build;
mod respond;
mod times;

pub use respond::Respond;
pub use times::Times;

/// One thing that goes wrong, for the next requests that fit it.
///
/// Built in the order in which it reads: `Fault::create().status(503).header("retry-after", "1")`.
/// The module's documentation has the JSON form.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Which requests it meets; default any.
    pub on: Kind,
    /// How many of them; default one.
    pub times: Times,
    /// How long the request is held before its work is done, in milliseconds; default 0.
    pub delay_before_storing_ms: u64,
    /// How long its response is held after the work is done, in milliseconds; default 0.
    pub delay_after_storing_ms: u64,
    /// How the request ends; default [`What::Answer`].
    pub what: What,
    /// Holds the request before its work is done.
    #[serde(skip)]
    gate_before_storing: Option<Gate>,
    /// Holds the response after the work is done.
    #[serde(skip)]
    gate_after_storing: Option<Gate>,
}

/// How a request ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// As ever: the work is done and answered. For faults that only delay.
    #[default]
    Answer,
    /// This response instead, and no work is done.
    Respond(Respond),
    /// The work is done, then this response is given instead of the true one.
    StoreThenRespond(Respond),
    /// This response is sent, and the work is done after `delay_after_storing_ms`: a proxy has given
    /// up on a server that has not.
    RespondThenStore(Respond),
    /// The connection is closed when the head has been read: the body is not, and no work is done.
    DropBeforeReading,
    /// The request is read whole, then the connection is closed; no work is done.
    DropBeforeStoring,
    /// The work is done, then the connection is closed without a byte of response.
    DropAfterStoring,
    /// The work is done, then the connection is closed after so many bytes of the response's body.
    CutAnswerAt(usize),
    /// The work is done and responded with the right status and type, but the body is not JSON.
    GarbledAnswer,
    /// The request is read and never answered; no work is done.
    Silent,
    /// The work is done and the response's body sent byte by byte, with so many milliseconds before
    /// each.
    SlowDripMs(u64),
}

// === impl Fault ===

impl Fault {
    /// Waits as long as this fault holds a request before its work.
    pub(super) async fn before_storing(&self) {
        hold(
            self.delay_before_storing_ms,
            self.gate_before_storing.as_ref(),
        )
        .await;
    }

    /// Waits as long as this fault holds a response after the work.
    pub(super) async fn after_storing(&self) {
        hold(
            self.delay_after_storing_ms,
            self.gate_after_storing.as_ref(),
        )
        .await;
    }
}

async fn hold(delay_ms: u64, gate: Option<&Gate>) {
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    if let Some(gate) = gate {
        gate.pass().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_json_is_what_the_builders_make() {
        let quarter = Duration::from_millis(250);
        let built = [
            Fault::create()
                .times(2)
                .status(503)
                .header("retry-after", "1"),
            Fault::create().body(502, "text/html", "<html>"),
            Fault::create().store_then_body(504, super::super::reply::JSON, ""),
            Fault::create()
                .delay_before_storing(quarter)
                .delay_after_storing(quarter),
            Fault::create()
                .delay_after_storing(quarter)
                .respond_then_store(522, "text/html", ""),
            Fault::create().drop_before_reading(),
            Fault::create().drop_before_storing(),
            Fault::create().drop_after_storing(),
            Fault::create().cut_answer_at(20),
            Fault::create().garbled_answer(),
            Fault::get().silent(),
            Fault::list().forever().slow_drip(Duration::from_millis(5)),
        ];
        let readme = include_str!("../README.md");
        let (_, documented) = readme.split_once("```json").unwrap();
        let (documented, _) = documented.split_once("```").unwrap();
        let documented: Vec<Fault> = serde_json::from_str(documented).unwrap();
        let json = |faults: &[Fault]| serde_json::to_value(faults).unwrap();
        assert_eq!(json(&documented), json(&built));
    }

    #[test]
    fn json_that_means_nothing_is_refused() {
        let table = [
            r#"{"onn": "create"}"#,
            r#"{"on": "crate"}"#,
            r#"{"times": "always"}"#,
            r#"{"what": "explode"}"#,
            r#"{"what": {"respond": {"code": 503}}}"#,
        ];
        for json in table {
            assert!(serde_json::from_str::<Fault>(json).is_err(), "{json}");
        }
    }
}
