//! A request on one HTTP/1.1 connection, and what becomes of the connection then.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, TryFutureExt};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode,
    header::{CONNECTION, EXPECT},
};
use hyper::{
    body::Incoming,
    client::conn::http1::handshake,
    rt::{Read, Write},
};
use tokio::time::timeout;

use super::pool::{Pool, Sender};
use crate::chartbrew::{
    Error, NotSent, Unknown,
    transport::{
        classify::classify_send,
        send_state::{SendState, SentBody},
    },
};

/// The shortest announced timeout for which a connection is kept: more than twice
/// [`RECENTLY`](super::pool::RECENTLY).
pub(super) const LEAST_KEEP_ALIVE: Duration = Duration::from_secs(3);
/// A connection is not used in the last second before the server closes it.
const MARGIN: Duration = Duration::from_secs(1);
/// How long `100 Continue` is waited for.
pub(super) const CONTINUE_LIMIT: Duration = Duration::from_secs(1);

/// The connection that a response is being read from.
#[derive(Debug)]
pub(in crate::chartbrew::transport) struct Lease {
    pool: Arc<Pool>,
    sender: Sender,
    keep_for: Option<Duration>,
    was_used: bool,
}

/// Takes a connection that was just made.
pub(super) async fn open<T>(io: T) -> Result<Sender, Error>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(io)
        .await
        .map_err(|_| Error::NotSent(NotSent::Connect))?;
    // Not an `async` block: that would have a second place for the connection.
    tokio::spawn(connection.map(|ended| {
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to Chartbrew ended");
        }
    }));
    Ok(sender)
}

/// Sends the head, and the body when the server has said that it reads.
pub(super) async fn send_expecting(
    pool: &Pool,
    sender: &mut Sender,
    mut request: Request<SentBody>,
    state: &SendState,
) -> Result<Response<Incoming>, Error> {
    let go = request.body_mut().wait_for_go();
    let expect = HeaderValue::from_static("100-continue");
    request.headers_mut().insert(EXPECT, expect);
    let on_continue = go.clone();
    hyper::ext::on_informational(&mut request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            on_continue.give();
        }
    });
    let mut sending = std::pin::pin!(send(sender, request, state, false));
    let response = match timeout(CONTINUE_LIMIT, &mut sending).await {
        Ok(response) => response?,
        Err(_) if go.refuse() => {
            pool.note_ignores_expect();
            return Err(Error::NotSent(NotSent::Connect));
        }
        // It was given in time: the response may take as long as it likes.
        Err(_) => sending.await?,
    };
    // From here on the body stays where it is, if it was not asked for.
    let is_unread = go.refuse();
    if response.status() == StatusCode::EXPECTATION_FAILED && is_unread {
        pool.note_ignores_expect();
        return Err(Error::NotSent(NotSent::Connect));
    }
    Ok(response)
}

/// Sends the request, and returns what waits for its response. `is_new`: the connection had no
/// request before.
pub(super) fn send<'a>(
    sender: &mut Sender,
    request: Request<SentBody>,
    state: &'a SendState,
    is_new: bool,
) -> impl Future<Output = Result<Response<Incoming>, Error>> + use<'a> {
    // Not an `async fn`: that would have a place for the request, beside hyper's own.
    let response = sender.send_request(request);
    response.map_err(move |error| classify_send(&error, state, is_new))
}

/// The `timeout` that the server announces in `Keep-Alive`. `None`: it closes the connection, or does
/// not say when.
pub(super) fn announced_keep_alive(headers: &HeaderMap) -> Option<Duration> {
    if (headers.get(CONNECTION))
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
    {
        return None;
    }
    let text = headers.get("keep-alive")?.to_str().ok()?;
    let timeout = text.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim().eq_ignore_ascii_case("timeout")).then_some(value)
    });
    timeout?.trim().parse().ok().map(Duration::from_secs)
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(
        pool: Arc<Pool>,
        sender: Sender,
        response: &Response<Incoming>,
        was_used: bool,
    ) -> Self {
        let keep_for = announced_keep_alive(response.headers())
            .filter(|announced| *announced >= LEAST_KEEP_ALIVE)
            .map(|announced| announced - MARGIN);
        Self {
            pool,
            sender,
            keep_for,
            was_used,
        }
    }

    /// The response was read, as far as it was: see the outer `Lease`.
    pub(super) fn end(self, error: Option<&Error>) {
        match (error, self.keep_for) {
            (Some(Error::Unknown(Unknown::NoResponse)), _) => {
                if self.was_used {
                    self.pool.distrust();
                }
            }
            (_, Some(keep_for)) => self.pool.put(self.sender, keep_for),
            (_, None) => {}
        }
    }
}
