//! One row of the error table, and how it becomes a status that every client takes.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};
use tracing::Level;

use crate::grpc::metadata;

/// Domain of every `ErrorInfo`.
pub const DOMAIN: &str = "gateway.chartbrew.com";

/// Longest message, in bytes.
const MAX_MESSAGE: usize = 1024;
/// Largest set of status trailers, in bytes as sent: percent-encoding and base64 included.
/// Several clients drop a call above 8 KiB; what the layers add must fit in too.
const MAX_TRAILERS: usize = 7 * 1024;

/// A row of the table.
pub(super) struct Row {
    pub(super) code: Code,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) metadata: HashMap<String, String>,
    pub(super) violations: Vec<FieldViolation>,
    /// Violations that were found and are not in the list.
    pub(super) omitted: usize,
    pub(super) retry: Option<Duration>,
    /// Clients with a retry policy must not retry.
    pub(super) never_retry: bool,
    pub(super) upstream_status: Option<u16>,
    pub(super) level: Level,
}

/// "what: a: text; b: text".
pub(super) fn summary(what: &str, violations: &[FieldViolation]) -> String {
    let mut message = what.to_owned();
    for (index, violation) in violations.iter().enumerate() {
        message.push_str(if index == 0 { ": " } else { "; " });
        message.push_str(&violation.field);
        message.push_str(": ");
        message.push_str(&violation.description);
        if message.len() > MAX_MESSAGE {
            break;
        }
    }
    message
}

/// What the status takes in trailers, as sent.
fn trailers_size(status: &Status) -> usize {
    let mut headers = http::HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        return usize::MAX;
    }
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum()
}

fn cut(mut text: String, limit: usize) -> String {
    const MARK: &str = "…";
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - MARK.len()));
        text.push_str(MARK);
    }
    text
}

// === impl Row ===

impl Row {
    pub(super) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            violations: Vec::new(),
            omitted: 0,
            retry: None,
            never_retry: false,
            upstream_status: None,
            level: Level::INFO,
        }
    }

    /// An operator should see it: something that no caller can cause alone.
    pub(super) fn warn(mut self) -> Self {
        self.level = Level::WARN;
        self
    }

    /// An operator must act.
    pub(super) fn error(mut self) -> Self {
        self.level = Level::ERROR;
        self
    }

    pub(super) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.metadata.insert(name.to_owned(), value.to_string());
        self
    }

    pub(super) fn retry_in(mut self, wait: Duration) -> Self {
        self.retry = Some(wait);
        self
    }

    pub(super) fn violation(mut self, field: &str, description: &str) -> Self {
        self.violations
            .push(FieldViolation::new(field, description));
        self
    }

    /// The HTTP status of the response that decided, if one did.
    pub(super) fn upstream(mut self, status: impl Into<Option<u16>>) -> Self {
        self.upstream_status = status.into();
        self
    }

    /// Makes the status, with as many violations as fit into its trailers.
    pub(super) fn into_status(mut self, call_id: &str) -> Status {
        self.message = cut(self.message, MAX_MESSAGE);
        let mut status = self.status(call_id);
        while trailers_size(&status) > MAX_TRAILERS && !self.violations.is_empty() {
            let kept = self.violations.len() / 2;
            let left_out = self.violations.len() - kept;
            self.violations.truncate(kept);
            self.omitted += left_out;
            status = self.status(call_id);
        }
        if trailers_size(&status) > MAX_TRAILERS {
            // Each of its bytes may have become three in one place and four thirds in another.
            self.message = cut(self.message, MAX_MESSAGE / 2);
            status = self.status(call_id);
        }
        status
    }

    fn status(&self, call_id: &str) -> Status {
        let mut metadata = self.metadata.clone();
        if let Some(status) = self.upstream_status {
            metadata.insert("http_status".to_owned(), status.to_string());
        }
        if self.omitted > 0 {
            metadata.insert("violations_omitted".to_owned(), self.omitted.to_string());
        }
        let mut details = ErrorDetails::with_error_info(self.reason, DOMAIN, metadata);
        if !self.violations.is_empty() {
            details.set_bad_request(self.violations.clone());
        }
        if let Some(wait) = self.retry {
            details.set_retry_info(Some(wait));
        }
        details.set_request_info(call_id, "");
        let mut status = Status::with_error_details(self.code, self.message.clone(), details);
        if let Some(pushback) = self.pushback() {
            let trailers = status.metadata_mut();
            trailers.insert(metadata::RETRY_PUSHBACK, pushback.into());
        }
        status
    }

    /// What clients with a retry policy go by: they read this trailer (gRPC A6), and not
    /// `RetryInfo`. Jittered, so that many clients do not come back at once.
    fn pushback(&self) -> Option<i64> {
        if self.never_retry {
            return Some(-1);
        }
        let wait = self.retry?.mul_f64(1.0 + fastrand::f64() / 2.0);
        Some(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(1))
    }
}
