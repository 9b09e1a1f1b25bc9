//! The hosts that Chartbrew refuses to call over HTTP: those of private networks.

use std::net::IpAddr;

use http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::{model::Values, reply::Reply};

/// Looks at the URL of an API.
///
/// # Errors
/// The refusal, if it is no URL or leads into a private network.
pub(super) fn check(values: &Values) -> Result<(), Reply> {
    let url = values.get("host").and_then(Value::as_str);
    match url.and_then(host) {
        None => Err(blocked(
            "invalid_url",
            "Outbound request URL must be an absolute URL.",
        )),
        Some(host) if is_private(&host) => Err(blocked(
            "private_network",
            "Requests to private or reserved network ranges are blocked.",
        )),
        Some(_) => Ok(()),
    }
}

fn blocked(reason: &str, message: &str) -> Reply {
    let body = json!({ "code": "SSRF_BLOCKED", "reason": reason, "message": message });
    Reply::json(StatusCode::BAD_REQUEST, &body)
}

/// The host of an absolute URL.
fn host(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let host = url.host().filter(|_| is_http)?;
    Some(host.trim_matches(['[', ']']).to_owned())
}

fn is_private(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
        }
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || ip.is_unspecified()
        }
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_hosts_and_what_is_no_url_are_refused() {
        let table = [
            (json!("https://api.example.com/v1"), None),
            (json!("http://8.8.8.8"), None),
            (json!("http://127.0.0.1:4020"), Some("private_network")),
            (json!("http://localhost"), Some("private_network")),
            (json!("http://10.1.2.3/x"), Some("private_network")),
            (json!("http://[::1]:80/"), Some("private_network")),
            (json!("127.0.0.1"), Some("invalid_url")),
            (json!("ftp://example.com"), Some("invalid_url")),
            (json!(null), Some("invalid_url")),
        ];
        for (host, reason) in table {
            let values = Values::from_iter([("host".to_owned(), host.clone())]);
            let refused = check(&values).err();
            let body = refused.map(|r| serde_json::from_slice::<Value>(&r.body).unwrap());
            assert_eq!(
                body.map(|b| b["reason"].clone()),
                reason.map(Value::from),
                "{host}"
            );
        }
    }
}
