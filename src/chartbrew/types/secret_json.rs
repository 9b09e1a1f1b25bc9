//! JSON with secrets in it, as bytes that are overwritten when they are dropped.
//!
//! That is all that is promised. Not overwritten are the decoded message and the values that the
//! JSON is made from, rows and responses, and the copies that hyper, h2 and the TLS library make on
//! the way out.

use std::io;

use bytes::Bytes;
use serde::Serialize;
use zeroize::Zeroizing;

/// Enough for most connections, in bytes.
const ROOM: usize = 512;

/// Writes a value as JSON. The bytes are overwritten when the last clone is dropped.
///
/// # Errors
/// As [`serde_json::to_vec`].
pub fn secret_json(value: &impl Serialize) -> Result<Bytes, serde_json::Error> {
    let mut writer = Writer(Zeroizing::new(Vec::with_capacity(ROOM)));
    serde_json::to_writer(&mut writer, value)?;
    Ok(Bytes::from_owner(writer.0))
}

struct Writer(Zeroizing<Vec<u8>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            // A vector that grows by itself leaves its old memory as it was.
            let mut larger = Vec::with_capacity(needed.max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes).map(drop)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_os = "linux")]
    use crate::chartbrew::memory;

    #[test]
    fn it_is_the_same_json() {
        let value = vec!["\"ä\u{1F511}".repeat(50); 100];
        let json = secret_json(&value).unwrap();
        assert_eq!(json, serde_json::to_vec(&value).unwrap());
        assert!(json.len() > 10 * ROOM);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_is_left_of_it_in_memory() {
        let secret = "marker".repeat(ROOM);
        let json = secret_json(&secret).unwrap();
        let sent = json.clone();
        let (address, length) = (json.as_ptr() as u64, json.len());
        drop(json);
        assert!(memory::has(address, length, b"marker"), "a clone keeps it");
        drop(sent);
        assert!(!memory::has(address, length, b"marker"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_is_left_of_what_it_has_outgrown() {
        let mut writer = Writer(Zeroizing::new(Vec::with_capacity(ROOM)));
        io::Write::write_all(&mut writer, "marker".repeat(ROOM / 6).as_bytes()).unwrap();
        let (address, length) = (writer.0.as_ptr() as u64, writer.0.len());
        io::Write::write_all(&mut writer, &[b'x'; ROOM]).unwrap();
        assert_ne!(writer.0.as_ptr() as u64, address);
        assert!(!memory::has(address, length, b"marker"));
    }
}
