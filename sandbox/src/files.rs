//! Uploads: the four fields that take a file, the file that is never answered, and the connection
//! that is sent with its files to be tested.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use uuid::Uuid;

use super::{
    model::{FILE_FIELDS, Values},
    reply::Reply,
};

/// The most bytes that a file may have. The real server accepts a larger one, never answers, and
/// crashes when the client then hangs up; the sandbox only never answers.
const MOST_BYTES: usize = 1024 * 1024;

/// One part of a multipart body.
struct Part {
    /// The field's name.
    field: String,
    /// Whether it is a file, not text.
    is_file: bool,
    bytes: Bytes,
}

/// What came of reading an upload.
pub(super) enum Upload {
    /// The path of every file, by field.
    Files(Values),
    /// This is the response.
    Refused(Reply),
    /// There is no response, ever.
    Silence,
}

/// Reads an upload.
pub(super) async fn read(headers: &HeaderMap, body: &Bytes) -> Upload {
    let Ok(parts) = parts(headers, body).await else {
        return Upload::Refused(unreadable());
    };
    let files = || parts.iter().filter(|part| part.is_file);
    if files().any(|file| file.bytes.len() > MOST_BYTES) {
        return Upload::Silence;
    }
    if files().next().is_none() {
        return refused("No files were uploaded");
    }
    let mut paths = Values::new();
    for Part { field, .. } in files() {
        let path = format!(".connectionFiles/{}", Uuid::new_v4().simple());
        let known = FILE_FIELDS.contains(&field.as_str());
        if !known || paths.insert(field.clone(), path.into()).is_some() {
            return refused("Invalid connection file field");
        }
    }
    Upload::Files(paths)
}

/// Reads the connection that is to be tested with the files sent beside it: JSON in the field
/// `connection`.
///
/// # Errors
/// The server's response if there is none.
pub(super) async fn connection(headers: &HeaderMap, body: &Bytes) -> Result<Values, Reply> {
    let parts = parts(headers, body).await.map_err(|_| unreadable())?;
    let sent = parts.iter().find(|p| !p.is_file && p.field == "connection");
    sent.and_then(|part| serde_json::from_slice(&part.bytes).ok())
        .ok_or_else(|| Reply::text(StatusCode::BAD_REQUEST, "Invalid connection parameters"))
}

fn unreadable() -> Reply {
    Reply::page(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

fn refused(error: &str) -> Upload {
    let body = json!({ "error": error });
    Upload::Refused(Reply::json(StatusCode::BAD_REQUEST, &body))
}

/// Every part. A body that is no multipart has none.
async fn parts(headers: &HeaderMap, body: &Bytes) -> Result<Vec<Part>, multer::Error> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .filter(|v| v.starts_with("multipart/"));
    let Some(content_type) = content_type else {
        return Ok(Vec::new());
    };
    let boundary = multer::parse_boundary(content_type)?;
    if body.starts_with(format!("--{boundary}--").as_bytes()) {
        return Ok(Vec::new());
    }
    let body = body.clone();
    let stream = futures_util::stream::once(async { Ok::<_, Infallible>(body) });
    let mut multipart = multer::Multipart::new(stream, boundary);
    let mut parts = Vec::new();
    while let Some(field) = multipart.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let binary = field
            .content_type()
            .is_some_and(|t| *t == "application/octet-stream");
        let is_file = field.file_name().is_some() || binary;
        parts.push(Part {
            field: name,
            is_file,
            bytes: field.bytes().await?,
        });
    }
    Ok(parts)
}
