#!/usr/bin/env bash
# Calls the demo with the real grpcurl, as a person would: reflection, health, good and bad calls,
# the command that the demo prints, and the commands of the README with the output it shows.
#
# Needs Rust, Go and Python 3. grpcurl is installed, pinned, into .ci/tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly GRPCURL_VERSION=1.9.3
readonly BIN="$PWD/.ci/tools/grpcurl-$GRPCURL_VERSION"
readonly SERVICE=chartbrew.connection.v1.ConnectionService
readonly TOKEN='authorization: Bearer sandbox-token'

source tests/demo.sh

# === Small things ===

passed() { printf 'ok    %s\n' "$1"; }

fail() {
    printf 'FAIL  %s\n' "$1" >&2
    shift
    [[ $# -eq 0 ]] || sed 's/^/      /' "$@" >&2
    exit 1
}

# call NAME ARGUMENT...: grpcurl that must succeed; its output is in $WORK/out.
call() {
    local name=$1
    shift
    grpcurl -plaintext "$@" >"$WORK/out" 2>"$WORK/err" || fail "$name" "$WORK/out" "$WORK/err"
}

# refused NAME ARGUMENT...: grpcurl that must fail; what it says is in $WORK/out.
refused() {
    local name=$1
    shift
    if grpcurl -plaintext "$@" >"$WORK/out" 2>&1; then fail "$name: was not refused" "$WORK/out"; fi
}

# says NAME TEXT...: each text must be in the output of the last call.
says() {
    local name=$1 text
    shift
    for text in "$@"; do
        grep -qF -- "$text" "$WORK/out" || fail "$name: \"$text\" is not in" "$WORK/out"
    done
    passed "$name"
}

# === What is needed ===

if [[ ! -x $BIN/grpcurl ]]; then
    echo "installing grpcurl $GRPCURL_VERSION"
    GOBIN="$BIN" go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@v$GRPCURL_VERSION"
fi
export PATH="$BIN:$PATH"

# === The demo ===

start_demo
passed "the demo serves at $ADDR"

# === Reflection and health ===

call list "$ADDR" list
says "list" "$SERVICE" grpc.health.v1.Health

call describe "$ADDR" describe "$SERVICE"
says "describe a service" "rpc Create ( .chartbrew.connection.v1.CreateRequest )"

call describe "$ADDR" describe chartbrew.connection.v1.NewConnection
says "describe a message" \
    "optional string db_name = 6;" "google.protobuf.Value options = 9" "extra_fields = 100"

call template -msg-template "$ADDR" describe chartbrew.connection.v1.CreateRequest
says "describe with a template to fill in" '"teamId": 0' '"subType": "CONNECTION_SUB_TYPE_UNSPECIFIED"'

# What grpcurl used above is v1. Older clients ask for v1alpha: as much of its proto as is asked.
cat >"$WORK/v1alpha.proto" <<'PROTO'
syntax = "proto3";
package grpc.reflection.v1alpha;
service ServerReflection {
  rpc ServerReflectionInfo(stream Request) returns (stream Response);
}
message Request { string list_services = 7; }
message Response { Services list_services_response = 6; }
message Services { repeated Service service = 1; }
message Service { string name = 1; }
PROTO
call "reflection v1alpha" -import-path "$WORK" -proto v1alpha.proto -d '{"list_services": "*"}' \
    "$ADDR" grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo
says "reflection v1alpha" "$SERVICE"

call health "$ADDR" grpc.health.v1.Health/Check
says "health of the server" SERVING
call health -d "{\"service\": \"$SERVICE\"}" "$ADDR" grpc.health.v1.Health/Check
says "health of the service" SERVING

# === Create ===

call create -H "$TOKEN" -d @ "$ADDR" "$SERVICE/Create" <examples/create.json
python3 - examples/create.json "$WORK/out" <<'PYTHON' || fail "create" "$WORK/out"
import json, re, sys

def camel(name):
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)

def missing(sent, got, path):
    if isinstance(sent, dict):
        for name, value in sent.items():
            if not isinstance(got, dict) or camel(name) not in got:
                yield f"{path}.{name} did not come back"
            else:
                yield from missing(value, got[camel(name)], f"{path}.{name}")
    elif sent != got:
        yield f"{path}: sent {sent!r}, got {got!r}"

sent, got = (json.load(open(path)) for path in sys.argv[1:])
connection = got["connection"]
found = list(missing(sent["connection"], connection, "connection"))
found += missing(sent["team_id"], connection["teamId"], "team_id")
if not connection.get("id") or "createTime" not in connection:
    found.append("no id or no time of creation")
print("\n".join(found), end="\n" if found else "")
sys.exit(bool(found))
PYTHON
passed "Create with the documented sample: every field comes back"

call "create, in text" -format text -H "$TOKEN" \
    -d 'team_id: 1, connection: {name: "orders", type: CONNECTION_TYPE_MONGODB}' \
    "$ADDR" "$SERVICE/Create"
says "Create with the request and the response in protobuf's text format" 'name: "orders"'

call "trailers" -v -H "$TOKEN" -H 'x-request-id: from-the-caller' -d @ \
    "$ADDR" "$SERVICE/Create" <examples/create.json
says "the trailers name the call and its attempts" \
    "x-request-id: from-the-caller" "x-upstream-attempts: 1"

once='{"team_id": 1, "request_id": "8b7cbbd4-37cf-4f0c-a6d5-0e0b0ea2d0a3", "connection":
    {"name": "once", "type": "CONNECTION_TYPE_MONGODB"}}'
call "create with a request_id" -H "$TOKEN" -d "$once" "$ADDR" "$SERVICE/Create"
first=$(grep '"id"' "$WORK/out")
call "repeat it" -v -H "$TOKEN" -d "$once" "$ADDR" "$SERVICE/Create"
says "the same request_id creates one connection" "$first" "x-outcome: replayed"

# === Refusals ===

refused "several mistakes" -H "$TOKEN" -d '{"connection": {"port": "5432",
    "project_ids": ["1"], "oauth_id": "no-uuid", "options": "text"}}' "$ADDR" "$SERVICE/Create"
says "all mistakes at once, with details decoded" \
    "Code: InvalidArgument" "google.rpc.BadRequest" "google.rpc.ErrorInfo" \
    '"reason": "INVALID_FIELD"' '"domain": "gateway.chartbrew.com"' \
    '"field": "team_id"' '"field": "connection.name"' '"field": "connection.type"' \
    '"field": "connection.oauth_id"' '"field": "connection.options"'
# grpcurl's marks of a detail whose type it does not know.
if grep -qE '@error|@value' "$WORK/out"; then
    fail "details are not decoded" "$WORK/out"
fi

refused "no token" -d @ "$ADDR" "$SERVICE/Create" <examples/create.json
says "no token" "Code: Unauthenticated" '"reason": "TOKEN_MISSING"'

refused "wrong token" -H 'authorization: Bearer wrong' -d @ "$ADDR" "$SERVICE/Create" \
    <examples/create.json
says "a token that Chartbrew rejects" "Code: Unauthenticated" '"reason": "TOKEN_REJECTED"'

refused "another team" -H "$TOKEN" -d '{"team_id": 2, "connection":
    {"name": "n", "type": "CONNECTION_TYPE_API"}}' "$ADDR" "$SERVICE/Create"
says "a team that the token has no right in" "Code: PermissionDenied" '"reason": "ACCESS_DENIED"'

# === What is there to be copied ===

sed -n '/^Try it yourself:/,/^Serving until/p' "$WORK/demo.out" | sed '1d;$d' >"$WORK/printed"
grep -q '^grpcurl ' "$WORK/printed" || fail "the demo prints no command" "$WORK/demo.out"
eval "$(cat "$WORK/printed")" >"$WORK/out" 2>&1 || fail "the demo's command" "$WORK/printed" "$WORK/out"
says "the command that the demo prints" '"name": "orders"' '"type": "CONNECTION_TYPE_POSTGRES"'

# Every `console` block of these pages, with the output it shows; ids,
# times, paths and tokens may differ.
python3 - "$ADDR" "$(sed -n 's/^An embedded Chartbrew answers at *//p' "$WORK/demo.out")" <<'PYTHON' >"$WORK/out" 2>&1 || fail "the commands of README.md and docs/" "$WORK/out"
import difflib, re, subprocess, sys

gateway, sandbox = sys.argv[1:]
PAGES = ("README.md", "docs/connections.md", "docs/clients.md")
uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

def alike(output):
    output = re.sub(uuid, "<uuid>", output)
    output = re.sub(r'"id": \d+', '"id": <id>', output)
    output = re.sub(r"no connection \d+", "no connection <id>", output)
    output = re.sub(r'(\.connectionFiles/|"nextPageToken": ")[\w-]+', r"\1<any>", output)
    output = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>", output)
    return [" ".join(line.split()) for line in output.strip().splitlines()]

blocks = []
for page in PAGES:
    blocks += re.findall(r"^```console\n(.*?)^```", open(page).read(), re.S | re.M)
ran = 0
ids = {}  # what a page shows: what it is here
for block in blocks:
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        lines = part.splitlines(keepends=True)
        end = 1 + next(n for n, line in enumerate(lines) if not line.endswith("\\\n"))
        if "<<JSON" in lines[end - 1]:
            end = 1 + lines.index("JSON\n")
        command, shown = "".join(lines[:end]), "".join(lines[end:])
        command = re.sub(r'"connection_id": (\d+)',
            lambda match: '"connection_id": ' + ids.get(match[1], match[1]), command)
        command = command.replace("127.0.0.1:50051", gateway)
        command = command.replace("http://127.0.0.1:4019", sandbox)
        ended = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=60)
        if alike(shown) != alike(ended.stdout):
            print("$ " + command, *difflib.unified_diff(alike(shown), alike(ended.stdout),
                "shown", "printed", lineterm=""), sep="\n")
            sys.exit(1)
        ran += 1
        ids |= dict(zip(re.findall(r'"id": (\d+)', shown), re.findall(r'"id": (\d+)', ended.stdout)))
print(ran, "commands")
sys.exit(ran == 0)
PYTHON
passed "README.md and docs/: $(cat "$WORK/out") print what they show"
