//! Repeats calls. tonic repeats none by itself.

use std::{error::Error, iter, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Request, Response, Status, TimeoutExpired};
use tonic_types::StatusExt;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How calls are repeated.
pub(crate) struct Retries {
    /// The longest time of a call, its repetitions included.
    pub(crate) timeout: Duration,
}

impl Retries {
    /// Calls, and calls again after UNAVAILABLE as long as the deadline allows. UNAVAILABLE can also mean
    /// that the connection broke after the request was sent, so a request that must not be carried out
    /// twice is not repeatable.
    pub(crate) async fn call<Message: Clone, Reply>(
        &self,
        is_repeatable: bool,
        message: Message,
        attempt: impl AsyncFn(Request<Message>) -> Result<Response<Reply>, Status>,
    ) -> Result<Reply, Status> {
        let deadline = Instant::now() + self.timeout;
        let mut backoff = FIRST_WAIT;
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            let status = match timeout_at(deadline, attempt(request)).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => with_usual_code(status),
                Err(_) => Status::deadline_exceeded("no response before the deadline"),
            };
            if !is_repeatable || status.code() != Code::Unavailable {
                return Err(status);
            }
            let wait = match asked_wait(&status) {
                Wait::Never => return Err(status),
                Wait::For(wait) => wait.max(FIRST_WAIT),
                Wait::NotSaid => backoff.mul_f64(0.5 + 0.5 * fastrand::f64()),
            };
            if Instant::now() + wait >= deadline {
                return Err(status);
            }
            sleep(wait).await;
            eprintln!(
                "repeated after {:.1} s: {}",
                wait.as_secs_f64(),
                name(status.code())
            );
            backoff = (backoff * 2).min(LONGEST_WAIT);
        }
    }
}

/// How long a status asks to wait before the call is repeated.
enum Wait {
    /// It is not to be repeated.
    Never,
    For(Duration),
    NotSaid,
}

fn asked_wait(status: &Status) -> Wait {
    if let Some(pushback) = status.metadata().get("grpc-retry-pushback-ms") {
        // Negative, or no number: not to be repeated (gRPC A6).
        let pushback = pushback
            .to_str()
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse::<u32>().ok());
        return pushback.map_or(Wait::Never, |ms| {
            Wait::For(Duration::from_millis(ms.into()))
        });
    }
    let asked = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    asked.map_or(Wait::NotSaid, Wait::For)
}

/// For a failure that tonic found itself, the code that other gRPC libraries give it. tonic's are CANCELLED
/// where the deadline passed, and mostly UNKNOWN where the connection broke.
///
/// Its message has the causes too: they say why a connection failed.
fn with_usual_code(status: Status) -> Status {
    let causes: Vec<&dyn Error> =
        iter::successors(status.source(), |&cause| cause.source()).collect();
    if causes.is_empty() {
        return status; // The gateway has sent it.
    }
    let code = match status.code() {
        _ if causes.iter().any(|cause| cause.is::<TimeoutExpired>()) => Code::DeadlineExceeded,
        Code::Unknown | Code::Cancelled => Code::Unavailable,
        code => code,
    };
    let mut parts = vec![status.message().to_owned()];
    parts.extend(causes.iter().map(ToString::to_string));
    parts.dedup();
    Status::new(code, parts.join(": "))
}

/// The name of a code in gRPC's specification.
pub(crate) fn name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
