//! The token of a request.
//!
//! Its memory is overwritten when the last clone of it, or of its header value, is dropped. That is
//! all that is promised: the buffers of hyper, h2 and the TLS library that it comes and goes through
//! are not overwritten, nor are the environment and the arguments of the process. So a gateway's own
//! token is better kept in a file.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

/// What comes before the token in its header. Chartbrew refuses `bearer`.
const SCHEME: &str = "Bearer ";

/// A token for Chartbrew, of a caller or of the gateway itself. `Debug` shows nothing of it. Clones
/// share its memory.
#[derive(Clone)]
pub struct Token {
    /// The scheme and the token, in memory that is overwritten when it is dropped.
    header: HeaderValue,
}

/// A token that is not valid in a header. The message does not contain the token.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a token must be visible ASCII characters, without spaces")]
pub struct InvalidToken(());

// === impl Token ===

impl Token {
    /// Takes the token alone, without a scheme.
    ///
    /// # Errors
    /// If it is empty or has characters that a token cannot have (RFC 6750 allows visible ASCII).
    pub fn parse(token: &str) -> Result<Self, InvalidToken> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken(()));
        }
        // Room for all of it from the start: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(SCHEME.len() + token.len()));
        text.extend_from_slice(SCHEME.as_bytes());
        text.extend_from_slice(token.as_bytes());
        let text = Bytes::from_owner(text);
        let mut header = HeaderValue::from_maybe_shared(text).map_err(|_| InvalidToken(()))?;
        header.set_sensitive(true);
        Ok(Self { header })
    }

    /// The `authorization` value. It shares the token's memory.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// The token itself, without a scheme.
    #[must_use]
    pub fn text(&self) -> &str {
        let header = self.header.to_str().unwrap_or_default();
        header.strip_prefix(SCHEME).unwrap_or_default()
    }

    /// Compares tokens without showing them.
    #[must_use]
    pub fn hash(&self, hasher: &impl std::hash::BuildHasher) -> u64 {
        hasher.hash_one(self.header.as_bytes())
    }

    /// Whether both are the same token.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_visible_ascii_and_never_printed() {
        for bad in ["", "a b", "a\nb", "ä", "a\u{7f}"] {
            assert!(Token::parse(bad).is_err(), "{bad:?}");
        }
        let token = Token::parse("marker.of-a_token~").unwrap();
        assert_eq!(token.header(), "Bearer marker.of-a_token~");
        assert!(token.header().is_sensitive());
        assert!(!format!("{token:?}{:?}", token.header()).contains("marker"));
    }

    #[test]
    fn clones_and_header_values_are_no_copies() {
        let token = Token::parse("marker").unwrap();
        let places = [token.clone().header(), token.header()].map(|header| {
            let place = header.as_bytes().as_ptr() as usize;
            place + SCHEME.len()
        });
        assert_eq!(places, [token.text().as_ptr() as usize; 2]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_is_left_of_it_in_memory() {
        let has_marker = |address| crate::chartbrew::memory::has(address, 600, b"marker");
        let token = Token::parse(&"marker".repeat(100)).unwrap();
        let (address, header) = (token.text().as_ptr() as u64, token.header());
        drop(token);
        assert!(has_marker(address), "the header value keeps it");
        drop(header);
        assert!(!has_marker(address));
    }
}
