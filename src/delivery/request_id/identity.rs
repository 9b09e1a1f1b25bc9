//! The names of a request in the store: hashes, from which the store learns nothing.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::chartbrew::types::Create;

/// The name of a record: a hash of upstream, team and request id.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

/// A hash of the request, keyed with the request id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// The names that a request with an id goes by.
#[derive(Clone)]
pub struct Identity {
    /// The record's name.
    pub key: Key,
    /// What was asked.
    pub fingerprint: Fingerprint,
}

/// A hash in text.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl Key ===

impl Key {
    /// A key for a request without an id: like no other.
    #[must_use]
    pub fn unique() -> Self {
        Self(Sha256::digest(Uuid::new_v4()).into())
    }
}

// === impl Identity ===

impl Identity {
    /// Derives both names.
    #[must_use]
    pub fn new(upstream: &str, request_id: Uuid, create: &Create) -> Self {
        let mut key = Sha256::new();
        // Each part has a fixed length or is the last: no two different inputs look alike.
        key.update(request_id.as_bytes());
        key.update(create.team.to_be_bytes());
        key.update(upstream.as_bytes());

        let mut request = hmac(request_id.as_bytes());
        update_with_length(&mut request, create.body.json());
        for file in create.files.iter() {
            update_with_length(&mut request, file.field.as_bytes());
            update_with_length(&mut request, &file.bytes);
        }
        Self {
            key: Key(key.finalize().into()),
            fingerprint: Fingerprint(request.finalize().into_bytes().into()),
        }
    }
}

fn hmac(key: &[u8; 16]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block[..16].copy_from_slice(key);
    // A key of exactly one block, which HMAC takes as it is.
    Hmac::new(&block.into())
}

fn update_with_length(mac: &mut Hmac<Sha256>, bytes: &[u8]) {
    mac.update(&(bytes.len() as u64).to_be_bytes());
    mac.update(bytes);
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

// === impl Key ===

impl Key {
    pub(super) fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    pub(super) fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}
