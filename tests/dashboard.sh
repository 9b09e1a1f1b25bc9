#!/usr/bin/env bash
# Runs the queries of deploy/grafana/dashboard.json against a real Prometheus, which scrapes a gateway under load
# while Chartbrew has faults. Each query must find data.
#
#     tests/dashboard.sh [--binary FILE] [write]
#
# --binary: this gateway instead of a debug build. write: takes longer, and draws docs/dashboard.svg.
#
# Needs Linux, Rust, Go and Python 3.11 with venv. Prometheus, built on first use (some minutes), and what Python
# needs are kept in .ci/tools, pinned.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source tests/demo.sh
source tests/grpcio.sh
source tests/prometheus.sh

if [[ ${1:-} == --binary ]]; then
    binary=$2
    shift 2
else
    binary=$(build_gateway)
fi
install_grpcio
prometheus_tool prometheus
"$VENV/bin/python3" -B tests/dashboard "$binary" "$PROMETHEUS_TOOL" "$WORK/generated" "$WORK" "$@"
