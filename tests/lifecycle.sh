#!/usr/bin/env bash
# The life of a connection against the demo, by Python's grpcio with code made from the contract.
#
# Needs Rust and Python 3 with venv. What Python needs is installed, pinned, into .ci/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly GRPCIO=1.76.0
readonly VENV="$PWD/.ci/tools/grpcio-$GRPCIO"

WORK=$(mktemp -d)
readonly WORK
demo=

cleanup() {
    if [[ -n $demo ]]; then
        kill -KILL "$demo" 2>/dev/null || true
        wait "$demo" 2>/dev/null || true
    fi
    rm -rf "$WORK"
}
trap cleanup EXIT

if [[ ! -x $VENV/bin/python3 ]] || ! "$VENV/bin/python3" -c 'import grpc_status, grpc_tools' 2>/dev/null; then
    echo "installing grpcio $GRPCIO"
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check \
        "grpcio==$GRPCIO" "grpcio-tools==$GRPCIO" "grpcio-status==$GRPCIO"
fi

cargo build --locked
TARGET=$(cargo metadata --locked --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
readonly TARGET

mkdir "$WORK/generated"
"$VENV/bin/python3" -m grpc_tools.protoc -I proto --python_out="$WORK/generated" \
    --grpc_python_out="$WORK/generated" chartbrew/connection/v1/connection_service.proto

mkfifo "$WORK/pipe"
"$TARGET/debug/chartbrew-gateway" demo --listen 127.0.0.1:0 --admin-listen off >"$WORK/pipe" 2>"$WORK/demo.err" &
demo=$!
exec 3<"$WORK/pipe"
line=
while [[ $line != "Serving until"* ]]; do
    IFS= read -r -t 60 -u 3 line || { cat "$WORK/demo.err" >&2; exit 1; }
    printf '%s\n' "$line" >>"$WORK/demo"
done
ADDR=$(sed -n 's/^The gateway serves gRPC at *//p' "$WORK/demo")

"$VENV/bin/python3" tests/lifecycle.py "$ADDR" sandbox-token "$WORK/generated"
