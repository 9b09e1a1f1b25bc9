#!/usr/bin/env bash
# The life of a connection against the demo, by Python's grpcio with code made from the contract.
#
# Needs Rust and Python 3 with venv. What Python needs is installed, pinned, into .ci/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly GRPCIO=1.76.0
readonly VENV="$PWD/.ci/tools/grpcio-$GRPCIO"

source tests/demo.sh

if [[ ! -x $VENV/bin/python3 ]] || ! "$VENV/bin/python3" -c 'import grpc_status, grpc_tools' 2>/dev/null; then
    echo "installing grpcio $GRPCIO"
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check \
        "grpcio==$GRPCIO" "grpcio-tools==$GRPCIO" "grpcio-status==$GRPCIO"
fi

mkdir "$WORK/generated"
"$VENV/bin/python3" -m grpc_tools.protoc -I proto --python_out="$WORK/generated" \
    --grpc_python_out="$WORK/generated" chartbrew/connection/v1/connection_service.proto

start_demo --admin-listen off
"$VENV/bin/python3" tests/lifecycle.py "$ADDR" sandbox-token "$WORK/generated"
