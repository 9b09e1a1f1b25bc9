#!/usr/bin/env bash
# The life of a connection against the demo, by Python's grpcio with code made from the contract.
#
# Needs Rust and Python 3 with venv. What Python needs is installed, pinned, into .ci/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source tests/demo.sh
source tests/grpcio.sh

install_grpcio
start_demo --admin-listen off
"$VENV/bin/python3" tests/lifecycle.py "$ADDR" sandbox-token "$WORK/generated"
