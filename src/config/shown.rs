//! How values are shown: defaults in the help, and values in the output of `check`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use jiff::SignedDuration;
use url::Url;

use crate::{delivery::request_id::StoreSettings, grpc::OwnToken, telemetry::Format};

/// The text of a value, in the form that is read as a setting. `None`: there is none to show.
pub(super) trait Shown {
    fn shown(&self) -> Option<String> {
        None
    }
}

/// A secret.
impl Shown for OwnToken {}
/// It has no default.
impl Shown for PathBuf {}
/// The same.
impl Shown for Vec<String> {}
/// Its default depends on where stderr goes.
impl Shown for Format {}

macro_rules! shown {
    ($($kind:ty: |$value:ident| $text:expr;)+) => {
        $(impl Shown for $kind {
            fn shown(&self) -> Option<String> {
                let $value = self;
                Some($text)
            }
        })+
    };
}

shown! {
    bool: |value| value.to_string();
    f32: |share| share.to_string();
    u32: |count| count.to_string();
    usize: |count| count.to_string();
    String: |text| text.clone();
    Duration: |time| format!("{:#}", SignedDuration::try_from(*time).unwrap_or_default());
    SocketAddr: |addr| addr.to_string();
    StoreSettings: |store| store.name().to_owned();
    Url: |url| url.as_str().trim_end_matches('/').to_owned();
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(Shown::shown)
    }
}

/// In place of a secret.
pub(super) fn hidden(secret: &str) -> String {
    match secret {
        "" => String::new(),
        _ => "(hidden)".to_owned(),
    }
}

/// The text with the password hidden, if it is a URL that has one.
pub(super) fn without_password(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => match url.set_password(Some("(hidden)")) {
            Ok(()) => url.into(),
            Err(()) => hidden(text),
        },
        Ok(_) | Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        let cases = [
            ("memory", "memory"),
            ("redis://h:1/2", "redis://h:1/2"),
            ("redis://u:marker@h:1/2", "redis://u:(hidden)@h:1/2"),
            ("rediss://:marker@h", "rediss://:(hidden)@h"),
        ];
        for (text, shown) in cases {
            assert_eq!(without_password(text), shown);
        }
    }
}
