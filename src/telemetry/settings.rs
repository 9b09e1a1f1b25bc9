//! What is told, and to whom: OpenTelemetry's standard variables as types.

use std::{str::FromStr, time::Duration};

use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;
use url::Url;

use super::labels::Signal;

/// The name that the gateway goes by where nobody has given it one.
pub const DEFAULT_SERVICE_NAME: &str = "chartbrew-gateway";

/// What is told about calls, apart from the log.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Counts and measures calls at all. Off when nobody asks for it: neither an admin port nor
    /// a collector. Default on.
    pub metrics: bool,
    /// The collector of the metrics. Default none: they are only read at the admin port.
    pub push_metrics: Option<Export>,
    /// The collector of the traces. Default none: no span is made, and what callers send of a
    /// trace is forwarded as it is.
    pub traces: Option<Export>,
    /// Which traces are sent. Default `parentbased_always_on`.
    pub sampler: Sampling,
    /// `service.name` of what is sent. Default `chartbrew-gateway`.
    pub service_name: String,
    /// What else is said of this process with all that is sent.
    pub resource: Vec<(String, String)>,
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Where it listens: for HTTP with the signal's path, for gRPC without.
    pub endpoint: Url,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Limit of one delivery. Default 10 s.
    pub timeout: Duration,
}

/// How a collector is spoken to. The third of the standard, `http/json`, is not spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP.
    Http,
}

/// Which traces are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// Follow the caller where it has decided.
    ParentBased(Root),
    /// Decide here, whatever the caller has decided.
    Always(Root),
}

/// Which traces are sent that nobody has decided about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Root {
    /// All.
    On,
    /// None.
    Off,
    /// A share, from 0 to 1.
    Ratio(f64),
}

/// A value that is none of the standard's.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(&'static str);

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            metrics: true,
            push_metrics: None,
            traces: None,
            sampler: Sampling::ParentBased(Root::On),
            service_name: DEFAULT_SERVICE_NAME.to_owned(),
            resource: Vec::new(),
        }
    }
}

impl Settings {
    /// Nothing at all but the log.
    #[must_use]
    pub fn off() -> Self {
        Self {
            metrics: false,
            ..Self::default()
        }
    }
}

/// Reads `key=value,key=value` with percent-encoded values, as in `OTEL_RESOURCE_ATTRIBUTES`.
///
/// # Errors
/// If a part has no `=` or no key.
pub fn parse_resource(text: &str) -> Result<Vec<(String, String)>, Invalid> {
    const SHAPE: Invalid = Invalid("must be key=value pairs, separated by commas");
    let parts = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (key, value) = part.split_once('=').ok_or(SHAPE)?;
            let (key, value) = (key.trim(), value.trim());
            let value = percent_decode_str(value).decode_utf8().map_err(|_| SHAPE)?;
            match key.is_empty() {
                true => Err(SHAPE),
                false => Ok((key.to_owned(), value.into_owned())),
            }
        })
        .collect()
}

// === impl Export ===

impl Export {
    /// The collector at an endpoint of its own or, for one that is common to all signals, at the
    /// signal's place below it.
    ///
    /// # Errors
    /// If the endpoint is no URL, or not one of HTTP.
    pub fn at(
        endpoint: &str,
        common_to: Option<Signal>,
        protocol: Protocol,
        timeout: Duration,
    ) -> Result<Self, Invalid> {
        const SHAPE: Invalid =
            Invalid("must be a URL, such as http://localhost:4317 (gRPC) or :4318 (HTTP)");
        let mut endpoint = Url::parse(endpoint.trim()).map_err(|_| SHAPE)?;
        if !matches!(endpoint.scheme(), "http" | "https") || !endpoint.has_host() {
            return Err(SHAPE);
        }
        if !endpoint.username().is_empty() || endpoint.password().is_some() {
            return Err(Invalid(
                "must not hold a user or a password: they go into OTEL_EXPORTER_OTLP_HEADERS",
            ));
        }
        if let (Protocol::Http, Some(signal)) = (protocol, common_to) {
            let base = endpoint.path().trim_end_matches('/').to_owned();
            endpoint.set_path(&format!("{base}/v1/{signal}"));
        }
        Ok(Self {
            endpoint,
            protocol,
            timeout,
        })
    }
}

// === impl Protocol ===

impl FromStr for Protocol {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.trim() {
            "grpc" => Ok(Self::Grpc),
            "http/protobuf" => Ok(Self::Http),
            _ => Err(Invalid("must be grpc or http/protobuf")),
        }
    }
}

// === impl Sampling ===

impl Sampling {
    /// Reads `OTEL_TRACES_SAMPLER` and its argument, which is 1 if it is not given.
    ///
    /// # Errors
    /// If the sampler is not one of the standard's six, or its argument is no share.
    pub fn parse(name: &str, argument: Option<&str>) -> Result<Self, Invalid> {
        let ratio = || match argument.map(str::trim).filter(|text| !text.is_empty()) {
            None => Ok(Root::Ratio(1.0)),
            Some(text) => match text.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(Root::Ratio(share)),
                _ => Err(Invalid("needs OTEL_TRACES_SAMPLER_ARG to be from 0 to 1")),
            },
        };
        Ok(match name.trim() {
            "always_on" => Self::Always(Root::On),
            "always_off" => Self::Always(Root::Off),
            "traceidratio" => Self::Always(ratio()?),
            "parentbased_always_on" => Self::ParentBased(Root::On),
            "parentbased_always_off" => Self::ParentBased(Root::Off),
            "parentbased_traceidratio" => Self::ParentBased(ratio()?),
            _ => {
                return Err(Invalid(
                    "must be always_on, always_off, traceidratio, or one of them after \
                     parentbased_",
                ));
            }
        })
    }

    pub(super) fn sampler(self) -> Sampler {
        let of = |root| match root {
            Root::On => Sampler::AlwaysOn,
            Root::Off => Sampler::AlwaysOff,
            Root::Ratio(share) => Sampler::TraceIdRatioBased(share),
        };
        match self {
            Self::Always(root) => of(root),
            Self::ParentBased(root) => Sampler::ParentBased(Box::new(of(root))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_endpoint_gets_the_signals_path_over_http_only() {
        let at = |endpoint, common, protocol| {
            let export = Export::at(endpoint, common, protocol, Duration::from_secs(1));
            export.map(|export| export.endpoint.to_string()).ok()
        };
        let traces = Some(Signal::Traces);
        let cases = [
            (
                "http://c:4318",
                traces,
                Protocol::Http,
                "http://c:4318/v1/traces",
            ),
            (
                "http://c/o/",
                traces,
                Protocol::Http,
                "http://c/o/v1/traces",
            ),
            ("http://c/mine", None, Protocol::Http, "http://c/mine"),
            ("https://c:4317", traces, Protocol::Grpc, "https://c:4317/"),
        ];
        for (endpoint, common, protocol, expected) in cases {
            assert_eq!(at(endpoint, common, protocol).as_deref(), Some(expected));
        }
        for bad in ["c:4317", "ftp://c", "", "localhost", "http://u:p@c"] {
            assert_eq!(at(bad, traces, Protocol::Grpc), None, "{bad:?}");
        }
    }

    #[test]
    fn resource_attributes_are_percent_decoded() {
        let found = parse_resource("a=1, b = x%2Cy ,,c=").unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(found, [pair("a", "1"), pair("b", "x,y"), pair("c", "")]);
        assert!(parse_resource("a").is_err());
        assert!(parse_resource("=b").is_err());
    }

    #[test]
    fn the_samplers_are_the_standards() {
        let ratio = Sampling::parse("parentbased_traceidratio", Some("0.01"));
        assert_eq!(ratio.unwrap(), Sampling::ParentBased(Root::Ratio(0.01)));
        let bare = Sampling::parse("traceidratio", None).unwrap();
        assert_eq!(bare, Sampling::Always(Root::Ratio(1.0)));
        assert!(Sampling::parse("traceidratio", Some("2")).is_err());
        assert!(Sampling::parse("sometimes", None).is_err());
    }
}
