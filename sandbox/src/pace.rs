//! The bodies of responses: sent whole, byte by byte, or not to their end.

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;

use super::{cut_off::CutOff, work::Pace};

/// The connection is to be closed without a response, or before its end.
#[derive(Debug, thiserror::Error)]
#[error("closed on purpose")]
pub(super) struct Dropped;

/// A response's body.
pub(super) type Body = UnsyncBoxBody<Bytes, Dropped>;

/// A body that is sent in this way. Its request counts as cut off if the body is dropped before
/// the last byte of it was taken.
pub(super) fn paced(body: Bytes, pace: Pace, mut cut_off: CutOff) -> Body {
    let mut left = body.len();
    if left == 0 || matches!(pace, Pace::CutAt(_)) {
        cut_off.disarm();
    }
    let taken = move |frame: Frame<Bytes>| {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            cut_off.disarm();
        }
        frame
    };
    unwatched(body, pace).map_frame(taken).boxed_unsync()
}

fn unwatched(body: Bytes, pace: Pace) -> Body {
    match pace {
        Pace::Whole => Full::new(body)
            .map_err(|never| match never {})
            .boxed_unsync(),
        Pace::CutAt(bytes) => {
            let part = body.slice(..bytes.min(body.len()));
            let stages = [Some(part), None];
            let stream = stream::unfold(stages.into_iter(), |mut stages| async move {
                match stages.next()? {
                    Some(part) => Some((Ok(Frame::data(part)), stages)),
                    None => {
                        // Lets hyper send what it has before the error makes it give up.
                        tokio::task::yield_now().await;
                        Some((Err(Dropped), stages))
                    }
                }
            });
            StreamBody::new(stream).boxed_unsync()
        }
        Pace::Drip(delay) => {
            let stream = stream::unfold(body, move |mut left| async move {
                if left.is_empty() {
                    return None;
                }
                tokio::time::sleep(delay).await;
                let byte = left.split_to(1);
                Some((Ok(Frame::data(byte)), left))
            });
            StreamBody::new(stream).boxed_unsync()
        }
    }
}
