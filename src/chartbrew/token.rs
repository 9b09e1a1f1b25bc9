//! The token of a request.

use std::fmt;

use http::HeaderValue;

/// A token for Chartbrew, of a caller or of the gateway itself. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Token {
    /// `Bearer` and the token.
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
        let mut header =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| InvalidToken(()))?;
        header.set_sensitive(true);
        Ok(Self { header })
    }

    /// The `authorization` value. Always `Bearer`: Chartbrew refuses `bearer`.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// The token itself, without a scheme.
    #[must_use]
    pub fn text(&self) -> &str {
        let header = self.header.to_str().unwrap_or_default();
        header.strip_prefix("Bearer ").unwrap_or_default()
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
}
