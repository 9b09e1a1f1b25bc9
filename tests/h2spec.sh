#!/usr/bin/env bash
# The gateway's port against h2spec, a test of HTTP/2 servers; what fails must be in h2spec-known.txt.
#
#     tests/h2spec.sh [--tls]
#
# Needs Rust, Go, Python 3 and, for --tls, openssl. h2spec is built, pinned, into .ci/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The last version that is a Go module; those after it have a path that Go refuses.
readonly VERSION=v2.2.1+incompatible
readonly TOOLS="$PWD/.ci/tools"
readonly H2SPEC="$TOOLS/h2spec-$VERSION"
# A method whose calls stay open until their callers end them. With any other, the gateway has responded
# before most cases have begun.
readonly METHOD=/grpc.reflection.v1.ServerReflection/ServerReflectionInfo

source tests/demo.sh

if [[ ! -x $H2SPEC ]]; then
    echo "installing h2spec $VERSION"
    mkdir -p "$WORK/module" "$TOOLS"
    (
        cd "$WORK/module"
        # `go install` would take the latest versions of what it depends on: it names none.
        go mod init h2spec
        go get "github.com/summerwind/h2spec/cmd/h2spec@$VERSION" golang.org/x/net@v0.62.0 \
            github.com/fatih/color@v1.19.0 github.com/spf13/cobra@v1.10.2
        go build -o "$H2SPEC" github.com/summerwind/h2spec/cmd/h2spec
    ) >"$WORK/go" 2>&1 || { cat "$WORK/go" >&2 && exit 1; }
fi

flags=()
if [[ ${1:-} == --tls ]]; then
    make_certificates "$WORK"
    export GATEWAY_TLS_CERT=$WORK/gateway.pem GATEWAY_TLS_KEY=$WORK/gateway.key
    flags=(--tls --insecure)
fi
cargo build --locked
start_gateway "$(target_folder)/debug/chartbrew-gateway"
# It fails if any case does.
"$H2SPEC" --strict --host "${ADDR%:*}" --port "${ADDR##*:}" "${flags[@]}" --path "$METHOD" \
    --junit-report "$WORK/report.xml" >"$WORK/h2spec" || true
[[ -s $WORK/report.xml ]] || { cat "$WORK/h2spec" >&2 && exit 1; }
python3 tests/h2spec.py "$WORK/report.xml" tests/h2spec-known.txt "${1:-}"
