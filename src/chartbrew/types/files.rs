//! The parts of `POST …/connections/{id}/files`.

use std::fmt;

use bytes::Bytes;

use super::names;

/// Files to upload to one connection: up to four, each field at most once (Chartbrew refuses a
/// field given twice).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// CA certificate, PEM.
    pub ssl_ca: Option<Bytes>,
    /// Client certificate, PEM.
    pub ssl_cert: Option<Bytes>,
    /// Key of the client certificate, PEM.
    pub ssl_key: Option<Bytes>,
    /// Private key of the SSH tunnel.
    pub ssh_private_key: Option<Bytes>,
}

/// One part of the upload.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// The multipart field, by its REST name. Chartbrew refuses any other.
    pub field: &'static str,
    /// The content, as it came. Cheap to clone.
    pub bytes: Bytes,
}

// === impl Files ===

impl Files {
    /// Whether there is nothing to upload. An upload without parts is a 400 upstream: do not send
    /// one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The parts that are there, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = File> + '_ {
        [
            (names::SSL_CA, &self.ssl_ca),
            (names::SSL_CERT, &self.ssl_cert),
            (names::SSL_KEY, &self.ssl_key),
            (names::SSH_PRIVATE_KEY, &self.ssh_private_key),
        ]
        .into_iter()
        .filter_map(|(field, bytes)| bytes.clone().map(|bytes| File { field, bytes }))
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

// === impl File ===

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("field", &self.field)
            .field("len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
