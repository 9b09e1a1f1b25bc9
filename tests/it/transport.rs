//! What the client says of an outcome, held against sockets that do what they like.
//!
//! `NotSent` only where no byte of the request can have been read; everything after the first byte
//! is `Unknown`, unless a whole response says otherwise. And nothing below sends twice.

mod certificates;
mod http2;
mod tls;

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chartbrew_gateway::chartbrew::{
    Client, Error, NotSent, Rejection, SendState, Settings, Token, Unknown, types::Connection,
};
use tokio::io::AsyncReadExt;

use crate::support::raw::{Peer, Raw, nobody};

const BODY: &[u8] = br#"{"name":"n","type":"mongodb","team_id":1}"#;
const ROW: &str = r#"{"id":7,"name":"n","type":"mongodb","team_id":1}"#;

fn client(url: &str) -> Client {
    client_with(&Settings {
        url: url.parse().unwrap(),
        connect_timeout: Duration::from_millis(500),
        ..Settings::default()
    })
}

fn client_with(settings: &Settings) -> Client {
    Client::new(settings, Duration::MAX).unwrap()
}

async fn create(url: &str) -> Result<Connection, Error> {
    create_with(&client(url)).await
}

async fn create_with(client: &Client) -> Result<Connection, Error> {
    let token = Token::parse("t").unwrap();
    let response = client
        .create(&token, 1, Bytes::from_static(BODY), SendState::default())
        .await;
    response.map(|response| *response.body)
}

/// Sends one create to the script; says what it was told and how many connections it took.
async fn against<F>(script: impl Fn(Peer) -> F + Send + Sync + 'static) -> (String, usize)
where
    F: Future<Output = ()> + Send + 'static,
{
    let raw = Raw::start(move |peer, _| script(peer)).await;
    let result = create(&raw.url).await;
    let told = match result {
        Ok(row) => format!("row {}", row.id),
        Err(error) => format!("{error:?}"),
    };
    (told, raw.connections())
}

fn not_sent(cause: NotSent) -> String {
    format!("{:?}", Error::NotSent(cause))
}

fn unknown(cause: Unknown) -> String {
    format!("{:?}", Error::Unknown(cause))
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let told = create(&nobody().await).await.unwrap_err();
    assert_eq!(format!("{told:?}"), not_sent(NotSent::Connect));
}

#[tokio::test]
async fn a_name_without_an_address_is_not_sent() {
    // A label of 64 characters: no resolver sends a query for it.
    let client = client_with(&Settings {
        url: format!("http://{}/", "a".repeat(64)).parse().unwrap(),
        allow_plaintext: true,
        ..Settings::default()
    });
    let told = create_with(&client).await.unwrap_err();
    assert!(
        matches!(told, Error::NotSent(NotSent::Dns | NotSent::Request)),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_connection_that_nobody_accepts_in_time_is_not_sent() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    // Fill the queue, until a connection is left waiting.
    let mut waiting = Vec::new();
    let limit = Duration::from_millis(100);
    while let Ok(Ok(stream)) =
        tokio::time::timeout(limit, tokio::net::TcpStream::connect(addr)).await
    {
        waiting.push(stream);
    }
    let told = create(&format!("http://{addr}")).await.unwrap_err();
    assert_eq!(format!("{told:?}"), not_sent(NotSent::ConnectTimeout));
    assert!(NotSent::ConnectTimeout.is_transient());
}

#[tokio::test]
async fn failed_tls_is_not_sent_and_not_retried() {
    let raw = Raw::start(|mut peer, _| async move { peer.write("not TLS").await }).await;
    let told = create(&raw.url.replace("http:", "https:"))
        .await
        .unwrap_err();
    assert_eq!(format!("{told:?}"), not_sent(NotSent::Tls));
    assert!(!NotSent::Tls.is_transient());
}

#[tokio::test]
async fn once_a_byte_may_have_been_read_the_outcome_is_unknown() {
    let no_answer = unknown(Unknown::NoResponse);
    // hyper may learn of the end before it takes the request up, which then was not sent.
    let either = [no_answer.clone(), not_sent(NotSent::Connect)];
    let (told, connections) = against(|peer| async move { drop(peer) }).await;
    assert!(
        either.contains(&told) && connections == 1,
        "closed unread: {told}"
    );
    let (told, connections) = against(async |peer| peer.reset()).await;
    assert!(
        either.contains(&told) && connections == 1,
        "reset unread: {told}"
    );

    for part in [1, 100, 400] {
        let (told, connections) = against(move |mut peer| async move {
            let mut bytes = vec![0; part];
            let _ = peer.0.read(&mut bytes).await;
            peer.reset();
        })
        .await;
        assert_eq!(
            (told, connections),
            (no_answer.clone(), 1),
            "reset after up to {part} bytes"
        );
    }

    for response in [
        "HTTP",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"id\":7",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/2.0 what\r\n\r\n",
        "\r\n\r\n",
    ] {
        let (told, connections) = against(move |mut peer| async move {
            peer.request().await;
            peer.write(response).await;
        })
        .await;
        assert_eq!((told, connections), (no_answer.clone(), 1), "{response:?}");
    }
}

#[tokio::test]
async fn a_whole_response_says_what_is_known() {
    let rejected = |rejection: Rejection| format!("{:?}", Error::Rejected(rejection));
    let cases = [
        ("200 OK", ROW, "row 7".to_owned()),
        ("201 Created", ROW, "row 7".to_owned()),
        ("200 OK", "<html>", unknown(Unknown::NotJson)),
        (
            "200 OK\r\ncontent-type: application/json",
            "{\"id\":null}",
            unknown(Unknown::Unreadable),
        ),
        (
            "200 OK\r\ncontent-type: Application/JSON; charset=utf-8",
            "{",
            unknown(Unknown::Unreadable),
        ),
        ("204 No Content", "", unknown(Unknown::NotJson)),
        (
            "500 Oops\r\ncontent-security-policy: default-src 'none'\r\nx-content-type-options: nosniff",
            "",
            unknown(Unknown::ServerError(500)),
        ),
        ("500 Oops", "", unknown(Unknown::GatewayError(500))),
        ("408 Late", "", unknown(Unknown::GatewayError(408))),
        ("522 What", "", unknown(Unknown::GatewayError(522))),
        ("502 Bad Gateway", "", unknown(Unknown::GatewayError(502))),
        (
            "504 Gateway Timeout",
            "",
            unknown(Unknown::GatewayError(504)),
        ),
        ("503 Not Now", "", unknown(Unknown::GatewayError(503))),
        (
            "503 Not Now\r\nretry-after: 7",
            "no healthy upstream",
            rejected(Rejection::NotForwarded(Some(Duration::from_secs(7)))),
        ),
        ("429 Slow Down", "", rejected(Rejection::RateLimited(None))),
        ("401 No", "", rejected(Rejection::TokenRejected)),
    ];
    for (status, body, expected) in cases {
        let (told, connections) = against(move |mut peer| async move {
            peer.request().await;
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
            peer.write(&(head + body)).await;
        })
        .await;
        assert_eq!((told, connections), (expected, 1), "{status} {body}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        let (told, connections) = against(move |mut peer| async move {
            peer.request().await;
            let head = "location: /elsewhere\r\ncontent-length: 0\r\n";
            peer.write(&format!("HTTP/1.1 {status}\r\n{head}\r\n"))
                .await;
        })
        .await;
        let code: u16 = status[..3].parse().unwrap();
        assert_eq!(
            told,
            format!("{:?}", Error::Rejected(Rejection::NotTheApi(code)))
        );
        assert_eq!(connections, 1, "{status}");
    }
}

/// Serves creates, and notes of each whether it asks before it sends its body.
async fn serves_creates(headers: &'static str, seen: Arc<Mutex<Vec<bool>>>) -> Raw {
    Raw::start(move |mut peer, _| {
        let seen = seen.clone();
        async move {
            while let Some(head) = peer.head().await {
                let asks = head.contains("expect: 100-continue");
                if asks {
                    peer.write("HTTP/1.1 100 Continue\r\n\r\n").await;
                }
                if peer.body(BODY.len()).await.is_none() {
                    return;
                }
                seen.lock().unwrap().push(asks);
                peer.response("200 OK", headers, ROW).await;
                if headers.contains("close") {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn creates_share_a_connection_only_if_the_server_announces_to_keep_it() {
    // (what it says, how many connections three creates take)
    let cases = [
        ("keep-alive: timeout=5\r\n", 1),
        ("keep-alive: max=100, Timeout=5\r\n", 1),
        ("", 3),
        // The next request could come just when it is closed.
        ("keep-alive: timeout=2\r\n", 3),
        ("keep-alive: timeout=soon\r\n", 3),
        ("keep-alive: timeout=5\r\nconnection: close\r\n", 3),
    ];
    for (headers, connections) in cases {
        let raw = serves_creates(headers, Arc::default()).await;
        let client = client(&raw.url);
        for _ in 0..3 {
            create_with(&client).await.unwrap();
        }
        assert_eq!(raw.connections(), connections, "{headers:?}");
    }
}

#[tokio::test]
async fn a_server_is_asked_before_the_body_is_sent_until_it_is_trusted() {
    let seen = Arc::default();
    let raw = serves_creates("keep-alive: timeout=5\r\n", Arc::clone(&seen)).await;
    let client = client(&raw.url);
    for _ in 0..14 {
        create_with(&client).await.unwrap();
    }
    assert_eq!(raw.connections(), 1);
    let expected = [vec![false], vec![true; 10], vec![false; 3]].concat();
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// What the server does when it is asked on the second request of its first connection. The body
/// goes out once in any case.
#[tokio::test]
async fn a_server_that_does_not_say_that_it_reads_gets_a_fresh_connection() {
    #[derive(Clone, Copy, Debug)]
    enum Asked {
        Closes,
        Ignores,
        Refuses,
    }
    for asked in [Asked::Closes, Asked::Ignores, Asked::Refuses] {
        let bodies = Arc::new(AtomicUsize::new(0));
        let seen = bodies.clone();
        let raw = Raw::start(move |mut peer, _| {
            let seen = seen.clone();
            async move {
                while let Some(head) = peer.head().await {
                    match (asked, head.contains("expect: 100-continue")) {
                        (Asked::Closes, true) => return,
                        (Asked::Refuses, true) => {
                            peer.response("417 Expectation Failed", "", "").await;
                            return;
                        }
                        (Asked::Ignores, _) | (_, false) => {}
                    }
                    if peer.body(BODY.len()).await.is_none() {
                        return;
                    }
                    seen.fetch_add(1, Ordering::SeqCst);
                    let headers = "keep-alive: timeout=5\r\n";
                    peer.response("200 OK", headers, ROW).await;
                }
            }
        })
        .await;
        let client = client(&raw.url);
        create_with(&client).await.unwrap();
        create_with(&client).await.unwrap();
        assert_eq!(raw.connections(), 2, "{asked:?}");
        assert_eq!(bodies.load(Ordering::SeqCst), 2, "{asked:?}");
    }
}

#[tokio::test]
async fn a_response_that_is_lost_on_a_used_connection_is_not_sent_for_again() {
    let bodies = Arc::new(AtomicUsize::new(0));
    let seen = bodies.clone();
    let raw = Raw::start(move |mut peer, _| {
        let seen = seen.clone();
        async move {
            while let Some(head) = peer.head().await {
                if head.contains("expect: 100-continue") {
                    peer.write("HTTP/1.1 100 Continue\r\n\r\n").await;
                }
                if peer.body(BODY.len()).await.is_none() || seen.fetch_add(1, Ordering::SeqCst) == 1
                {
                    return;
                }
                peer.response("200 OK", "keep-alive: timeout=5\r\n", ROW)
                    .await;
            }
        }
    })
    .await;
    let client = client(&raw.url);
    create_with(&client).await.unwrap();
    let lost = create_with(&client).await.unwrap_err();
    assert_eq!(format!("{lost:?}"), unknown(Unknown::NoResponse));
    assert_eq!((raw.connections(), bodies.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn after_a_loss_a_server_is_asked_for_a_minute() {
    const LOST: usize = 12;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let raw = Raw::start(move |mut peer, number| {
        let notes = notes.clone();
        async move {
            while let Some(head) = peer.head().await {
                let asks = head.contains("expect: 100-continue");
                if asks {
                    peer.write("HTTP/1.1 100 Continue\r\n\r\n").await;
                }
                if peer.body(BODY.len()).await.is_none() {
                    return;
                }
                let before = {
                    let mut notes = notes.lock().unwrap();
                    notes.push((number, asks));
                    notes.len() - 1
                };
                if before == LOST {
                    return;
                }
                peer.response("200 OK", "keep-alive: timeout=5\r\n", ROW)
                    .await;
            }
        }
    })
    .await;
    let client = client(&raw.url);
    for _ in 0..LOST {
        create_with(&client).await.unwrap();
    }
    let lost = create_with(&client).await.unwrap_err();
    assert_eq!(format!("{lost:?}"), unknown(Unknown::NoResponse));
    for _ in 0..12 {
        create_with(&client).await.unwrap();
    }
    pass(Duration::from_secs(58)).await;
    for _ in 0..2 {
        create_with(&client).await.unwrap();
    }
    pass(Duration::from_secs(2)).await;
    for _ in 0..2 {
        create_with(&client).await.unwrap();
    }
    let expected = [
        // Trusted when ten connections were kept; the last one is lost.
        vec![(0, false)],
        vec![(0, true); 10],
        vec![(0, false); 2],
        // Asked although as many are kept.
        vec![(1, false)],
        vec![(1, true); 11],
        // Not used again after such a time.
        vec![(2, false), (2, true)],
        // The minute is over; the first of these was idle for too long to be sure.
        vec![(2, true), (2, false)],
    ];
    assert_eq!(*seen.lock().unwrap(), expected.concat());
}

/// Lets this time pass at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn lists_share_a_connection_and_creates_have_their_own() {
    let raw = Raw::start(|mut peer, _| async move {
        while let Some(request) = peer.request().await {
            let body = if request.starts_with("GET") {
                "[]"
            } else {
                ROW
            };
            let length = body.len();
            peer.write(&format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
            ))
            .await;
        }
    })
    .await;
    let (client, token) = (client(&raw.url), Token::parse("t").unwrap());
    for _ in 0..3 {
        client
            .list(&token, 1, std::time::Duration::MAX)
            .await
            .unwrap();
    }
    assert_eq!(raw.connections(), 1);
    for _ in 0..3 {
        client
            .create(&token, 1, Bytes::from_static(BODY), SendState::default())
            .await
            .unwrap();
    }
    assert_eq!(raw.connections(), 4);
}

#[tokio::test]
async fn a_pooled_connection_that_died_while_idle_costs_a_list_nothing() {
    let raw = Raw::start(|mut peer, _| async move {
        peer.request().await;
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]")
            .await;
    })
    .await;
    let (client, token) = (client(&raw.url), Token::parse("t").unwrap());
    for n in 1..=3 {
        client
            .list(&token, 1, std::time::Duration::MAX)
            .await
            .unwrap();
        assert_eq!(raw.connections(), n);
        // The server's FIN has been sent; let it be seen.
        tokio::task::yield_now().await;
    }
}
