//! The requests → what goes upstream, or everything that is wrong with them.

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::{
    check::Check,
    limits::Limits,
    page_token,
    violations::{Violations, brief},
};
use crate::{
    chartbrew::types::{
        self, ConnectionRef, Create, CreateBody, Files, NewConnection, NewTest, PageRequest,
    },
    proto::{self, ConnectionView},
};

/// Connections of a page, if the caller does not say.
const PAGE_SIZE: i32 = 100;
/// Connections of a page at most.
const MAX_PAGE_SIZE: i32 = 1_000;

/// Checks and maps a request.
///
/// # Errors
///
/// [`Violations`], all of them at once, in the order of the contract's fields.
pub fn create(request: proto::CreateRequest, limits: &Limits) -> Result<Create, Violations> {
    let proto::CreateRequest {
        team_id,
        connection,
        request_id,
        files,
    } = request;
    let mut check = Check::new(limits);
    check.team(team_id);
    let new = check.new_connection(team_id, connection);
    let request_id = request_id.and_then(|id| check.request_id(&id));
    let files = check.files(files);
    let (new, json) = check.finish(new)?;
    Ok(Create {
        team: team_id,
        body: CreateBody::new(new, json),
        request_id,
        files,
    })
}

/// The same for [`proto::GetRequest`].
///
/// # Errors
/// As [`create`].
pub fn get(request: &proto::GetRequest) -> Result<(ConnectionRef, ConnectionView), Violations> {
    let limits = Limits::default();
    let mut check = Check::new(&limits);
    let connection = check.connection_ref(request.team_id, request.connection_id);
    let view = check.view(request.view);
    check.finish(Some((connection, view)))
}

/// The same for [`proto::ListRequest`]: which page of which team, and how much of its rows.
///
/// # Errors
/// As [`create`].
pub fn list(
    request: &proto::ListRequest,
) -> Result<(i32, PageRequest, ConnectionView), Violations> {
    let limits = Limits::default();
    let mut check = Check::new(&limits);
    let team = request.team_id;
    check.team(team);
    let page = PageRequest {
        size: check.page_size(request.page_size),
        after: check.page_token(team, &request.page_token),
    };
    let view = check.view(request.view);
    check.finish(Some((team, page, view)))
}

/// The same for [`proto::DeleteRequest`].
///
/// # Errors
/// As [`create`].
pub fn delete(request: &proto::DeleteRequest) -> Result<ConnectionRef, Violations> {
    only_connection(request.team_id, request.connection_id)
}

/// The same for [`proto::TestRequest`].
///
/// # Errors
/// As [`create`].
pub fn test(request: &proto::TestRequest) -> Result<ConnectionRef, Violations> {
    only_connection(request.team_id, request.connection_id)
}

/// The same for [`proto::TestNewRequest`].
///
/// # Errors
/// As [`create`].
pub fn test_new(request: proto::TestNewRequest, limits: &Limits) -> Result<NewTest, Violations> {
    let mut check = Check::new(limits);
    let team = request.team_id;
    check.team(team);
    let new = check.new_connection(team, request.connection);
    let files = check.files(request.files);
    let (new, json) = check.finish(new)?;
    Ok(NewTest {
        team,
        settings: Box::new(new),
        json,
        files,
    })
}

/// The same for [`proto::UploadFilesRequest`]. There is at least one file.
///
/// # Errors
/// As [`create`].
pub fn upload_files(
    request: proto::UploadFilesRequest,
    limits: &Limits,
) -> Result<(ConnectionRef, Files), Violations> {
    let mut check = Check::new(limits);
    let connection = check.connection_ref(request.team_id, request.connection_id);
    let files = check.files(request.files);
    if files.is_empty() {
        check.invalid("files", "is required: at least one file to upload");
    }
    check.finish(Some((connection, files)))
}

fn only_connection(team_id: i32, connection_id: i32) -> Result<ConnectionRef, Violations> {
    let limits = Limits::default();
    let mut check = Check::new(&limits);
    let connection = check.connection_ref(team_id, connection_id);
    check.finish(Some(connection))
}

// === impl Check ===

impl Check<'_> {
    pub(super) fn team(&mut self, id: i32) {
        if id <= 0 {
            self.invalid("team_id", "is required: the id of a team, greater than 0");
        }
    }

    pub(super) fn connection_ref(&mut self, team: i32, id: i32) -> ConnectionRef {
        self.team(team);
        if id <= 0 {
            let why = "is required: the id of a connection, greater than 0";
            self.invalid("connection_id", why);
        }
        ConnectionRef { team, id }
    }

    /// A connection that is not stored, and its JSON.
    fn new_connection(
        &mut self,
        team: i32,
        message: Option<Box<proto::NewConnection>>,
    ) -> Option<(NewConnection, Bytes)> {
        let Some(message) = message else {
            self.invalid("connection", "is required: the settings of the connection");
            return None;
        };
        let new = self.connection(team, *message);
        let json = self.body(&new)?;
        Some((new, json))
    }

    fn view(&mut self, number: i32) -> ConnectionView {
        let view = ConnectionView::try_from(number);
        view.unwrap_or_else(|_| {
            let why = "is no value of the enum: use CONNECTION_VIEW_BASIC or CONNECTION_VIEW_FULL";
            self.invalid("view", format!("{number} {why}"));
            ConnectionView::Basic
        })
    }

    fn page_size(&mut self, size: i32) -> usize {
        if !(0..=MAX_PAGE_SIZE).contains(&size) {
            let why = format!("must be 1 to {MAX_PAGE_SIZE}, or 0 for {PAGE_SIZE}; it is {size}");
            self.invalid("page_size", why);
        }
        let size = if size == 0 { PAGE_SIZE } else { size };
        usize::try_from(size).unwrap_or_default()
    }

    fn page_token(&mut self, team: i32, token: &str) -> Option<types::Position> {
        if token.is_empty() {
            return None;
        }
        let position = page_token::read(team, token);
        if position.is_none() {
            let why = "is not a next_page_token of this team; leave it unset to get the first page";
            self.invalid("page_token", why);
        }
        position
    }

    /// Serialises what goes upstream.
    pub(super) fn body(&mut self, body: &impl Serialize) -> Option<Bytes> {
        let Ok(json) = types::secret_json(body) else {
            self.invalid("connection", "cannot be written as JSON");
            return None;
        };
        let (bytes, max) = (json.len(), self.limits.body_bytes);
        if bytes > max {
            self.violations.too_large(
                "connection",
                format!("takes {bytes} bytes as JSON: Chartbrew takes at most {max}"),
            );
        }
        Some(json)
    }

    fn files(&mut self, message: Option<proto::ConnectionFiles>) -> Files {
        let message = message.unwrap_or_default();
        let files = Files {
            ssl_ca: message.ssl_ca,
            ssl_cert: message.ssl_cert,
            ssl_key: message.ssl_key,
            ssh_private_key: message.ssh_private_key,
        };
        let max = self.limits.file_bytes;
        for file in files.iter() {
            let field = types::field(file.field).and_then(|field| field.path);
            let field = field.unwrap_or("files");
            let bytes = file.bytes.len();
            if bytes == 0 {
                self.invalid(
                    field,
                    "is empty: leave it unset, or give the file's content",
                );
            } else if bytes > max {
                self.violations.too_large(
                    field,
                    format!("has {bytes} bytes: Chartbrew takes at most {max} in a file"),
                );
            }
        }
        files
    }

    /// The nil UUID is refused (AIP-155): it is what a client sends that forgot to make one.
    fn request_id(&mut self, id: &str) -> Option<Uuid> {
        let parsed = Uuid::try_parse(id).ok().filter(|id| !id.is_nil());
        if parsed.is_none() {
            self.invalid(
                "request_id",
                format!(
                    "must be a UUID made for this creation, and not the nil UUID; it is {}",
                    brief(id)
                ),
            );
        }
        parsed
    }
}
