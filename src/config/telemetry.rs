//! OpenTelemetry's own variables (`OTEL_*`).
//!
//! The SDK reads them by itself, so they have no flags. Read here too are those
//! that it does not know, those whose wrong values it would ignore silently, and endpoints:
//! without one nothing is exported, while the SDK would try this machine.

use std::env;

use http::Uri;

use super::{Problems, parse};
use crate::telemetry::{self, Collector};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

const QUEUE_SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";

/// The SDK allocates the queue of spans in full when it starts, and aborts if it cannot.
const QUEUE_SIZE_MAX: u64 = 1_048_576;

const TRACES: Variables = Variables {
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
};
const METRICS: Variables = Variables {
    exporter: "OTEL_METRICS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
};

/// The variables of one signal.
struct Variables {
    exporter: &'static str,
    endpoint: &'static str,
    protocol: &'static str,
}

/// What the environment says about collectors. `None` where it says nothing.
#[derive(Clone, Copy)]
struct Transport {
    tls: Option<bool>,
    grpc: Option<bool>,
}

/// Reads a variable. By OpenTelemetry's specification, one that is empty is not set.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Problems {
    /// Reads the environment. Without an admin port and a collector nothing is measured.
    pub(super) fn telemetry(&mut self, admin_port: bool) -> Option<telemetry::Settings> {
        let variable = |name: &str| env::var(name).ok().filter(|text| !text.is_empty());
        self.open_telemetry(admin_port, &variable)
    }

    fn wrong<T>(&mut self, variable: &str, problem: impl std::fmt::Display) -> Option<T> {
        self.add(variable, problem);
        None
    }

    fn open_telemetry(
        &mut self,
        is_scraped: bool,
        variable: Lookup<'_>,
    ) -> Option<telemetry::Settings> {
        let disabled = match variable("OTEL_SDK_DISABLED").map(|text| parse::switch(&text)) {
            None => Some(false),
            Some(Ok(disabled)) => Some(disabled),
            Some(Err(problem)) => self.wrong("OTEL_SDK_DISABLED", problem),
        };
        let common = self.transport(ENDPOINT, PROTOCOL, variable);
        let traces = self.collector(&TRACES, common, variable);
        let metrics = self.collector(&METRICS, common, variable);
        let sampler = self.sampler(variable);
        let queue_size = self.queue_size(variable);
        let (traces, push_metrics) = (traces?, metrics?);
        sampler.and(queue_size)?;
        Some(match disabled? {
            true => telemetry::Settings::default(),
            false => telemetry::Settings {
                metrics: is_scraped || push_metrics.is_some(),
                push_metrics,
                traces,
            },
        })
    }

    /// `Some(None)`: the signal is not exported.
    fn collector(
        &mut self,
        its: &Variables,
        common: Option<Transport>,
        variable: Lookup<'_>,
    ) -> Option<Option<Collector>> {
        let wanted = match variable(its.exporter).as_deref() {
            None | Some("otlp") => Some(true),
            Some("none") => Some(false),
            Some(_) => self.wrong(its.exporter, "must be otlp or none"),
        };
        let own = self.transport(its.endpoint, its.protocol, variable)?;
        let common = common?;
        let tls = own.tls.or(common.tls);
        let grpc = own.grpc.or(common.grpc).unwrap_or(false);
        let wanted = wanted?;
        Some(tls.filter(|_| wanted).map(|tls| match (grpc, tls) {
            (false, _) => Collector::Http,
            (true, false) => Collector::Grpc,
            (true, true) => Collector::GrpcTls,
        }))
    }

    fn transport(
        &mut self,
        endpoint: &'static str,
        protocol: &'static str,
        variable: Lookup<'_>,
    ) -> Option<Transport> {
        let tls = match variable(endpoint) {
            Some(text) => self.endpoint(endpoint, &text).map(Some),
            None => Some(None),
        };
        let grpc = match variable(protocol).map(|text| text.to_ascii_lowercase()) {
            None => Some(None),
            Some(text) if text == "grpc" => Some(Some(true)),
            Some(text) if text == "http/protobuf" => Some(Some(false)),
            Some(_) => self.wrong(protocol, "must be grpc or http/protobuf"),
        };
        Some(Transport {
            tls: tls?,
            grpc: grpc?,
        })
    }

    /// Whether the endpoint is one of TLS. The SDK would repeat a wrong one in its message.
    fn endpoint(&mut self, variable: &'static str, text: &str) -> Option<bool> {
        let uri = text.parse::<Uri>().unwrap_or_default();
        if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
            return self.wrong(
                variable,
                "must not hold a user or a password: they go into OTEL_EXPORTER_OTLP_HEADERS",
            );
        }
        match uri.scheme_str() {
            Some("https") => Some(true),
            Some("http") => Some(false),
            _ => self.wrong(
                variable,
                "must be a URL, such as http://localhost:4317 (gRPC) or :4318 (HTTP)",
            ),
        }
    }

    fn sampler(&mut self, variable: Lookup<'_>) -> Option<()> {
        let Some(name) = variable(SAMPLER) else {
            return Some(());
        };
        let root = name.strip_prefix("parentbased_").unwrap_or(&name);
        if !["always_on", "always_off", "traceidratio"].contains(&root) {
            return self.wrong(
                SAMPLER,
                "must be always_on, always_off, traceidratio, or one of them after parentbased_",
            );
        }
        match variable(SAMPLER_ARG).map(|text| text.parse::<f64>()) {
            Some(Ok(share)) if (0.0..=1.0).contains(&share) => Some(()),
            Some(_) if root == "traceidratio" => {
                self.wrong(SAMPLER_ARG, "must be a number from 0 to 1")
            }
            Some(_) | None => Some(()),
        }
    }

    fn queue_size(&mut self, variable: Lookup<'_>) -> Option<()> {
        let size = variable(QUEUE_SIZE).unwrap_or_default().parse::<u64>();
        match size.is_ok_and(|size| size > QUEUE_SIZE_MAX) {
            true => self.wrong(QUEUE_SIZE, format!("must be at most {QUEUE_SIZE_MAX}")),
            false => Some(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::read, *};

    /// The settings of a gateway with an admin port, and `None` if there were problems.
    fn with(variables: &[(&str, &str)]) -> Option<telemetry::Settings> {
        Problems::default().open_telemetry(true, &|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_exported_without_an_endpoint() {
        let none = with(&[(PROTOCOL, "grpc")]).unwrap();
        assert!(none.metrics && none.traces.is_none() && none.push_metrics.is_none());
        assert!(!read(&["--admin-listen=off"]).unwrap().telemetry.metrics);
    }

    #[test]
    fn a_signals_own_variables_come_before_the_common_ones() {
        let settings = with(&[
            (ENDPOINT, "https://c:4318"),
            (METRICS.protocol, "GRPC"),
            (TRACES.endpoint, "http://t:4317"),
            (TRACES.protocol, "grpc"),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.push_metrics, Some(Collector::GrpcTls));
        assert_eq!(settings.traces, Some(Collector::Grpc));
    }

    #[test]
    fn exporters_can_be_switched_off() {
        let endpoint = (ENDPOINT, "http://c:4318");
        let none = with(&[endpoint, (TRACES.exporter, "none")]).unwrap();
        assert!(none.traces.is_none() && none.push_metrics.is_some());
        let disabled = with(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).unwrap();
        assert_eq!(disabled, telemetry::Settings::default());
    }

    #[test]
    fn wrong_values_are_problems() {
        let cases = [
            (ENDPOINT, "c:4317"),
            (ENDPOINT, "ftp://c"),
            (ENDPOINT, "http://u:p@c"),
            (ENDPOINT, "http://"),
            (ENDPOINT, " http://c"),
            (METRICS.endpoint, "localhost"),
            (PROTOCOL, "http/json"),
            (TRACES.protocol, "http"),
            (TRACES.exporter, "console"),
            (SAMPLER, "sometimes"),
            (QUEUE_SIZE, "9999999999999"),
            ("OTEL_SDK_DISABLED", "1"),
        ];
        for (variable, value) in cases {
            assert_eq!(with(&[(variable, value)]), None, "{variable}={value}");
        }
        let share = |share| with(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, share)]);
        assert!(share("0.01").is_some());
        assert!(share("2").is_none() && share("1%").is_none());
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("--admin-listen=marker", "GATEWAY_ADMIN_LISTEN"),
            ("--admin-remote-log=marker", "GATEWAY_ADMIN_REMOTE_LOG"),
        ];
        for (flag, variable) in cases {
            let mistake = read(&[flag]).unwrap_err();
            assert!(mistake.starts_with(variable), "{flag}: {mistake}");
            assert!(!mistake.contains("marker"), "{flag}: {mistake}");
        }
    }
}
