//! Follows the frames of an HTTP/2 connection, to know whether its peer has sent them whole.
//!
//! Only lengths, types and one flag are looked at (RFC 9113, 3.4 and 4.1); whether the frames are
//! valid is checked by the HTTP library.

/// The client's connection preface.
const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;
/// Types of the frames that make up a header block.
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
/// Flag of the frame that ends one.
const END_HEADERS: u8 = 0x4;

/// How far a client has come.
#[derive(Debug)]
pub(super) struct Framing {
    /// Bytes to come of the preface or of a frame's payload.
    left: usize,
    head: [u8; FRAME_HEAD],
    /// Bytes of `head` that have come.
    filled: usize,
    /// The preface and a first frame have come.
    has_begun: bool,
    in_header_block: bool,
}

// === impl Framing ===

impl Default for Framing {
    fn default() -> Self {
        Self {
            left: PREFACE,
            head: [0; FRAME_HEAD],
            filled: 0,
            has_begun: false,
            in_header_block: false,
        }
    }
}

impl Framing {
    /// Whether the client owes nothing: it has begun, no frame and no header block is incomplete.
    pub(super) fn is_complete(&self) -> bool {
        self.has_begun && self.left == 0 && self.filled == 0 && !self.in_header_block
    }

    /// Takes what has come.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (FRAME_HEAD - self.filled).min(bytes.len());
            let (head, rest) = bytes.split_at(taken);
            self.head[self.filled..self.filled + taken].copy_from_slice(head);
            self.filled += taken;
            bytes = rest;
            if self.filled == FRAME_HEAD {
                self.begin_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.filled = 0;
        self.has_begun = true;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_header_block = flags & END_HEADERS == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&head[..], &vec![7; payload]].concat()
    }

    #[test]
    fn a_client_owes_the_rest_of_what_it_has_begun() {
        const SETTINGS: u8 = 0x4;
        const DATA: u8 = 0x0;
        // (what comes, whether the client owes nothing after it)
        let script = [
            (vec![b'x'; PREFACE], false),
            (frame(SETTINGS, 0, 0), true),
            (frame(HEADERS, END_HEADERS, 300), true),
            (frame(DATA, 0, 70_000), true),
            (frame(HEADERS, 0, 10), false),
            (frame(CONTINUATION, 0, 10), false),
            (frame(CONTINUATION, END_HEADERS, 0), true),
        ];
        for piece in [1, 5, 9, 1_000, usize::MAX] {
            let mut framing = Framing::default();
            assert!(!framing.is_complete());
            for (bytes, complete) in &script {
                let (last, before) = bytes.split_last().unwrap();
                for part in before.chunks(piece) {
                    framing.feed(part);
                    assert!(!framing.is_complete());
                }
                framing.feed(&[*last]);
                assert_eq!(framing.is_complete(), *complete);
            }
        }
    }
}
