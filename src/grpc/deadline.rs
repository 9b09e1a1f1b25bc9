//! The caller's `grpc-timeout`, read where the call arrives.
//!
//! The gateway uses hyper's server, not tonic's. tonic's enforces the timeout outside all layers
//! and returns CANCELLED without details, just when a caller needs to know the outcome of its
//! create. Here the deadline is a value that `delivery` keeps, and it ends a margin before the
//! caller's own, so that the response is there before the caller stops listening.

use std::time::Duration;

use http::HeaderMap;

use crate::delivery::Deadline;

/// What is left of a call's time for the response to travel: a tenth, at most this.
const LONGEST_MARGIN: Duration = Duration::from_millis(250);

/// The caller's deadline, less the margin. `None` if it set none. Read while its clock has just
/// started.
pub(super) fn read(headers: &HeaderMap) -> Option<Deadline> {
    let timeout = timeout(headers)?;
    let margin = (timeout / 10).min(LONGEST_MARGIN);
    Some(Deadline::after(timeout - margin))
}

/// `grpc-timeout`: one to eight digits and a unit (gRPC over HTTP/2). A malformed one counts as
/// none, as in tonic.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits_only = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !digits_only || !(1..=8).contains(&digits.len()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_nothing_else() {
        let cases = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("5m", Some(Duration::from_millis(5))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("+1S", None),
            ("1s", None),
            ("1", None),
            ("1.5S", None),
        ];
        for (text, expected) in cases {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-timeout"),
                http::HeaderValue::from_static(text),
            )]);
            assert_eq!(timeout(&headers), expected, "{text:?}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }
}
