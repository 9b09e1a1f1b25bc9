//! Where the server is, and how long things take.

use std::{fmt, time::Duration};

use ::redis::{ConnectionInfo, IntoConnectionInfo};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::delivery::request_id::{InvalidStore, RETENTION, StoreError};

/// A Redis or Valkey server. `Debug` shows neither user nor password.
#[derive(Clone)]
pub struct RedisSettings {
    url: SecretString,
    /// The URL without what is secret.
    shown: String,
    times: Times,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Limit of one operation, whatever it waits for. Default 500 ms.
    pub(super) operation: Duration,
    /// Limit of one attempt to connect. Default 1 s; goes on behind an operation that gave up.
    pub(super) connect: Duration,
    /// A claim that its holder has not renewed for that long is free: its process has died, or is
    /// cut off. Default 15 s.
    pub(super) lease: Duration,
    /// How long a record is kept after it was last changed. Default [`RETENTION`].
    pub(super) retention: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            operation: Duration::from_millis(500),
            connect: Duration::from_secs(1),
            lease: Duration::from_secs(15),
            retention: RETENTION,
        }
    }
}

// === impl RedisSettings ===

impl RedisSettings {
    /// Reads `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidStore> {
        let mut url = Url::parse(text).map_err(|_| InvalidStore("it is no URL"))?;
        if !matches!(url.scheme(), "redis" | "rediss") {
            return Err(InvalidStore("its scheme is another"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(InvalidStore("it has no host"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidStore("it must not have a query or a fragment"));
        }
        // It may be a password in the wrong place, and would be used as neither.
        if !url.username().is_empty() && url.password().is_none() {
            return Err(InvalidStore("it has a user and no password"));
        }
        // What the client makes of it: the database must be a number, and the like.
        let understood = url.clone().into_connection_info();
        understood.map_err(|_| InvalidStore("its host or its database cannot be used"))?;
        let secret = SecretString::from(url.to_string());
        let hidden = url.set_username("").and_then(|()| url.set_password(None));
        hidden.map_err(|()| InvalidStore("its user cannot be read"))?;
        Ok(Self {
            url: secret,
            shown: url.to_string(),
            times: Times::default(),
        })
    }

    /// Another lease than 15 s.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.times.lease = lease;
        self
    }

    /// Another retention than [`RETENTION`].
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.times.retention = retention;
        self
    }

    /// Another limit of an operation than 500 ms.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.times.operation = timeout;
        self
    }

    pub(super) fn times(&self) -> Times {
        self.times
    }

    pub(super) fn connection_info(&self) -> Result<ConnectionInfo, StoreError> {
        let info = self.url.expose_secret().into_connection_info();
        info.map_err(|_| StoreError::Unavailable("its URL cannot be used".to_owned()))
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url: _,
            shown,
            times,
        } = self;
        f.debug_struct("RedisSettings")
            .field("url", shown)
            .field("times", times)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_or_refused_without_being_repeated() {
        let cases = [
            ("redis://h", true),
            ("redis://h:1/2", true),
            ("redis://[::1]:1", true),
            ("rediss://user:marker@h:1/2", true),
            ("redis://:marker@h", true),
            ("redis://marker@h", false),
            ("redis://u:marker@h/zero", false),
            ("redis://u:marker@h?protocol=resp3", false),
            ("rediss://u:marker@h#insecure", false),
            ("redis://u:marker@0.0.0.0", false),
            ("redis://", false),
            ("redis:///1", false),
            ("redis+unix:///marker", false),
            ("http://u:marker@h", false),
            ("marker", false),
            ("", false),
        ];
        for (text, taken) in cases {
            let parsed = RedisSettings::parse(text);
            let shown = match &parsed {
                Ok(settings) => format!("{settings:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(parsed.is_ok(), taken, "{text}: {shown}");
            assert!(!shown.contains("marker"), "{text}: {shown}");
        }
    }
}
