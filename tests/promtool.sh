#!/usr/bin/env bash
# Holds the metrics and the alert rules against Prometheus' own promtool, which is built on first
# use (some minutes) and kept in .ci/tools. Needs Go, and no network once it is built.
set -euo pipefail
cd "$(dirname "$0")/.."

source tests/prometheus.sh
prometheus_tool promtool

# The test leaves the scrape of a gateway that has seen each kind of event.
cargo test --quiet --test it telemetry::metrics::every_metric
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
[ -s "$target/tmp/scrape.txt" ]
"$PROMETHEUS_TOOL" check metrics <"$target/tmp/scrape.txt"
echo "the scrape is clean"
"$PROMETHEUS_TOOL" check rules deploy/prometheus/alerts.yaml
"$PROMETHEUS_TOOL" test rules deploy/prometheus/alerts.test.yaml
# Only its syntax: the alerts are beside it in the container.
"$PROMETHEUS_TOOL" check config --syntax-only deploy/compose/prometheus.yaml
