//! No response of upstream's, however long, takes more than its share of memory, and none, however
//! slow, makes a clear refusal unclear.
//!
//! What is asserted is what upstream could write before the gateway hung up: the cap, and what the
//! buffers of two sockets hold.

use std::time::Duration;

use chartbrew_gateway::proto::{ConnectionFiles, CreateRequest};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, interval},
};
use tonic::Code;

use crate::support::{
    gateway::{Builder, Failure, authorized, failure, gateway, minimal, trailer, with_id},
    raw::{Peer, Raw},
};

const MIB: usize = 1024 * 1024;
/// What an upstream of this kind would write.
const ALL: usize = 1024 * MIB;
/// The cap on answers of success, in these tests.
const CAP: usize = 2 * MIB;
/// The cap on refusals, a constant of the client's.
const REFUSAL_CAP: usize = MIB;
/// What hyper reads of a head at most.
const HEAD_CAP: usize = 512 * 1024;
/// The buffers of both sockets as large as Linux makes them on loopback (4 and 6 MiB by default),
/// and hyper's.
const BUFFERS: usize = 12 * MIB;

/// What comes after the head until the connection ends or [`ALL`] is written.
#[derive(Clone, Copy, Debug)]
struct Endless {
    head: &'static str,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Text(&'static str),
    /// Chunks of [`BLOCK`] bytes.
    Chunks,
}

const ROW: &str = r#"{"id":1,"team_id":1,"name":"m","type":"mongodb"}"#;
/// What is written at a time.
const BLOCK: usize = 32 * 1024;

const LONG: Endless = Endless {
    head: "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n{\"x\":\"",
    then: Then::Text("x"),
};
const CHUNKED: Endless = Endless {
    head: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\n{\"x\":\"\r\n",
    then: Then::Chunks,
};
const LONG_REFUSAL: Endless = Endless {
    head: "HTTP/1.1 400 Bad Request\r\ncontent-length: 1073741824\r\n\r\n{\"x\":\"",
    then: Then::Text("x"),
};
const CHUNKED_REFUSAL: Endless = Endless {
    head: "HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n6\r\n{\"x\":\"\r\n",
    then: Then::Chunks,
};

impl Then {
    fn block(self) -> String {
        match self {
            Self::Text(text) => text.repeat(BLOCK / text.len()),
            Self::Chunks => format!("{BLOCK:x}\r\n{}\r\n", "x".repeat(BLOCK)),
        }
    }
}

impl Endless {
    /// Writes until nobody reads. Returns how much could be written.
    async fn write_to(self, peer: &mut Peer) -> usize {
        let block = self.then.block();
        let mut written = 0;
        let mut next = match self.head {
            "" => &block,
            head => head,
        };
        while written < ALL {
            match peer.0.write(next.as_bytes()).await {
                Ok(0) | Err(_) => break,
                Ok(n) => {
                    written += n;
                    // A block that was cut goes on where it was cut.
                    next = &next[n..];
                    if next.is_empty() {
                        next = &block;
                    }
                }
            }
        }
        written
    }
}

/// Which request gets the endless answer. The others get a right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Create,
    /// During recovery: the response to the create is lost.
    List,
    Get,
    Files,
}

impl Route {
    fn of(request: &str) -> Self {
        let path = request.split(' ').nth(1).unwrap_or_default();
        match (request.starts_with("POST"), path.ends_with("/connections")) {
            (true, true) => Self::Create,
            (true, false) => Self::Files,
            (false, true) => Self::List,
            (false, false) => Self::Get,
        }
    }
}

/// An upstream whose response to one kind of request never ends. It reports how much of each such
/// answer it could write.
async fn upstream(endless: Endless, route: Route) -> (Raw, UnboundedReceiver<usize>) {
    let (told, written) = unbounded_channel();
    let raw = Raw::start(move |peer, _| serve(peer, endless, route, told.clone())).await;
    (raw, written)
}

async fn serve(mut peer: Peer, endless: Endless, route: Route, told: UnboundedSender<usize>) {
    while let Some(request) = peer.request().await {
        let asked = Route::of(&request);
        if asked == route {
            let written = endless.write_to(&mut peer).await;
            told.send(written).unwrap_or_default();
            return;
        }
        match asked {
            Route::Create if route == Route::List => return,
            Route::List => peer.response("200 OK", "", "[]").await,
            Route::Create | Route::Get | Route::Files => peer.response("200 OK", "", ROW).await,
        }
    }
}

fn capped(upstream: &Raw) -> Builder {
    gateway(&upstream.url).with(|settings| {
        settings.chartbrew.max_response_bytes = CAP;
        settings.delivery.recovery_window = Duration::from_millis(500);
    })
}

/// Makes the call and returns its failure with what upstream wrote of each endless answer.
async fn call(endless: Endless, route: Route, request: CreateRequest) -> (Failure, Vec<usize>) {
    let (raw, mut told) = upstream(endless, route).await;
    let gateway = capped(&raw).start().await;
    if route == Route::Get {
        gateway.create(request.clone()).await.unwrap();
    }
    let failed = failure(gateway.create(request).await);
    // Every writer ends, since nobody reads.
    let mut written = vec![told.recv().await.unwrap()];
    while let Ok(more) = told.try_recv() {
        written.push(more);
    }
    (failed, written)
}

fn assert_cut_off(case: &str, written: &[usize], cap: usize) {
    for written in written {
        let limit = cap + BUFFERS;
        assert!(*written <= limit, "{case}: {written} of {limit} bytes");
    }
}

#[tokio::test]
async fn an_endless_answer_of_success_is_cut_off_at_the_cap() {
    for endless in [LONG, CHUNKED] {
        let (failed, written) = call(endless, Route::Create, minimal("m")).await;
        assert_cut_off("create", &written, CAP);
        // It said success, so the connection may exist.
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::Unknown, "OUTCOME_UNKNOWN"));
        let sent = trailer(failed.status.metadata(), "x-upstream-attempts");
        assert_eq!((sent, written.len()), (Some("1"), 1));
    }
}

#[tokio::test]
async fn the_default_cap_holds_too() {
    let (raw, mut told) = upstream(CHUNKED, Route::Create).await;
    let gateway = gateway(&raw.url).start().await;
    failure(gateway.create(minimal("m")).await);
    let written = told.recv().await.unwrap();
    assert_cut_off("create", &[written], 16 * MIB);
    assert!(written > 16 * MIB, "cut off early: {written}");
}

#[tokio::test]
async fn an_endless_refusal_is_cut_off() {
    for endless in [LONG_REFUSAL, CHUNKED_REFUSAL] {
        let (failed, written) = call(endless, Route::Create, minimal("m")).await;
        assert_cut_off("refusal", &written, REFUSAL_CAP);
        // A 400 that was not read whole may be that of a lost database.
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::Unknown, "OUTCOME_UNKNOWN"));
        assert_eq!(written.len(), 1);
    }
}

#[tokio::test]
async fn an_endless_list_is_cut_off_each_time_it_is_looked_at() {
    for endless in [LONG, CHUNKED, LONG_REFUSAL, CHUNKED_REFUSAL] {
        let (failed, written) = call(endless, Route::List, minimal("m")).await;
        assert_cut_off("list", &written, CAP);
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::Unknown, "OUTCOME_UNKNOWN"), "{endless:?}");
    }
}

#[tokio::test]
async fn an_endless_row_does_not_keep_the_caller_of_a_replay() {
    // It is read on and thrown away: cut off, it would end Chartbrew.
    for endless in [LONG, CHUNKED] {
        let (failed, _) = call(endless, Route::Get, with_id("m")).await;
        assert_eq!(failed.metadata("connection_id"), Some("1"));
        assert_ne!(failed.code, Code::Unavailable);
    }
}

#[tokio::test]
async fn an_endless_answer_to_an_upload_does_not_keep_its_caller() {
    let files = ConnectionFiles {
        ssl_ca: Some("CA".into()),
        ..ConnectionFiles::default()
    };
    let request = CreateRequest {
        files: Some(files),
        ..minimal("m")
    };
    for endless in [LONG, CHUNKED, LONG_REFUSAL, CHUNKED_REFUSAL] {
        let (failed, _) = call(endless, Route::Files, request.clone()).await;
        assert_eq!(failed.reason, "FILES_NOT_UPLOADED");
    }
}

#[tokio::test]
async fn a_head_or_a_tail_that_never_ends_is_cut_off() {
    let cases = [
        ("HTTP/1.1 200 OK\r\nx: ", "x"),
        ("HTTP/1.1 200 OK\r\n", "x: y\r\n"),
        ("HTTP/1.1 200 OK\r\n", "x"),
        ("HTTP/1.1 200 ", "O"),
        ("HTTP/1.1 400 Bad Request\r\nx: ", "x"),
        ("", "x"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
            "x",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            "x: y\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ",
            "y",
        ),
    ];
    for (head, then) in cases {
        let case = format!("{head:?} and {then:?}");
        let endless = Endless {
            head,
            then: Then::Text(then),
        };
        let (failed, written) = call(endless, Route::Create, minimal("m")).await;
        assert_cut_off(&case, &written, HEAD_CAP);
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (Code::Unknown, "OUTCOME_UNKNOWN"), "{case}");
    }
}

/// How a refusal's body comes, or does not.
#[derive(Clone, Copy, Debug)]
enum Slow {
    /// A byte now and then, for ever.
    Drip,
    /// A part, then nothing.
    Stall,
}

async fn slow(status: &'static str, how: Slow) -> Raw {
    Raw::start(move |mut peer, _| async move {
        while let Some(request) = peer.request().await {
            if Route::of(&request) == Route::List {
                peer.response("200 OK", "", "[]").await;
                continue;
            }
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: 1000\r\n\r\n{{");
            peer.write(&head).await;
            let mut ticks = interval(Duration::from_millis(20));
            let mut rest = [0; 1];
            loop {
                let tick = async {
                    match how {
                        Slow::Drip => drop(ticks.tick().await),
                        Slow::Stall => std::future::pending().await,
                    }
                };
                tokio::select! {
                    // The gateway hangs up.
                    _ = peer.0.read(&mut rest) => return,
                    () = tick => peer.write(" ").await,
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_400_whose_body_does_not_come_may_be_that_of_a_lost_database() {
    let raw = slow("400 Bad Request", Slow::Stall).await;
    let gateway = gateway(&raw.url).start().await;
    let mut request = authorized(minimal("m"));
    request.set_timeout(Duration::from_secs(2));
    let failed = failure(gateway.client.clone().create(request).await);
    let got = (failed.code, &*failed.reason);
    assert_eq!(got, (Code::DeadlineExceeded, "OUTCOME_UNKNOWN"));
}

#[tokio::test]
async fn a_refusal_whose_body_drips_is_a_refusal() {
    let cases = [
        ("401 Unauthorized", Code::Unauthenticated, "TOKEN_REJECTED"),
        ("403 Forbidden", Code::PermissionDenied, "ACCESS_DENIED"),
        ("409 Conflict", Code::AlreadyExists, "ALREADY_EXISTS"),
        ("302 Found", Code::Internal, "UPSTREAM_MISCONFIGURED"),
    ];
    let calls = cases
        .into_iter()
        .flat_map(|case| [(case, Slow::Drip), (case, Slow::Stall)]);
    let calls = calls.map(|((status, code, reason), how)| async move {
        let raw = slow(status, how).await;
        let gateway = gateway(&raw.url).start().await;
        let mut request = authorized(minimal("m"));
        request.set_timeout(Duration::from_secs(30));
        let began = Instant::now();
        let failed = failure(gateway.client.clone().create(request).await);
        let got = (failed.code, &*failed.reason);
        assert_eq!(got, (code, reason), "{status}, {how:?}");
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{status}, {how:?}"
        );
        assert_eq!(raw.connections(), 1, "{status}, {how:?}");
    });
    futures_util::future::join_all(calls).await;
}
