//! The names in the documents, compared with those in the code.

use std::{collections::BTreeSet, fs, path::Path};

const TELEMETRY: &str = "docs/telemetry.md";

#[test]
fn every_reason_of_the_error_table_is_documented() {
    let table: String = ["status", "status/delivery_error", "status/rejection"]
        .map(|file| read(&format!("src/grpc/{file}.rs")))
        .concat();
    let document = read("docs/errors.md");

    let in_code: BTreeSet<_> = table.split('"').filter(|text| is_reason(text)).collect();
    let in_document: BTreeSet<_> = document
        .lines()
        .filter_map(|row| row.split('|').nth(2))
        .map(|cell| cell.trim().trim_matches('`'))
        .filter(|text| is_reason(text))
        .collect();
    assert!(in_code.len() > 15, "{in_code:?}");
    assert_eq!(in_code, in_document);
}

#[test]
fn every_alert_and_every_reason_has_a_place_in_the_runbook() {
    let runbook = read("docs/operations.md");
    let named: BTreeSet<_> = quoted(&runbook).into_iter().collect();
    let alerts = read("deploy/prometheus/alerts.yaml");
    let alerts = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let errors = read("docs/errors.md");
    let reasons = errors.lines().filter_map(|row| row.split('|').nth(2));
    let reasons = reasons
        .map(|cell| cell.trim().trim_matches('`'))
        .filter(|text| is_reason(text));
    let needed: BTreeSet<_> = alerts.chain(reasons).collect();
    assert!(needed.len() > 25, "{needed:?}");
    let missing: Vec<_> = needed.difference(&named).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn is_reason(text: &str) -> bool {
    text.len() > 3 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

#[test]
fn every_metric_is_documented() {
    let instruments = read("src/telemetry/metrics/instruments.rs");
    let is_name = |text: &&str| text.contains('.') && !text.contains(' ');
    let in_code: BTreeSet<_> = strings(&instruments).into_iter().filter(is_name).collect();
    let document = read(TELEMETRY);
    let in_document: BTreeSet<_> = metrics(&document)
        .filter_map(|row| quoted(row[1]).into_iter().next())
        .collect();
    assert!(in_code.len() > 10, "{in_code:?}");
    assert_eq!(in_code, in_document);
}

#[test]
fn every_value_of_a_label_is_documented() {
    let labels = read("src/telemetry/labels.rs");
    let document = read(TELEMETRY);
    let in_document: BTreeSet<_> = metrics(&document)
        .filter_map(|row| row[3].split_once("`: "))
        .flat_map(|(_, values)| quoted(values))
        .collect();
    assert_eq!(BTreeSet::from_iter(strings(&labels)), in_document);
}

#[test]
fn every_attribute_of_a_span_is_documented() {
    let document = read(TELEMETRY);
    for (file, what) in [("call", "A call"), ("attempt", "A request")] {
        let code = read(&format!("src/telemetry/{file}.rs"));
        let in_code: BTreeSet<_> = code
            .split("KeyValue::new(")
            .skip(1)
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .collect();
        let names = quoted(bullet(&document, what)).into_iter();
        let in_document = names.filter(|name| name.contains('.')).collect();
        assert_eq!(in_code, in_document, "{file}");
    }
}

#[test]
fn every_event_of_a_span_is_documented() {
    let events = read("src/telemetry/event.rs");
    let document = read(TELEMETRY);
    let in_document = BTreeSet::from_iter(quoted(bullet(&document, "Events")));
    assert_eq!(BTreeSet::from_iter(strings(&events)), in_document);
}

pub(crate) fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The literals of a source that has no quotes in them.
fn strings(code: &str) -> Vec<&str> {
    code.split('"').skip(1).step_by(2).collect()
}

/// The texts between backticks.
pub(crate) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The list item that begins with this in bold.
fn bullet<'a>(document: &'a str, title: &str) -> &'a str {
    let begin = format!("- **{title}**");
    document
        .lines()
        .find(|line| line.starts_with(&begin))
        .unwrap()
}

/// The rows of the metrics that are OpenTelemetry's too, as cells.
fn metrics(document: &str) -> impl Iterator<Item = Vec<&str>> {
    let (_, after) = document
        .split_once("| Prometheus | OpenTelemetry |")
        .unwrap();
    let rows = after.lines().skip(2).take_while(|row| row.starts_with('|'));
    let cells = rows.map(|row| row.split('|').skip(1).map(str::trim).collect());
    cells.filter(|row: &Vec<_>| row[1].starts_with('`'))
}
