//! Tokens of callers: how they are made, and what is kept of them.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::crypto::ring;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// By which scanners for secrets, and people, know such a token.
const PREFIX: &str = "cbgw_";
/// Random bytes of a token: more than anybody can guess.
const RANDOM: usize = 32;

/// The SHA-256 of a token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

/// The operating system gives no random bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandomness(());

/// Makes a token: `cbgw_` and 43 characters, of which no other can be guessed.
///
/// # Errors
/// If there are no random bytes.
pub fn generate() -> Result<Zeroizing<String>, NoRandomness> {
    let mut bytes = Zeroizing::new([0; RANDOM]);
    let random = ring::default_provider().secure_random;
    random.fill(&mut *bytes).map_err(|_| NoRandomness(()))?;
    let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes));
    Ok(Zeroizing::new(format!("{PREFIX}{}", *text)))
}

// === impl TokenHash ===

impl TokenHash {
    /// The hash of a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Reads 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }
}

impl ConstantTimeEq for TokenHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        // The test vector of FIPS 180-2 for "abc".
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(TokenHash::of("abc").to_string(), text);
        assert_eq!(TokenHash::parse(text), Some(TokenHash::of("abc")));
        assert_eq!(
            TokenHash::parse(&text.to_uppercase()),
            Some(TokenHash::of("abc"))
        );
        for bad in [
            "",
            "ba78",
            &format!("{text}0"),
            &text.replace('b', "g"),
            &"ä".repeat(32),
        ] {
            assert_eq!(TokenHash::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn tokens_differ_and_can_be_sent() {
        let (one, other) = (generate().unwrap(), generate().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), PREFIX.len() + 43);
        assert!(one.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}
