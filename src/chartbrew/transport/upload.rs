//! The body of an upload, sent so that Chartbrew can take it.
//!
//! Chartbrew 5.3.0 hangs on an upload, and its whole process ends minutes later, when more of it
//! arrives than its sockets buffer while nobody reads: its middleware looks the token, the team
//! and the connection up in the database first, and by overwriting `req.connection` it keeps a
//! socket that was paused from ever being resumed. (Measured against the real server: 16 KiB
//! before the handler reads, 130 to 200 KB in one burst after that.) So a file goes out alone: a
//! small one in one piece with its head; a larger one after a pause that the lookups need; and a
//! large one then slowly, at 0.2 MB a second, so that a server that is busy elsewhere for a third
//! of a second is not overrun. With this 1 MB passed 6 of 6 times beside such a server, and
//! without it never. A server that stalls for longer than the pause may hang all the same.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use reqwest::{
    Body,
    multipart::{Form, Part},
};

use crate::chartbrew::types::{File, Files};

/// What fits Node's buffer together with the heads of the request and of the part, in bytes.
const ONE_PIECE: usize = 12 * 1024;
/// What a server needs to reach the point where it reads the body, also if it is busy.
const LOOKUPS: Duration = Duration::from_secs(1);
/// What may follow the pause at once, in bytes.
const ONE_BURST: usize = 64 * 1024;
/// A piece of a larger file, in bytes.
const PIECE: usize = 4 * 1024;
/// The pause between pieces.
const READING: Duration = Duration::from_millis(20);

/// How long sending a file takes at least. Its response cannot come sooner.
pub(in crate::chartbrew) fn sending_takes(file: &File) -> Duration {
    if file.bytes.len() <= ONE_PIECE {
        return Duration::ZERO;
    }
    let pieces = file.bytes.len().div_ceil(piece_of(file.bytes.len()));
    LOOKUPS + READING * u32::try_from(pieces).unwrap_or(u32::MAX)
}

pub(super) fn form(file: &File) -> Form {
    let length = file.bytes.len();
    let body = match length <= ONE_PIECE {
        true => Body::from(file.bytes.clone()),
        false => Body::wrap_stream(paced(file.bytes.clone())),
    };
    let part = Part::stream_with_length(body, length as u64)
        // Without a file name, Chartbrew takes the part for a text field and ignores it.
        .file_name(file.field);
    Form::new().part(file.field, part)
}

/// The settings of a test, with files. They need no pauses: the path names no connection, and
/// Chartbrew reads this body as it comes (measured with three files of 1 MB).
pub(super) fn test_form(settings: Bytes, files: &Files) -> Form {
    let length = settings.len() as u64;
    let settings = Part::stream_with_length(settings, length);
    files
        .iter()
        .fold(Form::new().part("connection", settings), |form, file| {
            let length = file.bytes.len() as u64;
            let part = Part::stream_with_length(file.bytes, length).file_name(file.field);
            form.part(file.field, part)
        })
}

/// How large the pieces of a file are, in bytes.
fn piece_of(length: usize) -> usize {
    match length <= ONE_BURST {
        true => ONE_BURST,
        false => PIECE,
    }
}

/// The bytes in pieces, each after a pause.
fn paced(bytes: Bytes) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let size = piece_of(bytes.len());
    stream::unfold((bytes, LOOKUPS), move |(mut rest, pause)| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok(piece), (rest, READING)))
    })
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_large_file_goes_out_whole_in_pieces_after_a_pause() {
        let bytes = Bytes::from_iter((0..=u8::MAX).cycle().take(ONE_BURST + PIECE + 1));
        let file = File {
            field: "sslCa",
            bytes: bytes.clone(),
        };
        let began = Instant::now();
        let mut pieces = std::pin::pin!(paced(bytes.clone()));
        let first = pieces.next().await.unwrap().unwrap();
        assert_eq!((first.len(), began.elapsed()), (PIECE, LOOKUPS));
        let rest: Vec<_> = pieces.map(|piece| piece.unwrap()).collect().await;
        assert_eq!(rest.len(), ONE_BURST / PIECE + 1);
        assert_eq!([&[first], &*rest].concat().concat(), bytes);
        assert!(began.elapsed() <= sending_takes(&file));
    }

    #[test]
    fn a_small_file_is_not_held_up() {
        let file = |length| File {
            field: "sslCa",
            bytes: Bytes::from(vec![0; length]),
        };
        assert_eq!(sending_takes(&file(ONE_PIECE)), Duration::ZERO);
        assert!(sending_takes(&file(ONE_PIECE + 1)) > LOOKUPS);
    }
}
