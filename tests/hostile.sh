#!/usr/bin/env bash
# Hostile peers against a gateway before the embedded Chartbrew, while a well-behaved caller uses it.
#
#     tests/hostile.sh [--binary FILE] [--tls] [--only TEXT] [--only-tls]
#
# --tls: the gateway's port with TLS. --only: the attacks whose names contain this. --only-tls: those that
# there are with TLS alone. A gateway that runs already: see tests/hostile/__main__.py.
#
# Needs Rust, Python 3 with venv, and openssl. What Python needs is installed, pinned, into .ci/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source tests/demo.sh
source tests/grpcio.sh

binary='' flags=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --binary)
            binary=$2
            shift
            ;;
        --tls)
            make_certificates "$WORK"
            export GATEWAY_TLS_CERT=$WORK/gateway.pem GATEWAY_TLS_KEY=$WORK/gateway.key
            flags+=(--tls "$WORK/ca.pem")
            ;;
        *) flags+=("$1") ;;
    esac
    shift
done
if [[ -z $binary ]]; then
    # As shipped, and where bench/guard builds it too.
    cargo build --release --locked --target-dir bench/target --bin chartbrew-gateway
    binary=bench/target/release/chartbrew-gateway
fi
install_grpcio
# 10,000 connections on each side.
ulimit -n "$(ulimit -Hn)"
# Shorter than by default, so that what they end has ended before the next attack.
export GATEWAY_HANDSHAKE_TIMEOUT=2s GATEWAY_MESSAGE_TIMEOUT=3s
# Without a line for each of a million calls.
export GATEWAY_LOG=info,chartbrew_gateway::grpc::call=error
start_gateway "$binary"
"$VENV/bin/python3" tests/hostile "$ADDR" sandbox-token --pid "$gateway" --generated "$WORK/generated" "${flags[@]}"
