# Sourced by the scripts that use a program of Prometheus.
# shellcheck shell=bash

readonly PROMETHEUS=v0.305.0 # Prometheus 3.5, a long-term release

# prometheus_tool NAME: builds prometheus or promtool on first use (some minutes), into .ci/tools. It is
# $PROMETHEUS_TOOL then. Needs Go, and no network once it is built.
prometheus_tool() {
    local module
    PROMETHEUS_TOOL="$PWD/.ci/tools/$1-$PROMETHEUS"
    [[ -x $PROMETHEUS_TOOL ]] && return
    echo "building $1 $PROMETHEUS"
    module=$(mktemp -d)
    # `go install …@version` refuses modules with `replace` lines; as a dependency it builds.
    (
        cd "$module"
        go mod init "$1"
        go get -tool "github.com/prometheus/prometheus/cmd/$1@$PROMETHEUS"
        mkdir -p "${PROMETHEUS_TOOL%/*}"
        go build -o "$PROMETHEUS_TOOL" "github.com/prometheus/prometheus/cmd/$1"
    ) >"$module/log" 2>&1 || { cat "$module/log" >&2 && return 1; }
    rm -rf "$module"
}
