//! A request to Chartbrew, before it is sent.

use std::fmt;

use bytes::Bytes;
use http::Method;

use super::{SendState, response::About};
use crate::chartbrew::types::{File, Files};

/// A request to be sent.
#[derive(Debug)]
pub(in crate::chartbrew) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) template: &'static str,
    pub(super) body: Payload,
    pub(super) about: About,
    pub(super) to_the_end: bool,
}

pub(super) enum Payload {
    None,
    /// What must not be sent twice.
    Create(Bytes, SendState),
    Json(Bytes),
    File(File),
    /// The settings of a test as JSON, and files.
    Form(Bytes, Files),
}

// === impl Call ===

impl Call {
    pub(in crate::chartbrew) fn get(path: String, template: &'static str) -> Self {
        Self::new(Method::GET, path, template, Payload::None)
    }

    pub(in crate::chartbrew) fn post(
        path: String,
        template: &'static str,
        json: Bytes,
        state: SendState,
    ) -> Self {
        Self::new(Method::POST, path, template, Payload::Create(json, state))
    }

    pub(in crate::chartbrew) fn put(path: String, template: &'static str, json: Bytes) -> Self {
        Self::new(Method::PUT, path, template, Payload::Json(json))
    }

    pub(in crate::chartbrew) fn delete(path: String, template: &'static str) -> Self {
        Self::new(Method::DELETE, path, template, Payload::None)
    }

    /// A test of settings that are not stored.
    pub(in crate::chartbrew) fn test(
        path: String,
        template: &'static str,
        json: Bytes,
        files: Files,
    ) -> Self {
        let body = match files.is_empty() {
            true => Payload::Json(json),
            false => Payload::Form(json, files),
        };
        Self {
            about: About::TestNew,
            ..Self::new(Method::POST, path, template, body)
        }
    }

    pub(in crate::chartbrew) fn file(path: String, template: &'static str, file: File) -> Self {
        Self::new(Method::POST, path, template, Payload::File(file))
    }

    pub(super) fn method_name(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            _ => "_OTHER",
        }
    }

    /// The path names a connection: a 404 is about that, not about the route, and the request is
    /// never cut off.
    pub(in crate::chartbrew) fn of_a_connection(mut self) -> Self {
        self.about = About::Connection;
        self.to_the_end = true;
        self
    }

    /// A 400 tells how the test of the connection's source failed.
    pub(in crate::chartbrew) fn of_a_test(mut self) -> Self {
        self.about = About::Test;
        self
    }

    fn new(method: Method, path: String, template: &'static str, body: Payload) -> Self {
        Self {
            method,
            path,
            template,
            body,
            about: About::Team,
            to_the_end: false,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /{}", self.method, self.path)
    }
}

/// Shows nothing of what is sent.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload")
    }
}
