#!/usr/bin/env bash
# Holds the metrics and the alert rules against Prometheus' own promtool, which is built on first
# use (some minutes) and kept in .ci/tools. Needs Go, and no network once it is built.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v0.305.0 # Prometheus 3.5, a long-term release
tools="$PWD/.ci/tools"
promtool="$tools/promtool-$version"

if [ ! -x "$promtool" ]; then
    # `go install …@version` refuses modules with `replace` lines; as a dependency it builds.
    module=$(mktemp -d)
    trap 'rm -rf "$module"' EXIT
    (
        cd "$module"
        go mod init promtool >/dev/null 2>&1
        go get -tool "github.com/prometheus/prometheus/cmd/promtool@$version" >/dev/null 2>&1
        mkdir -p "$tools"
        go build -o "$promtool" github.com/prometheus/prometheus/cmd/promtool
    )
fi

# The test leaves the scrape of a gateway that has seen each kind of event.
cargo test --quiet --test it telemetry::metrics::every_metric
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
[ -s "$target/tmp/scrape.txt" ]
"$promtool" check metrics <"$target/tmp/scrape.txt"
echo "the scrape is clean"
"$promtool" check rules deploy/prometheus/alerts.yaml
"$promtool" test rules deploy/prometheus/alerts.test.yaml
# Only its syntax: the alerts are beside it in the container.
"$promtool" check config --syntax-only deploy/compose/prometheus.yaml
