//! Chartbrew's REST API as typed calls: one method an endpoint.
//!
//! `delivery` calls it once for each attempt. An [`Error`] says what is *known about the outcome*;
//! from that `delivery` decides whether another attempt is safe. This module never retries, follows
//! no redirect, and logs nothing that upstream sent. A request whose path names a connection always
//! runs to its end, even if its caller stops waiting.
//!
//! The facts it relies on (responses, limits, the keep-alive race) were measured against
//! Chartbrew 5.3.0; the crate `chartbrew-sandbox` replays them.

mod error;
#[cfg(all(test, target_os = "linux"))]
mod memory;
mod plaintext;
mod rejection;
mod token;
mod transport;
pub mod types;

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::IgnoredAny;
use url::Url;

pub use self::{
    error::{Error, NotSent, Unknown},
    plaintext::{Plaintext, check_plaintext},
    rejection::{FieldError, Problem, Rejection},
    token::{InvalidToken, Token},
    transport::{Dated, InvalidClient, SendState, check_url},
};
use self::{
    transport::{Call, Transport},
    types::{
        Changes, Connection, ConnectionList, ConnectionRef, Elements, File, NewTest, Page,
        PageReader, PageRequest, Tested, Unreadable, names,
    },
};
use crate::{crypto, tls};

/// The size from which on a file is over the limit of Chartbrew's upload library. It answers such
/// an upload with 500 in place of 413.
const FILE_LIMIT: usize = 1_048_576;

/// How the client reaches Chartbrew.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The URL of Chartbrew's API, with or without a trailing slash.
    pub url: Url,
    /// Whether tokens and passwords may go to another machine without TLS.
    pub allow_plaintext: bool,
    /// Whom TLS trusts, and the certificate that the gateway shows.
    pub tls: tls::client::Settings,
    /// Longest time to connect, including name resolution and TLS.
    pub connect_timeout: Duration,
    /// How long an idle connection is kept at most. It should be shorter than the 5 s after which
    /// Chartbrew closes it: a request on a connection that is just being closed fails (hyper issue
    /// 2136). Only what can be repeated is affected: uploads use fresh connections, and
    /// creates also keep to what the server announces, or use HTTP/2 where it is offered.
    pub idle_timeout: Duration,
    /// Largest response that is read, in bytes. The response to a create contains the whole schema
    /// of a database that Chartbrew can reach.
    pub max_response_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            #[expect(clippy::expect_used, reason = "a constant, parsed by a test")]
            url: Url::parse("https://api.chartbrew.com").expect("a valid URL"),
            allow_plaintext: false,
            tls: tls::client::Settings::default(),
            connect_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(4),
            max_response_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Client for one Chartbrew. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    /// Also the largest row of a list.
    max_response_bytes: usize,
}

/// The paths with names for their parts, as telemetry records them.
const CONNECTIONS: &str = "/team/{team_id}/connections";
const CONNECTION: &str = "/team/{team_id}/connections/{connection_id}";
const FILES: &str = "/team/{team_id}/connections/{connection_id}/files";
const TEST: &str = "/team/{team_id}/connections/{connection_id}/test";
const TEST_NEW: &str = "/team/{team_id}/connections/{type}/test";
const TEST_NEW_FILES: &str = "/team/{team_id}/connections/{type}/test/files";

fn path_of(connection: ConnectionRef) -> String {
    let ConnectionRef { team, id } = connection;
    format!("team/{team}/connections/{id}")
}

// === impl Client ===

impl Client {
    /// Sets up the client. Does not connect. The files of TLS are read again once in
    /// `reload_interval`.
    ///
    /// # Errors
    /// If the URL cannot be a base, or is one without TLS where that is not allowed, or a file of TLS
    /// cannot be used, or the authorities of the system cannot be read.
    ///
    /// # Panics
    /// If there are files of TLS, outside a tokio runtime.
    pub fn new(settings: &Settings, reload_interval: Duration) -> Result<Self, InvalidClient> {
        crypto::install_provider();
        Ok(Self {
            transport: Transport::new(settings, reload_interval)?,
            max_response_bytes: settings.max_response_bytes,
        })
    }

    /// `POST /team/{team}/connections`, with a body made by [`types`]. `state` shows when the body
    /// is begun, and keeps it from being sent.
    ///
    /// # Errors
    /// See [`Error`]; after [`Error::Unknown`] the connection may exist.
    pub async fn create(
        &self,
        token: &Token,
        team: i32,
        json: Bytes,
        state: SendState,
    ) -> Result<Dated<Box<Connection>>, Error> {
        let path = format!("team/{team}/connections");
        let call = Call::post(path, CONNECTIONS, json, state);
        self.transport
            .send(token, call)
            .await?
            .read(|json| Connection::from_json(json).map(Box::new))
    }

    /// `GET /team/{team}/connections`: newest first, without passwords and schemas. Of rows that are
    /// older than `no_older_than` by the server's clock nothing is kept.
    ///
    /// # Errors
    /// See [`Error`]; always safe to repeat.
    pub async fn list(
        &self,
        token: &Token,
        team: i32,
        no_older_than: Duration,
    ) -> Result<Dated<ConnectionList>, Error> {
        let mut list = ConnectionList::default();
        let since = |date: Option<Timestamp>| {
            let now = date.unwrap_or_else(Timestamp::now);
            now.saturating_sub(no_older_than).unwrap_or(Timestamp::MIN)
        };
        let max = self.max_response_bytes;
        let date = self
            .read_list(token, team, |date, row| list.take(row, since(date), max))
            .await?;
        Ok(Dated { body: list, date })
    }

    /// One page of `GET /team/{team}/connections`. No more of the list is kept than the page, and
    /// no more of it is read than the page needs.
    ///
    /// # Errors
    /// See [`Error`]; always safe to repeat.
    pub async fn page(
        &self,
        token: &Token,
        team: i32,
        request: PageRequest,
    ) -> Result<Page, Error> {
        let mut page = PageReader::new(request);
        let max = self.max_response_bytes;
        self.read_list(token, team, |_, row| {
            let needs_more = page.take(row);
            match page.bytes() > max {
                true => Err(Unreadable::TooLarge),
                false => Ok(needs_more),
            }
        })
        .await?;
        Ok(page.finish())
    }

    /// Reads a team's list and gives each element of it to `each`, until that says that it needs no
    /// more. Only one element is kept at a time.
    async fn read_list(
        &self,
        token: &Token,
        team: i32,
        mut each: impl FnMut(Option<Timestamp>, &[u8]) -> Result<bool, Unreadable>,
    ) -> Result<Option<Timestamp>, Error> {
        let call = Call::get(format!("team/{team}/connections"), CONNECTIONS);
        let mut elements = Elements::default();
        let mut needs_more = true;
        let take = |date: Option<Timestamp>, bytes: &[u8]| {
            needs_more = elements.push(bytes, self.max_response_bytes, |row| each(date, row))?;
            Ok(needs_more)
        };
        let date = self.transport.send_for_pieces(token, call, take).await?;
        if needs_more {
            let cut_short = |_| Error::Unknown(Unknown::Unreadable);
            elements.finish().map_err(cut_short)?;
        }
        Ok(date)
    }

    /// `GET /team/{team}/connections/{id}`.
    ///
    /// # Errors
    /// See [`Error`]; always safe to repeat.
    pub async fn get(
        &self,
        token: &Token,
        connection: ConnectionRef,
    ) -> Result<Dated<Connection>, Error> {
        let call = Call::get(path_of(connection), CONNECTION).of_a_connection();
        self.transport
            .send(token, call)
            .await?
            .read(Connection::from_json)
    }

    /// `PUT /team/{team}/connections/{id}`: changes the fields of the body and returns the row.
    ///
    /// # Errors
    /// See [`Error`]; the same change twice is as good as once.
    pub async fn update(
        &self,
        token: &Token,
        connection: ConnectionRef,
        changes: &Changes,
    ) -> Result<Connection, Error> {
        let call = Call::put(path_of(connection), CONNECTION, changes.json.clone());
        let response = self.transport.send(token, call.of_a_connection()).await?;
        Ok(response.read(Connection::from_json)?.body)
    }

    /// `DELETE /team/{team}/connections/{id}`, with `removeDatasets` only if they are to be
    /// deleted: Chartbrew takes `removeDatasets=false` for true.
    ///
    /// # Errors
    /// See [`Error`]. A second deletion is a [`Rejection::ConnectionNotFound`].
    pub async fn delete(
        &self,
        token: &Token,
        connection: ConnectionRef,
        remove_datasets: bool,
    ) -> Result<(), Error> {
        let query = match remove_datasets {
            true => "?removeDatasets=true",
            false => "",
        };
        let call = Call::delete(path_of(connection) + query, CONNECTION).of_a_connection();
        let response = self.transport.send(token, call).await?;
        response.read(|json| Ok(serde_json::from_slice::<IgnoredAny>(json)?))?;
        Ok(())
    }

    /// `GET /team/{team}/connections/{id}/test`: lets Chartbrew connect to the source.
    ///
    /// # Errors
    /// See [`Error`]; always safe to repeat. A test that fails is no error.
    pub async fn test(&self, token: &Token, connection: ConnectionRef) -> Result<Tested, Error> {
        let call = Call::get(path_of(connection) + "/test", TEST);
        let call = call.of_a_connection().of_a_test();
        self.transport.send(token, call).await?.read_test(false)
    }

    /// `POST /team/{team}/connections/{type}/test`, or `…/test/files`: the same for settings that
    /// are not stored. It may be cut off.
    ///
    /// # Errors
    /// See [`Error`]; always safe to repeat. A test that fails is no error.
    pub async fn test_new(&self, token: &Token, test: &NewTest) -> Result<Tested, Error> {
        let (team, kind) = (test.team, test.settings.kind);
        let (rest, template) = match test.files.is_empty() {
            true => ("", TEST_NEW),
            false => ("/files", TEST_NEW_FILES),
        };
        let path = format!("team/{team}/connections/{kind}/test{rest}");
        let call = Call::test(path, template, test.json.clone(), test.files.clone());
        let response = self.transport.send(token, call).await?;
        response.read_test(kind == names::API)
    }

    /// `POST /team/{team}/connections/{id}/files`: uploads one file to an existing connection and
    /// returns its row. At most 1,048,576 bytes; a larger one is never answered.
    ///
    /// # Errors
    /// See [`Error`]. A file replaces the one before it, so repeating is safe.
    pub async fn upload(
        &self,
        token: &Token,
        connection: ConnectionRef,
        file: File,
    ) -> Result<Dated<Connection>, Error> {
        let path = path_of(connection) + "/files";
        let length = file.bytes.len();
        let call = Call::file(path, FILES, file).of_a_connection();
        match self.transport.send(token, call).await {
            Err(Error::Unknown(Unknown::ServerError(500))) if length >= FILE_LIMIT => {
                Err(Error::Rejected(Rejection::TooLarge))
            }
            result => result?.read(Connection::from_json),
        }
    }

    /// How long sending a file takes: see [`Client::upload`]. Its response cannot come sooner.
    #[must_use]
    pub fn sending_takes(file: &File) -> Duration {
        transport::sending_takes(file)
    }

    /// Waits until Chartbrew has responded to every request that must not be cut off. Begin none
    /// afterwards.
    pub async fn finish(&self) {
        self.transport.finish().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_settings_are_valid() {
        let settings = Settings::default();
        assert_eq!(settings.url.as_str(), "https://api.chartbrew.com/");
        assert!(settings.idle_timeout < Duration::from_secs(5));
    }
}
