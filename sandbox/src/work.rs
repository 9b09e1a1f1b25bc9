//! What is done with one request, faults included, apart from the connection it came on.

use std::time::Duration;

use super::{
    Fault, What,
    api::{self, Request},
    reply::Reply,
    state::App,
};

/// How a request ends for its connection.
pub(super) enum Ending {
    /// With this response, sent in this way.
    Reply(Reply, Pace),
    /// With the connection closed.
    Drop,
    /// Not at all.
    Silence,
}

/// How a response's body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once and whole.
    Whole,
    /// So many bytes, then the connection is closed.
    CutAt(usize),
    /// Byte by byte, each after so long.
    Drip(Duration),
}

/// Does the work of a request that was answered before.
pub(super) async fn work_late(app: &App, request: &Request, fault: &Fault) {
    fault.after_storing().await;
    // The client has its response already.
    drop(api::call(app, request).await);
}

/// Does the work, as far as the fault lets it.
pub(super) async fn work(app: &App, request: &Request, fault: Fault) -> Ending {
    fault.before_storing().await;
    let done = match &fault.what {
        What::Respond(_)
        | What::RespondThenStore(_)
        | What::DropBeforeReading
        | What::DropBeforeStoring
        | What::Silent => None,
        What::Answer
        | What::StoreThenRespond(_)
        | What::DropAfterStoring
        | What::CutAnswerAt(_)
        | What::GarbledAnswer
        | What::SlowDripMs(_) => match api::call(app, request).await {
            Some(reply) => Some(reply),
            None => return Ending::Silence,
        },
    };
    if let What::RespondThenStore(respond) = fault.what {
        return Ending::Reply(respond.into(), Pace::Whole);
    }
    fault.after_storing().await;
    match (fault.what, done) {
        (
            What::Respond(respond)
            | What::StoreThenRespond(respond)
            | What::RespondThenStore(respond),
            _,
        ) => Ending::Reply(respond.into(), Pace::Whole),
        (What::Answer, Some(reply)) => Ending::Reply(reply, Pace::Whole),
        (What::GarbledAnswer, Some(reply)) => Ending::Reply(reply.garbled(), Pace::Whole),
        (What::CutAnswerAt(bytes), Some(reply)) => Ending::Reply(reply, Pace::CutAt(bytes)),
        (What::SlowDripMs(ms), Some(reply)) => {
            Ending::Reply(reply, Pace::Drip(Duration::from_millis(ms)))
        }
        (What::Silent, _) => Ending::Silence,
        (What::DropBeforeReading | What::DropBeforeStoring | What::DropAfterStoring, _)
        | (_, None) => Ending::Drop,
    }
}
