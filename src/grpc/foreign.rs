//! Statuses that are not ours: what tonic refuses before a handler sees it.
//!
//! A message that is too large or cannot be decoded, an unknown method: they get an `ErrorInfo` like
//! every other failure, and the code that the table has for them.

use http::Response;
use tonic::{Code, Status, body::Body};

use super::{call_record::CallRecord, status::Context};

/// Explains a refusal by tonic. All other responses stay as they are.
pub(super) fn explain(response: Response<Body>, record: &CallRecord) -> Response<Body> {
    // Only a response without a message has its status in the headers.
    let refusal = Status::from_header_map(response.headers())
        .filter(|status| status.details().is_empty() && status.code() != Code::Ok);
    match refusal {
        Some(refusal) => {
            let context = Context::new(record);
            let status = match record.message_refusal() {
                Some(refused) => context.message_refused(refused),
                None => context.refused_by_tonic(&refusal),
            };
            status.into_http()
        }
        None => response,
    }
}
