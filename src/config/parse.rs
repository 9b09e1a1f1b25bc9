//! Text → value, or what is wrong with the text. A problem never repeats the text.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use jiff::SignedDuration;
use url::Url;

use crate::{
    chartbrew::{self, Token},
    delivery::request_id::StoreSettings,
    grpc::OwnToken,
    telemetry::{Format, Logs},
    tls,
};

/// The longest duration. It overflows no clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A whole number greater than 0.
pub(super) fn count<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, String> {
    let count = text.trim().parse().ok();
    let count = count.filter(|count| *count != T::default());
    count.ok_or("must be a whole number greater than 0".into())
}

/// A whole number greater than 0, up to a limit.
pub(super) fn count_to<const MOST: usize, T: TryFrom<usize>>(text: &str) -> Result<T, String> {
    let count = Some(count(text)?).filter(|count| *count <= MOST);
    let count = count.and_then(|count| T::try_from(count).ok());
    count.ok_or(format!("must be at most {MOST}"))
}

/// A number from 0 to 1.
pub(super) fn share(text: &str) -> Result<f32, String> {
    let share = text.trim().parse().ok();
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    share.ok_or("must be a number from 0 to 1".into())
}

/// `true` or `false`. Empty is `false`.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" | "" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}

/// A duration greater than 0, with a unit: `500ms`, `2s`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text)? {
        Duration::ZERO => Err("must be greater than 0, such as 500ms or 2s".into()),
        duration => Ok(duration),
    }
}

/// A duration with a unit. It may be 0.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let duration = text.trim().parse::<SignedDuration>().ok();
    match duration.map(Duration::try_from) {
        Some(Ok(duration)) if duration <= LONGEST => Ok(duration),
        Some(Ok(_)) => Err("must be at most 8760h, a year".into()),
        _ => Err("must be a duration, such as 500ms or 2s".into()),
    }
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let addr = text.trim().parse().ok();
    addr.ok_or("must be an IP address and a port: 127.0.0.1:50051".into())
}

/// An address to listen on, or `off`.
pub(super) fn address_or_off(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.trim() == "off" {
        return Ok(None);
    }
    let addr = text.trim().parse().map(Some);
    addr.or(Err(
        "must be an IP address and a port, 127.0.0.1:9464, or off".into(),
    ))
}

/// The URL of Chartbrew's API.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).or(Err("must be a URL, such as https://api.chartbrew.com"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or a password".into());
    }
    let checked = chartbrew::check_url(&url);
    checked.map(|()| url).map_err(|error| error.to_string())
}

/// A token for Chartbrew.
pub(super) fn token(text: &str) -> Result<Option<OwnToken>, String> {
    let token = Token::parse(text.trim()).map_err(|error| error.to_string())?;
    Ok(Some(OwnToken::Fixed(token)))
}

/// The path of a file that contains a token for Chartbrew.
pub(super) fn token_file(text: &str) -> Result<Option<OwnToken>, String> {
    let own = OwnToken::File(text.into());
    own.check().map_err(|problem| problem.problem)?;
    Ok(Some(own))
}

/// The path of a file. What is in it is checked with all settings: see
/// [`security`](super::security).
#[expect(clippy::unnecessary_wraps, reason = "the form of all these functions")]
pub(super) fn path(text: &str) -> Result<Option<PathBuf>, String> {
    Ok(Some(text.into()))
}

/// DNS or URI names of certificates, with commas between them.
pub(super) fn certificate_names(text: &str) -> Result<Vec<String>, String> {
    let names = text.split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    let names =
        names.map(|name| tls::certificate_name(name).map_err(|wrong| format!("each {wrong}")));
    names.collect()
}

/// A store of request ids.
pub(super) fn store(text: &str) -> Result<StoreSettings, String> {
    StoreSettings::parse(text).map_err(|error| error.to_string())
}

/// A filter of the log.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    let logs = Logs {
        filter: text.to_owned(),
        ..Logs::default()
    };
    let checked = logs.check();
    checked.map_err(|error| format!("is no filter: {error}"))?;
    Ok(logs.filter)
}

/// A format of the log. Blank is the default.
pub(super) fn log_format(text: &str) -> Result<Format, String> {
    match text.trim() {
        "" => Ok(Format::of_stderr()),
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("must be text or json".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value or the problem, as text.
    fn shown<T: std::fmt::Debug>(parsed: Result<T, String>) -> String {
        parsed.map_or_else(|problem| problem, |value| format!("{value:?}"))
    }

    #[test]
    fn a_text_is_a_value_or_a_problem() {
        let no_count = "must be a whole number greater than 0";
        let no_share = "must be a number from 0 to 1";
        let no_duration = "must be a duration, such as 500ms or 2s";
        let zero = "must be greater than 0, such as 500ms or 2s";
        let cases = [
            (shown(count::<u32>(" 3 ")), "3"),
            (shown(count::<u32>("4294967296")), no_count),
            (shown(count::<u32>("0")), no_count),
            (shown(count::<u32>("-1")), no_count),
            (shown(count_to::<9, u32>("9")), "9"),
            (shown(count_to::<9, u32>("10")), "must be at most 9"),
            (shown(share(" 1 ")), "1.0"),
            (shown(share("1.1")), no_share),
            (shown(share("NaN")), no_share),
            (shown(switch("TRUE")), "true"),
            (shown(switch("1")), "must be true or false"),
            (shown(duration(" 1h ")), "3600s"),
            (shown(duration("8761h")), "must be at most 8760h, a year"),
            (shown(duration("2")), no_duration),
            (shown(duration("-2s")), no_duration),
            (shown(duration("0s")), zero),
            (shown(duration_or_zero("0s")), "0ns"),
            (shown(address_or_off("off")), "None"),
            (shown(address_or_off("[::1]:1")), "Some([::1]:1)"),
        ];
        for (found, expected) in cases {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_word_in_a_log_filter_is_a_level_or_has_one() {
        for good in [
            "off",
            "WARN",
            "info,chartbrew_gateway=debug",
            "chartbrew_gateway::delivery=off, error",
            "info,[a_span]=debug,",
        ] {
            assert_eq!(log_filter(good).as_deref(), Ok(good));
        }
        for bad in [
            "loud",
            "chartbrew_gateway",
            "info,debgu",
            "chartbrew_gateway=loud",
        ] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }
}
