//! Whether Chartbrew may be called without TLS. Every request has a token, and many have passwords.

use url::{Host, Url};

use super::Settings;

/// Tokens and passwords would go to another machine without TLS, which is not allowed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "is http://, so that tokens and passwords would go to another machine in clear: use https://, or \
     set CHARTBREW_ALLOW_PLAINTEXT=true if nobody else can read on that network"
)]
pub struct Plaintext(());

/// Whether the settings keep tokens and passwords from going to another machine without TLS.
///
/// # Errors
/// If they do not, and do not say that this is allowed.
pub fn check_plaintext(settings: &Settings) -> Result<(), Plaintext> {
    match settings.allow_plaintext || settings.url.scheme() == "https" || is_loopback(&settings.url)
    {
        true => Ok(()),
        false => Err(Plaintext(())),
    }
}

/// Whether the host is this machine. 0.0.0.0 is not, and neither are `localhost.` and names that end in
/// `.localhost`: the files of the system do not have them, so that the answer would be DNS's.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_allowed(url: &str, allow_plaintext: bool) -> bool {
        let settings = Settings {
            url: Url::parse(url).unwrap(),
            allow_plaintext,
            ..Settings::default()
        };
        check_plaintext(&settings).is_ok()
    }

    #[test]
    fn without_tls_only_this_machine_is_called() {
        for here in [
            "http://127.0.0.1:4019",
            "http://127.255.255.254",
            "http://127.1",
            "http://0x7f000001",
            "http://2130706433",
            "http://[::1]:4019/api",
            "http://[::ffff:127.0.0.1]",
            "http://localhost",
            "http://LOCALHOST:4019",
        ] {
            assert!(is_allowed(here, false), "{here}");
        }
        for elsewhere in [
            "http://127.0.0.1.evil.example",
            "http://128.0.0.1",
            "http://126.255.255.255",
            "http://0.0.0.0",
            "http://10.0.0.1",
            "http://[::]",
            "http://[::2]",
            "http://[::127.0.0.1]",
            "http://[::ffff:10.0.0.1]",
            "http://localhost.",
            "http://chartbrew.localhost",
            "http://localhost.evil.example",
            "http://notlocalhost",
            "http://localhost6",
            "http://chartbrew",
            "http://chartbrew.example.com/127.0.0.1",
            "http://evil.example/#localhost",
        ] {
            assert!(!is_allowed(elsewhere, false), "{elsewhere}");
            assert!(is_allowed(elsewhere, true), "{elsewhere}");
            assert!(is_allowed(&elsewhere.replace("http:", "https:"), false));
        }
    }
}
