//! Uploads: the four fields that take a file, and the file that is never answered.

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
    let Ok(files) = parts(headers, body).await else {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Upload::Refused(Reply::page(status, "Internal Server Error"));
    };
    if files.iter().any(|(_, bytes)| *bytes > MOST_BYTES) {
        return Upload::Silence;
    }
    if files.is_empty() {
        return refused("No files were uploaded");
    }
    let mut paths = Values::new();
    for (field, _) in files {
        let path = format!(".connectionFiles/{}", Uuid::new_v4().simple());
        let known = FILE_FIELDS.contains(&field.as_str());
        if !known || paths.insert(field, path.into()).is_some() {
            return refused("Invalid connection file field");
        }
    }
    Upload::Files(paths)
}

fn refused(error: &str) -> Upload {
    let body = json!({ "error": error });
    Upload::Refused(Reply::json(StatusCode::BAD_REQUEST, &body))
}

/// Every file's field and size. A body that is no multipart has no files.
async fn parts(headers: &HeaderMap, body: &Bytes) -> Result<Vec<(String, usize)>, multer::Error> {
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
    let mut files = Vec::new();
    while let Some(field) = multipart.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        let binary = field
            .content_type()
            .is_some_and(|t| *t == "application/octet-stream");
        let is_file = field.file_name().is_some() || binary;
        let bytes = field.bytes().await?;
        if is_file {
            files.push((name, bytes.len()));
        }
    }
    Ok(files)
}
