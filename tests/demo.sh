# Sourced by the scripts that call a gateway. What they start ends with them, and so does $WORK, a folder.
# shellcheck shell=bash

WORK=$(mktemp -d)
readonly WORK
started=()

end_started() {
    local process
    for process in "${started[@]}"; do
        # Not TERM: it would wait for what the README leaves without a response.
        kill -KILL "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$WORK"
}
trap end_started EXIT

# Where cargo puts what it builds: not always `target`, CARGO_TARGET_DIR or a configuration of cargo's may
# name another folder.
target_folder() {
    cargo metadata --locked --format-version 1 --no-deps |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

# Builds the gateway, without optimisation, and prints where it is.
build_gateway() {
    cargo build --locked >&2 && echo "$(target_folder)/debug/chartbrew-gateway"
}

# make_certificates FOLDER: a CA (ca.pem), and a certificate of it for localhost (gateway.pem, gateway.key).
make_certificates() {
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1)
    openssl req -x509 "${key[@]}" -subj '/CN=test CA' -keyout "$1/ca.key" -out "$1/ca.pem" 2>/dev/null
    openssl req -x509 "${key[@]}" -subj '/CN=localhost' -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
        -addext 'basicConstraints=critical,CA:FALSE' -CA "$1/ca.pem" -CAkey "$1/ca.key" \
        -keyout "$1/gateway.key" -out "$1/gateway.pem" 2>/dev/null
}

# await_line PIPE FILE PATTERN: reads a pipe into a file up to a line that matches, and keeps it open.
await_line() {
    local line= pipe
    exec {pipe}<"$1"
    # shellcheck disable=SC2053 # a pattern
    while [[ $line != $3 ]]; do
        if ! IFS= read -r -t 60 -u "$pipe" line; then
            printf 'FAIL  it did not start\n' >&2
            cat "$WORK"/*.out "$WORK"/*.err >&2
            exit 1
        fi
        printf '%s\n' "$line" >>"$2"
    done
}

# start_demo FLAG...: builds it and waits until it serves, at $ADDR. What it prints is in $WORK/demo.out.
start_demo() {
    local gateway
    gateway=$(build_gateway)
    mkfifo "$WORK/demo.pipe"
    "$gateway" demo --listen 127.0.0.1:0 "$@" >"$WORK/demo.pipe" 2>"$WORK/demo.err" &
    started+=($!)
    # Its last line comes when everything has been set up and called once.
    await_line "$WORK/demo.pipe" "$WORK/demo.out" 'Serving until*'
    ADDR=$(sed -n 's/^The gateway serves gRPC at *//p' "$WORK/demo.out")
    readonly ADDR
}

# start_gateway BINARY: the embedded Chartbrew and a gateway before it, each a process of its own. It serves
# at $ADDR, its process is $gateway, its log is in $WORK/gateway.err.
start_gateway() {
    mkfifo "$WORK/sandbox.pipe"
    "$1" sandbox --listen 127.0.0.1:0 >"$WORK/sandbox.pipe" 2>"$WORK/sandbox.err" &
    started+=($!)
    await_line "$WORK/sandbox.pipe" "$WORK/sandbox.out" 'url *'
    CHARTBREW_URL=$(sed -n 's/^url *//p' "$WORK/sandbox.out") \
        "$1" serve --listen 127.0.0.1:0 --admin-listen off 2>"$WORK/gateway.err" &
    gateway=$!
    started+=("$gateway")
    : >>"$WORK/gateway.err"
    until ADDR=$(sed -n '/"serving"/s/.*"addr":"\([^"]*\)".*/\1/p' "$WORK/gateway.err") && [[ -n $ADDR ]]; do
        kill -0 "$gateway" || { cat "$WORK/gateway.err" >&2 && exit 1; }
        sleep 0.1
    done
    readonly ADDR
}
