//! OpenTelemetry's own variables.
//!
//! The SDK reads some of the standard's variables by itself, and they have no flag here: `OTEL_BSP_*`,
//! `OTEL_SPAN_*_LIMIT`, `OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_EXPORTER_OTLP_HEADERS` (often a
//! secret) and `…_COMPRESSION`.

use std::time::Duration;

use super::{
    Problems,
    parse::{count, switch},
};
use crate::telemetry::{self, Export, Protocol, Sampling, Signal};

const TELEMETRY: &str = "OpenTelemetry";

/// See the module's docs.
#[derive(Clone, clap::Args)]
pub(super) struct TelemetryArgs {
    /// The collector of traces and metrics. Unset, and none of their own: nothing is sent.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    #[arg(help_heading = TELEMETRY)]
    pub(super) otlp_endpoint: Option<String>,

    /// The collector of traces, in place of the common one. Used as it is.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", value_name = "URL")]
    #[arg(help_heading = TELEMETRY)]
    pub(super) otlp_traces_endpoint: Option<String>,

    /// The collector of metrics, in place of the common one. Used as it is.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", value_name = "URL")]
    #[arg(help_heading = TELEMETRY)]
    pub(super) otlp_metrics_endpoint: Option<String>,

    /// How collectors are spoken to: http/protobuf or grpc.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", value_name = "PROTOCOL")]
    #[arg(help_heading = TELEMETRY, default_value = "http/protobuf")]
    pub(super) otlp_protocol: String,

    /// The same for traces alone.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        value_name = "PROTOCOL"
    )]
    #[arg(help_heading = TELEMETRY)]
    pub(super) otlp_traces_protocol: Option<String>,

    /// The same for metrics alone.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        value_name = "PROTOCOL"
    )]
    #[arg(help_heading = TELEMETRY)]
    pub(super) otlp_metrics_protocol: Option<String>,

    /// Limit of one delivery to a collector, in milliseconds.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", value_name = "MILLISECONDS")]
    #[arg(help_heading = TELEMETRY, default_value = "10000")]
    pub(super) otlp_timeout: String,

    /// Where traces go: otlp or none.
    #[arg(long, env = "OTEL_TRACES_EXPORTER", value_name = "NAME")]
    #[arg(help_heading = TELEMETRY, default_value = "otlp")]
    pub(super) traces_exporter: String,

    /// Where metrics go, apart from /metrics: otlp or none.
    #[arg(long, env = "OTEL_METRICS_EXPORTER", value_name = "NAME")]
    #[arg(help_heading = TELEMETRY, default_value = "otlp")]
    pub(super) metrics_exporter: String,

    /// Which traces are sent: always_on, always_off, traceidratio, or one of them after
    /// parentbased_, which follows the caller where it has decided.
    #[arg(long, env = "OTEL_TRACES_SAMPLER", value_name = "SAMPLER")]
    #[arg(help_heading = TELEMETRY, default_value = "parentbased_always_on")]
    pub(super) traces_sampler: String,

    /// The share of traceidratio, from 0 to 1.
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_name = "SHARE")]
    #[arg(help_heading = TELEMETRY)]
    pub(super) traces_sampler_arg: Option<String>,

    /// The name that the gateway goes by. Unset: service.name of the attributes, else
    /// chartbrew-gateway.
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME", help_heading = TELEMETRY)]
    pub(super) service_name: Option<String>,

    /// What else is said of this process: key=value pairs, separated by commas.
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", value_name = "PAIRS")]
    #[arg(help_heading = TELEMETRY)]
    pub(super) resource_attributes: Option<String>,

    /// true: nothing is measured, traced or sent.
    #[arg(long, env = "OTEL_SDK_DISABLED", value_name = "BOOL", help_heading = TELEMETRY)]
    #[arg(default_value = "false")]
    pub(super) otel_sdk_disabled: String,
}

/// The standard's way to leave a variable unset is an empty value.
fn given(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

impl Problems {
    /// Reads them. Without an admin port and a collector nothing is measured.
    pub(super) fn telemetry(
        &mut self,
        args: TelemetryArgs,
        admin_port: bool,
    ) -> Option<telemetry::Settings> {
        let TelemetryArgs {
            otlp_endpoint,
            otlp_traces_endpoint,
            otlp_metrics_endpoint,
            otlp_protocol,
            otlp_traces_protocol,
            otlp_metrics_protocol,
            otlp_timeout,
            traces_exporter,
            metrics_exporter,
            traces_sampler,
            traces_sampler_arg,
            service_name,
            resource_attributes,
            otel_sdk_disabled,
        } = args;
        let timeout = self.value_of("OTEL_EXPORTER_OTLP_TIMEOUT", count(&otlp_timeout));
        let protocol = self.value_of("OTEL_EXPORTER_OTLP_PROTOCOL", otlp_protocol.parse());
        let traces = Collector {
            signal: Signal::Traces,
            exporter: ("OTEL_TRACES_EXPORTER", &traces_exporter),
            endpoint: (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                given(otlp_traces_endpoint.as_ref()),
            ),
            protocol: (
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
                given(otlp_traces_protocol.as_ref()),
            ),
        };
        let metrics = Collector {
            signal: Signal::Metrics,
            exporter: ("OTEL_METRICS_EXPORTER", &metrics_exporter),
            endpoint: (
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
                given(otlp_metrics_endpoint.as_ref()),
            ),
            protocol: (
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
                given(otlp_metrics_protocol.as_ref()),
            ),
        };
        let common = Common {
            endpoint: given(otlp_endpoint.as_ref()),
            protocol,
            timeout: timeout.map(Duration::from_millis),
        };
        let traces = self.collector(&traces, &common);
        let push_metrics = self.collector(&metrics, &common);
        let sampler = Sampling::parse(&traces_sampler, given(traces_sampler_arg.as_ref()));
        let sampler = self.value_of("OTEL_TRACES_SAMPLER", sampler);
        let resource = given(resource_attributes.as_ref()).unwrap_or_default();
        let resource = telemetry::parse_resource(resource);
        let resource = self.value_of("OTEL_RESOURCE_ATTRIBUTES", resource);
        let disabled = self.value_of("OTEL_SDK_DISABLED", switch(&otel_sdk_disabled));

        let (push_metrics, traces) = (push_metrics?, traces?);
        let mut resource = resource?;
        let named = resource.iter().position(|(key, _)| key == "service.name");
        let named = named.map(|index| resource.swap_remove(index).1);
        let settings = telemetry::Settings {
            metrics: admin_port || push_metrics.is_some(),
            push_metrics,
            traces,
            sampler: sampler?,
            service_name: given(service_name.as_ref())
                .map(ToOwned::to_owned)
                .or(named)
                .unwrap_or_else(|| telemetry::DEFAULT_SERVICE_NAME.to_owned()),
            resource,
        };
        Some(match disabled? {
            true => telemetry::Settings::off(),
            false => settings,
        })
    }

    fn value_of<T>(
        &mut self,
        variable: &str,
        result: Result<T, impl std::fmt::Display>,
    ) -> Option<T> {
        result.map_err(|error| self.add(variable, error)).ok()
    }

    /// `Some(None)`: rightly none.
    fn collector(&mut self, its: &Collector<'_>, common: &Common<'_>) -> Option<Option<Export>> {
        let wanted = match its.exporter.1.trim() {
            "otlp" | "" => true,
            "none" => false,
            _ => return self.value_of(its.exporter.0, Err("must be otlp or none")),
        };
        let protocol = match its.protocol {
            (variable, Some(text)) => self.value_of(variable, text.parse()),
            (_, None) => common.protocol,
        };
        let (variable, endpoint, common_to) = match (its.endpoint, common.endpoint) {
            ((variable, Some(own)), _) => (variable, own, None),
            ((_, None), Some(common)) => ("OTEL_EXPORTER_OTLP_ENDPOINT", common, Some(its.signal)),
            ((_, None), None) => return Some(None),
        };
        let export = Export::at(endpoint, common_to, protocol?, common.timeout?);
        let export = self.value_of(variable, export)?;
        Some(wanted.then_some(export))
    }
}

/// A signal's own settings, each with its variable.
struct Collector<'a> {
    signal: Signal,
    exporter: (&'static str, &'a str),
    endpoint: (&'static str, Option<&'a str>),
    protocol: (&'static str, Option<&'a str>),
}

/// Those of all signals.
struct Common<'a> {
    endpoint: Option<&'a str>,
    protocol: Option<Protocol>,
    timeout: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;

    #[test]
    fn nothing_is_sent_unless_somebody_is_named() {
        let config = read(&[]).unwrap();
        assert!(config.telemetry.metrics);
        assert!(config.telemetry.traces.is_none() && config.telemetry.push_metrics.is_none());
        assert!(!read(&["--admin-listen=off"]).unwrap().telemetry.metrics);
    }

    #[test]
    fn a_signals_own_settings_come_before_the_common_ones() {
        let config = read(&[
            "--otlp-endpoint=http://c:4318",
            "--otlp-metrics-endpoint=http://m:4317",
            "--otlp-metrics-protocol=grpc",
        ]);
        let telemetry = config.unwrap().telemetry;
        let traces = telemetry.traces.unwrap();
        assert_eq!(traces.endpoint.as_str(), "http://c:4318/v1/traces");
        let metrics = telemetry.push_metrics.unwrap();
        assert_eq!(metrics.endpoint.as_str(), "http://m:4317/");
    }

    #[test]
    fn a_name_may_stand_among_the_attributes() {
        let named = |flags: &[&str]| read(flags).unwrap().telemetry.service_name;
        let attributes = "--resource-attributes=service.name=a,k=v";
        assert_eq!(named(&[]), "chartbrew-gateway");
        assert_eq!(named(&[attributes]), "a");
        assert_eq!(named(&[attributes, "--service-name=b"]), "b");
    }

    #[test]
    fn off_means_off() {
        let endpoint = "--otlp-endpoint=http://c:4318";
        let none = read(&[endpoint, "--traces-exporter=none"]).unwrap();
        assert!(none.telemetry.traces.is_none() && none.telemetry.push_metrics.is_some());
        let disabled = read(&[endpoint, "--otel-sdk-disabled=TRUE"]).unwrap();
        assert!(disabled.telemetry.traces.is_none() && !disabled.telemetry.metrics);
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("--admin-listen=9464", "GATEWAY_ADMIN_LISTEN"),
            ("--admin-remote-log=1", "GATEWAY_ADMIN_REMOTE_LOG"),
            (
                "--otlp-endpoint=http://u:marker@c",
                "OTEL_EXPORTER_OTLP_ENDPOINT",
            ),
            ("--otlp-protocol=http/json", "OTEL_EXPORTER_OTLP_PROTOCOL"),
            ("--traces-sampler=marker", "OTEL_TRACES_SAMPLER"),
            ("--traces-exporter=marker", "OTEL_TRACES_EXPORTER"),
            ("--resource-attributes=marker", "OTEL_RESOURCE_ATTRIBUTES"),
        ];
        for (flag, variable) in cases {
            let mistake = read(&[flag]).unwrap_err();
            assert!(mistake.starts_with(variable), "{flag}: {mistake}");
            assert!(!mistake.contains("marker"), "{flag}: {mistake}");
        }
    }
}
