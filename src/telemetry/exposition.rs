//! Metrics as text, for whoever scrapes them: Prometheus' format 0.0.4 or OpenMetrics 1.0.
//!
//! Written here rather than with `opentelemetry-prometheus`, which knows only the older format and
//! brings a second metrics library with a registry of its own.

use std::fmt::Write;

use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Histogram, MetricData, ResourceMetrics};

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' own, 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// A metric with all its series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    /// Without `_total`.
    name: String,
    kind: Kind,
    /// In full, empty if there is none; the name ends with it.
    unit: &'static str,
    help: String,
    samples: Vec<Sample>,
}

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    suffix: &'static str,
    labels: Vec<(String, String)>,
    /// The upper bound of a bucket.
    le: Option<f64>,
    value: f64,
}

// === impl Exposition ===

impl Exposition {
    /// What an `Accept` asks for.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// The text's `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes all families, by name.
    pub(super) fn write(self, mut families: Vec<Family>) -> String {
        families.sort_by(|a, b| a.name.cmp(&b.name));
        let mut text = String::new();
        for family in &families {
            family.write(self, &mut text);
        }
        if self == Self::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

/// The families of all that was measured.
pub(super) fn families(all: &ResourceMetrics) -> Vec<Family> {
    let metrics = all.scope_metrics().flat_map(|scope| scope.metrics());
    metrics
        .map(|metric| {
            let unit = match metric.unit() {
                "s" => "seconds",
                "By" => "bytes",
                _ => "",
            };
            let mut name = metric.name().replace('.', "_");
            if !unit.is_empty() {
                name.push('_');
                name.push_str(unit);
            }
            let (kind, samples) = match metric.data() {
                AggregatedMetrics::F64(data) => read(data, |value| value),
                AggregatedMetrics::U64(data) => read(data, |value| value as f64),
                AggregatedMetrics::I64(data) => read(data, |value| value as f64),
            };
            Family {
                name,
                kind,
                unit,
                help: metric.description().to_owned(),
                samples,
            }
        })
        .collect()
}

fn read<T: Copy>(data: &MetricData<T>, number: impl Fn(T) -> f64) -> (Kind, Vec<Sample>) {
    match data {
        MetricData::Gauge(gauge) => {
            let points = gauge.data_points();
            let samples = points.map(|p| Sample::new("", p.attributes(), number(p.value())));
            (Kind::Gauge, samples.collect())
        }
        MetricData::Sum(sum) => {
            let (kind, suffix) = match sum.is_monotonic() {
                true => (Kind::Counter, "_total"),
                false => (Kind::Gauge, ""),
            };
            let points = sum.data_points();
            let samples = points.map(|p| Sample::new(suffix, p.attributes(), number(p.value())));
            (kind, samples.collect())
        }
        MetricData::Histogram(histogram) => (Kind::Histogram, buckets(histogram, number)),
        // No instrument of ours is aggregated so.
        MetricData::ExponentialHistogram(_) => (Kind::Histogram, Vec::new()),
    }
}

fn buckets<T: Copy>(histogram: &Histogram<T>, number: impl Fn(T) -> f64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for point in histogram.data_points() {
        let bounds = point.bounds().chain([f64::INFINITY]);
        let mut below = 0;
        for (bound, count) in bounds.zip(point.bucket_counts()) {
            below += count;
            let mut bucket = Sample::new("_bucket", point.attributes(), below as f64);
            bucket.le = Some(bound);
            samples.push(bucket);
        }
        let sum = number(point.sum());
        samples.push(Sample::new("_sum", point.attributes(), sum));
        let count = point.count() as f64;
        samples.push(Sample::new("_count", point.attributes(), count));
    }
    samples
}

// === impl Family ===

impl Family {
    /// A metric with one series and no labels.
    pub(super) fn single(
        name: &str,
        kind: Kind,
        unit: &'static str,
        help: &str,
        value: f64,
    ) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            unit,
            help: help.to_owned(),
            samples: vec![Sample::new(kind.suffix(), [].iter(), value)],
        }
    }

    /// The same with labels.
    pub(super) fn labelled(mut self, labels: &[(&str, &str)]) -> Self {
        for sample in &mut self.samples {
            let labels = labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            sample.labels.extend(labels);
        }
        self
    }

    fn write(&self, how: Exposition, text: &mut String) {
        // The older format names a counter with its suffix.
        let suffix = match how {
            Exposition::Prometheus => self.kind.suffix(),
            Exposition::OpenMetrics => "",
        };
        let (name, help) = (&self.name, escaped(&self.help));
        let kind = self.kind.name();
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name}{suffix} {help}");
        let _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        if how == Exposition::OpenMetrics && !self.unit.is_empty() {
            let _ = writeln!(text, "# UNIT {name} {}", self.unit);
        }
        for sample in &self.samples {
            sample.write(name, how, text);
        }
    }
}

// === impl Kind ===

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Gauge | Self::Histogram => "",
        }
    }
}

// === impl Sample ===

impl Sample {
    fn new<'a>(
        suffix: &'static str,
        labels: impl Iterator<Item = &'a KeyValue>,
        value: f64,
    ) -> Self {
        let mut labels: Vec<_> = labels
            .map(|label| (label.key.as_str().replace('.', "_"), plain(&label.value)))
            .collect();
        labels.sort();
        Self {
            suffix,
            labels,
            le: None,
            value,
        }
    }

    fn write(&self, name: &str, how: Exposition, text: &mut String) {
        text.push_str(name);
        text.push_str(self.suffix);
        let le = self.le.map(|bound| ("le", bound_text(bound, how)));
        let le = le.iter().map(|(key, value)| (*key, value.as_str()));
        let labels = self.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        for (index, (key, value)) in labels.chain(le).enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(text, "{before}{key}=\"{}\"", escaped(value));
        }
        if self.le.is_some() || !self.labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {}", self.value);
    }
}

/// OpenMetrics wants bounds to look like floats, Prometheus shows them as short as it can.
fn bound_text(bound: f64, how: Exposition) -> String {
    match how {
        _ if bound.is_infinite() => "+Inf".to_owned(),
        Exposition::Prometheus => bound.to_string(),
        Exposition::OpenMetrics => format!("{bound:?}"),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().into_owned()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Family> {
        let counter = Family::single("b_things", Kind::Counter, "", "B.", 2.0);
        let gauge = Family::single("a_seconds", Kind::Gauge, "seconds", "A\n.", 0.5);
        vec![counter.labelled(&[("kind", "x\"\\")]), gauge]
    }

    #[test]
    fn the_older_format_names_counters_with_their_suffix() {
        let text = Exposition::Prometheus.write(some());
        assert_eq!(
            text,
            "# HELP a_seconds A\\n.\n# TYPE a_seconds gauge\na_seconds 0.5\n\
             # HELP b_things_total B.\n# TYPE b_things_total counter\n\
             b_things_total{kind=\"x\\\"\\\\\"} 2\n"
        );
    }

    #[test]
    fn openmetrics_has_units_and_an_end() {
        let text = Exposition::OpenMetrics.write(some());
        assert!(text.contains("# TYPE b_things counter\nb_things_total{"));
        assert!(text.contains("# UNIT a_seconds seconds\n"));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_scraper_chooses() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
        let cases = [
            (None, Exposition::Prometheus),
            (Some("*/*"), Exposition::Prometheus),
            (Some(prometheus), Exposition::OpenMetrics),
        ];
        for (accept, expected) in cases {
            assert_eq!(Exposition::accepted(accept), expected, "{accept:?}");
        }
    }
}
