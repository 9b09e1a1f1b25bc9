//! Creates over HTTP/2: one connection for all of them, and no row twice when the server refuses,
//! closes or dies.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use chartbrew_sandbox::{Handle, TOKEN};
use futures_util::{FutureExt, future::join_all};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Notify;

use crate::support::{
    gateway::{authorized, failure, gateway, minimal, sandbox, trailer, with_id},
    http2::{Http2, store},
    process::Process,
    raw::Raw,
    time::soon,
    tls::{TlsUpstream, pass_on, speaks_http2},
    wire::{CANCEL, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM},
};

const BOTH: [&str; 2] = ["h2", "http/1.1"];
/// How long a lost response is looked for in these tests.
const WINDOW: (&str, &str) = ("GATEWAY_RECOVERY_WINDOW", "300ms");

/// An upstream before the sandbox. Creates come over HTTP/2 and go to the script, with the number
/// of their connection from 0; all other requests are passed on.
async fn upstream<F>(
    sandbox: &Handle,
    script: impl Fn(Http2, usize) -> F + Send + Sync + 'static,
) -> TlsUpstream
where
    F: Future<Output = ()> + Send + 'static,
{
    let addr = sandbox.addr();
    let script = Arc::new(script);
    let made = Arc::new(Mutex::new(0));
    TlsUpstream::start(&BOTH, move |stream, _| {
        let (script, made) = (script.clone(), made.clone());
        async move {
            if !speaks_http2(&stream) {
                return pass_on(stream, addr).await;
            }
            let number = {
                let mut made = made.lock().unwrap();
                *made += 1;
                *made - 1
            };
            script(Http2::accept(stream).await, number).await;
        }
    })
    .await
}

async fn create(gateway: &Process, name: &str) -> i32 {
    let response = soon(gateway.create(authorized(minimal(name)))).await;
    response.unwrap().get_ref().connection.as_ref().unwrap().id
}

#[tokio::test]
async fn an_upstream_that_offers_http2_gets_all_creates_on_one_connection() {
    let sandbox = sandbox().await;
    let addr = sandbox.addr();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = seen.clone();
    let upstream = TlsUpstream::start(&BOTH, move |stream, _| {
        let requests = requests.clone();
        let respond = service_fn(move |request: Request<Incoming>| {
            let requests = requests.clone();
            async move {
                let (head, body) = request.into_parts();
                requests.lock().unwrap().push(head);
                let row = store(addr, &body.collect().await?.to_bytes()).await;
                let response = Response::builder().header("content-type", "application/json");
                Ok::<_, hyper::Error>(response.body(Full::<bytes::Bytes>::from(row)).unwrap())
            }
        });
        async move {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let served = server.serve_connection(TokioIo::new(stream), respond);
            drop(served.await);
        }
    })
    .await;
    let gateway = upstream.gateway(&[]).await;
    // The first ones all at once, when there is no connection yet.
    let names: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    join_all(names.iter().map(|name| create(&gateway, name))).await;
    for _ in 0..10 {
        create(&gateway, "one after the other").await;
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(sandbox.rows(1).len(), 30);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 30);
    for head in seen.iter() {
        assert_eq!(head.version, Version::HTTP_2);
        let uri = format!("{}/team/1/connections", upstream.url);
        assert_eq!(head.uri.to_string(), uri);
        let token = head.headers["authorization"].to_str().unwrap();
        assert_eq!(token, format!("Bearer {TOKEN}"));
        for name in [
            "host",
            "connection",
            "keep-alive",
            "expect",
            "transfer-encoding",
        ] {
            assert!(!head.headers.contains_key(name), "{name}");
        }
    }
}

#[tokio::test]
async fn what_is_spoken_is_for_the_upstream_to_choose() {
    let cases = [
        (["h2"].as_slice(), true),
        (&["http/1.1"], false),
        (&["h2", "http/1.1"], true),
        (&["http/1.1", "h2"], false),
        (&[], false),
    ];
    for (alpn, is_http2) in cases {
        let sandbox = sandbox().await;
        let addr = sandbox.addr();
        let upstream = TlsUpstream::start(alpn, move |stream, _| async move {
            assert_eq!(speaks_http2(&stream), is_http2);
            match is_http2 {
                true => Http2::accept(stream).await.serve_all(addr).await,
                false => pass_on(stream, addr).await,
            }
        })
        .await;
        let gateway = upstream.gateway(&[]).await;
        for n in 0..3 {
            create(&gateway, &n.to_string()).await;
        }
        assert_eq!(upstream.connections(), 1, "{alpn:?}");
        assert_eq!(sandbox.rows(1).len(), 3, "{alpn:?}");
    }
}

#[tokio::test]
async fn what_is_under_way_completes_after_a_goaway_that_includes_it() {
    let sandbox = sandbox().await;
    let addr = sandbox.addr();
    let upstream = upstream(&sandbox, move |mut http2, number| async move {
        if number > 0 {
            return http2.serve_all(addr).await;
        }
        let mut requests = Vec::new();
        for _ in 0..3 {
            requests.push(http2.request().await.unwrap());
        }
        let last = requests.iter().map(|(id, _)| *id).max().unwrap();
        http2.go_away(last).await;
        for (id, body) in requests {
            http2.serve(addr, id, &body).await;
        }
        // The gateway ends the connection when the last response is there.
        http2.serve_all(addr).await;
    })
    .await;
    let gateway = upstream.gateway(&[]).await;
    join_all(["a", "b", "c"].map(|name| create(&gateway, name))).await;
    assert_eq!(upstream.connections(), 1);
    create(&gateway, "d").await;
    assert_eq!(upstream.connections(), 2);
    assert_eq!(sandbox.rows(1).len(), 4);
}

#[tokio::test]
async fn what_was_left_out_is_sent_again_and_makes_one_row() {
    // (how many connections leave it out, how many attempts there are in the end): the shared one is
    // replaced at once, and a fresh one is a failed attempt.
    for (refusing, attempts) in [(1, "1"), (2, "2")] {
        let sandbox = sandbox().await;
        let addr = sandbox.addr();
        let upstream = upstream(&sandbox, move |mut http2, number| async move {
            let mut last = 0;
            if number == 0 {
                let (id, body) = http2.request().await.unwrap();
                http2.serve(addr, id, &body).await;
                last = id;
            }
            while let Some((id, body)) = http2.request().await {
                match number < refusing {
                    true => http2.go_away(last).await,
                    false => http2.serve(addr, id, &body).await,
                }
            }
        })
        .await;
        let gateway = upstream.gateway(&[]).await;
        create(&gateway, "before").await;
        let response = soon(gateway.create(authorized(minimal("m"))))
            .await
            .unwrap();
        assert_eq!(
            trailer(response.metadata(), "x-upstream-attempts"),
            Some(attempts)
        );
        assert_eq!(trailer(response.metadata(), "x-outcome"), None);
        assert_eq!(upstream.connections(), refusing + 1);
        assert_eq!(sandbox.rows(1).len(), 2);
    }
}

#[tokio::test]
async fn what_is_always_left_out_was_not_created() {
    let sandbox = sandbox().await;
    let upstream = upstream(&sandbox, |mut http2, _| async move {
        while http2.request().await.is_some() {
            http2.go_away(0).await;
        }
    })
    .await;
    let gateway = upstream.gateway(&[]).await;
    let failed = failure(soon(gateway.create(authorized(minimal("m")))).await);
    assert_eq!(failed.reason, "UPSTREAM_UNAVAILABLE");
    let message = failed.status.message();
    assert!(message.contains("refused the request"), "{message}");
    assert!(message.contains("nothing was created"), "{message}");
    assert_eq!(sandbox.rows(1).len(), 0);
}

#[tokio::test]
async fn what_a_goaway_leaves_out_is_sent_again_and_makes_one_row() {
    let sandbox = sandbox().await;
    let addr = sandbox.addr();
    let upstream = upstream(&sandbox, move |mut http2, number| async move {
        if number > 0 {
            return http2.serve_all(addr).await;
        }
        let requests = [
            http2.request().await.unwrap(),
            http2.request().await.unwrap(),
        ];
        let first = requests.into_iter().min().unwrap();
        http2.go_away(first.0).await;
        http2.serve(addr, first.0, &first.1).await;
        http2.serve_all(addr).await;
    })
    .await;
    let gateway = upstream.gateway(&[]).await;
    join_all(["a", "b"].map(|name| create(&gateway, name))).await;
    assert_eq!(upstream.connections(), 2);
    let mut names: Vec<_> = sandbox
        .rows(1)
        .iter()
        .map(|row| row["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "b"]);
}

/// How a stream ends without proof that its request was not processed.
#[derive(Clone, Copy, Debug)]
enum End {
    Reset(u32),
    /// With a GOAWAY that includes the stream.
    GoAway,
    /// Without a word.
    Cut,
}

#[tokio::test]
async fn what_may_have_been_processed_is_not_sent_again() {
    let ends = [
        End::Reset(INTERNAL_ERROR),
        End::Reset(CANCEL),
        End::Reset(NO_ERROR),
        // HAProxy resets so what it has forwarded.
        End::Reset(REFUSED_STREAM),
        End::GoAway,
        End::Cut,
    ];
    for (end, is_stored) in ends.iter().flat_map(|end| [(*end, false), (*end, true)]) {
        let sandbox = sandbox().await;
        let addr = sandbox.addr();
        let bodies = Arc::new(Mutex::new(0));
        let seen = bodies.clone();
        let upstream = upstream(&sandbox, move |mut http2, _| {
            let seen = seen.clone();
            async move {
                while let Some((id, body)) = http2.request().await {
                    *seen.lock().unwrap() += 1;
                    if is_stored {
                        store(addr, &body).await;
                    }
                    match end {
                        End::Reset(code) => http2.reset(id, code).await,
                        End::GoAway => {
                            http2.go_away(id).await;
                            return http2.close().await;
                        }
                        End::Cut => return,
                    }
                }
            }
        })
        .await;
        let gateway = upstream.gateway(&[WINDOW]).await;
        let result = soon(gateway.create(authorized(minimal("m")))).await;
        match is_stored {
            true => {
                let response = result.unwrap();
                let outcome = trailer(response.metadata(), "x-outcome");
                assert_eq!(outcome, Some("recovered"), "{end:?}");
            }
            false => assert_eq!(failure(result).reason, "OUTCOME_UNKNOWN", "{end:?}"),
        }
        assert_eq!(*bodies.lock().unwrap(), 1, "{end:?}");
        assert_eq!(sandbox.rows(1).len(), usize::from(is_stored), "{end:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ended_while_idle_is_replaced() {
    for says_goodbye in [true, false] {
        let sandbox = sandbox().await;
        let addr = sandbox.addr();
        let closed = Arc::new(Notify::new());
        let notify = closed.clone();
        let upstream = upstream(&sandbox, move |mut http2, _| {
            let notify = notify.clone();
            async move {
                let (id, body) = http2.request().await.unwrap();
                http2.serve(addr, id, &body).await;
                if says_goodbye {
                    http2.go_away(id).await;
                }
                http2.close().await;
                notify.notify_one();
            }
        })
        .await;
        let gateway = upstream.gateway(&[]).await;
        for n in 1..=3 {
            let response = soon(gateway.create(authorized(minimal("m")))).await;
            let response = response.unwrap();
            let attempts = trailer(response.metadata(), "x-upstream-attempts");
            assert_eq!(attempts, Some("1"));
            soon(closed.notified()).await;
            assert_eq!(upstream.connections(), n);
        }
        assert_eq!(sandbox.rows(1).len(), 3);
    }
}

/// A stream that the server does not allow yet is waited for, and the deadline ends the wait.
#[tokio::test]
async fn a_request_that_got_no_stream_in_time_is_never_sent() {
    let sandbox = sandbox().await;
    let addr = sandbox.addr();
    let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (notify, wait) = (reached.clone(), go_on.clone());
    let upstream = upstream(&sandbox, move |mut http2, _| {
        let (notify, wait) = (notify.clone(), wait.clone());
        async move {
            http2.limit_streams(1).await;
            let (id, body) = http2.request().await.unwrap();
            http2.serve(addr, id, &body).await;
            let (id, body) = http2.request().await.unwrap();
            notify.notify_one();
            wait.notified().await;
            http2.serve(addr, id, &body).await;
            // The stream is there, and the requests that waited for it are not sent any more.
            http2.serve_all(addr).await;
        }
    })
    .await;
    let gateway = upstream.gateway(&[]).await;
    create(&gateway, "the limit is known from here on").await;
    let holds = create(&gateway, "holds the stream");
    let waits = async {
        soon(reached.notified()).await;
        let message = with_id("waits");
        // The first one holds its request id no longer than it waits.
        for _ in 0..2 {
            let mut request = authorized(message.clone());
            request.set_timeout(Duration::from_millis(200));
            let failed = failure(gateway.create(request).await);
            let told = failed.status.message();
            assert!(told.contains("nothing was created"), "{told}");
        }
        go_on.notify_one();
    };
    tokio::join!(holds, waits);
    create(&gateway, "after it").await;
    assert_eq!(sandbox.rows(1).len(), 3);
    assert_eq!(upstream.connections(), 1);
}

/// The creates that wait for the connection share its failure: one after the other, they would wait
/// for as many timeouts.
#[tokio::test]
async fn creates_that_wait_for_a_connection_fail_with_it() {
    let (raw, _) = Raw::without_tls_handshake().await;
    let gateway = gateway(&raw.url)
        .with(|settings| {
            settings.chartbrew.connect_timeout = Duration::from_millis(500);
            settings.delivery.attempts = 1;
        })
        .start()
        .await;
    let creates = (0..50).map(|n| gateway.create(minimal(&n.to_string())).boxed());
    for result in soon(join_all(creates)).await {
        assert_eq!(failure(result).reason, "UPSTREAM_UNAVAILABLE");
    }
    // Some may come when the first ones have failed.
    assert!(raw.connections() < 10, "{}", raw.connections());
}
