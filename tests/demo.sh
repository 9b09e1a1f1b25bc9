# Sourced by the scripts that call the demo. It ends with the script, and so does $WORK, a folder.
# shellcheck shell=bash

WORK=$(mktemp -d)
readonly WORK
demo=

end_demo() {
    if [[ -n $demo ]]; then
        # Not TERM: it would wait for what the README leaves without a response.
        kill -KILL "$demo" 2>/dev/null || true
        wait "$demo" 2>/dev/null || true
    fi
    rm -rf "$WORK"
}
trap end_demo EXIT

# start_demo FLAG...: builds it and waits until it serves, at $ADDR. What it prints is in $WORK/demo.
start_demo() {
    local target line=
    cargo build --locked
    # Not always `target`: CARGO_TARGET_DIR or a configuration of cargo's may name another folder.
    target=$(cargo metadata --locked --format-version 1 --no-deps |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    mkfifo "$WORK/pipe"
    "$target/debug/chartbrew-gateway" demo --listen 127.0.0.1:0 "$@" >"$WORK/pipe" 2>"$WORK/demo.err" &
    demo=$!
    exec 3<"$WORK/pipe"
    # Its last line comes when everything has been set up and called once.
    while [[ $line != "Serving until"* ]]; do
        if ! IFS= read -r -t 60 -u 3 line; then
            printf 'FAIL  the demo did not start\n' >&2
            cat "$WORK/demo" "$WORK/demo.err" >&2
            exit 1
        fi
        printf '%s\n' "$line" >>"$WORK/demo"
    done
    ADDR=$(sed -n 's/^The gateway serves gRPC at *//p' "$WORK/demo")
    readonly ADDR
}
