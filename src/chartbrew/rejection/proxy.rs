//! What a proxy before Chartbrew says of a request that it could not forward.

/// Envoy, when no host of the cluster can be used.
const NO_HEALTHY_UPSTREAM: &str = "no healthy upstream";
/// Envoy, before the reason why the first and only attempt failed. Where Envoy has retried, it
/// writes "retried and the latest reset reason": what became of the earlier attempts is not said.
const RESET: &str = "upstream connect error or disconnect/reset before headers. reset reason: ";
/// Envoy's reasons that come before anything is forwarded.
const NOT_CONNECTED: [&str; 4] = [
    "connection failure",
    "remote connection failure",
    "connection timeout",
    "overflow",
];
/// HAProxy, when no server of the backend can be used.
const NO_SERVER: &str = "No server is available to handle this request";

/// Whether the body of a 503 proves that the proxy which wrote it had forwarded nothing. Any other
/// 503 may come after the request was forwarded, and read.
pub(in crate::chartbrew) fn says_not_forwarded(body: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(body) else {
        return false;
    };
    let text = text.trim();
    let reason = text.strip_prefix(RESET);
    // The reason ends the text, or a comma does and what the transport has to say follows.
    let reason = reason.and_then(|text| text.split(',').next());
    text == NO_HEALTHY_UPSTREAM
        || reason.is_some_and(|reason| NOT_CONNECTED.contains(&reason.trim()))
        || text.contains(NO_SERVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_texts_prove_that_nothing_was_forwarded() {
        let reset = |reason: &str| format!("{RESET}{reason}");
        let cases = [
            (NO_HEALTHY_UPSTREAM.to_owned(), true),
            ("no healthy upstream\n".to_owned(), true),
            (reset("connection failure"), true),
            (reset("remote connection failure"), true),
            (
                reset("remote connection failure, transport failure reason: delayed connect error"),
                true,
            ),
            (reset("connection timeout"), true),
            (reset("overflow"), true),
            (
                format!("<html><body><h1>503</h1>\n{NO_SERVER}.\n</body></html>"),
                true,
            ),
            (reset("connection termination"), false),
            (reset("remote reset"), false),
            (reset("protocol error, connection failure"), false),
            (
                "upstream connect error or disconnect/reset before headers. retried and the \
                 latest reset reason: connection failure"
                    .to_owned(),
                false,
            ),
            ("Service Unavailable".to_owned(), false),
            ("upstream request timeout".to_owned(), false),
            ("not quite: no healthy upstream".to_owned(), false),
            (String::new(), false),
        ];
        for (body, proves) in cases {
            assert_eq!(says_not_forwarded(body.as_bytes()), proves, "{body}");
        }
        assert!(!says_not_forwarded(b"\xff no healthy upstream"));
    }
}
