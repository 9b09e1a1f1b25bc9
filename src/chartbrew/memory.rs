//! What is left in the memory of this process, for the tests that secrets are overwritten.

use std::{fs::File, os::unix::fs::FileExt};

/// Whether this process has the text in a range of its memory, be it freed.
#[expect(clippy::unwrap_used, reason = "for tests alone")]
pub(super) fn has(address: u64, length: usize, text: &[u8]) -> bool {
    let mut bytes = vec![0; length];
    let memory = File::open("/proc/self/mem").unwrap();
    // Memory that was given back to the system cannot be read.
    let read = memory.read_at(&mut bytes, address).unwrap_or(0);
    bytes[..read].windows(text.len()).any(|part| part == text)
}
