"""The clients of clients/, each against a gateway of its own before an embedded Chartbrew.

    python3 tests/clients GATEWAY FOLDER LANGUAGE... [SETTING=VALUE...]

Python has grpcio-status. GATEWAY is the program. FOLDER has the certificates, and gets the logs. Each language's client was built. A setting is
one of the gateways'. With GATEWAY_REQUEST_ID_STORE=memory `killed` must fail.
"""

import asyncio
import json
import os
import re
import signal
import socket
import sys
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

BINARY, FOLDER, *CHOSEN = sys.argv[1:]
LANGUAGES = [word for word in CHOSEN if "=" not in word]
FOLDER = Path(FOLDER)
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/mesh"))

from processes import GATEWAY, LIMIT, Chartbrew, Gateway, Process, Processes, request, until

# All is on loopback: a proxy must not come between.
for name in list(os.environ):
    if name.lower() in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        del os.environ[name]

# Each failure of Chartbrew reaches the client.
SETTINGS = {**GATEWAY, "GATEWAY_ATTEMPTS": "1"}
CHOSEN_SETTINGS = dict(word.split("=", 1) for word in CHOSEN if "=" in word)

# Long enough for all clients of a language to have called before the first is answered.
SLOW_MS = 8_000
# More than a first wait of the client's own, less than what a gateway says.
TOLD_TO_WAIT = 0.4
DEADLINE = 5
# How much later a busy machine may end a call, and how long it takes to start a client and to end it.
LATE, STARTED = 0.5, 20
# What a wait is printed with.
ROUNDED = 0.05
# The first wait of a client, which is also its least.
FIRST_WAIT = 0.2

# A decimal comma, where numbers are printed as the locale does. And 0.0.0.0 is loopback only by IPv4.
JAVA = {"JAVA_TOOL_OPTIONS": "-Duser.language=de -Djava.net.preferIPv4Stack=true"}

NOT_FORWARDED = {"respond": {"status": 503, "content_type": "text/plain", "body": "no healthy upstream"}}

OLD_PASSWORD, NEW_PASSWORD = "old-password", "new-password"
PEM = "BEGIN CERTIFICATE"
REPEATED = re.compile(r"repeated after (\d+\.\d) s: UNAVAILABLE")


class Ended(NamedTuple):
    """A client that has ended, and what it has printed."""

    status: int
    out: list[str]
    err: list[str]
    seconds: float

    @property
    def created(self) -> int:
        """The id that it says it has created, and nothing else."""
        check(self.status == 0 and len(self.out) == 1, f"not a creation: {self}")
        return int(matched(r"created (\d+)", self.out[0])[1])

    @property
    def waits(self) -> list[float]:
        return [float(match[1]) for line in self.err if (match := REPEATED.fullmatch(line))]

    def failed(self, code: str, reason: str) -> list[str]:
        """The lines below the failure."""
        check(self.status == 1 and not self.out, f"not a failure with status 1: {self}")
        # Libraries write lines of their own before it.
        starts = [number for number, line in enumerate(self.err) if line.startswith("failed ")]
        same(len(starts), 1, f"failures in {self}")
        matched(f"failed {code} {reason}: .+", self.err[starts[0]])
        return self.err[starts[0] + 1 :]


class Place(Processes):
    """A language's Redis, Chartbrew and gateways, one of them with TLS."""

    def __init__(self, language: str):
        super().__init__(FOLDER / language)
        self.language = language

    async def start(self):
        self.held = reserve()
        self.stub = self.own(Process([sys.executable, "-B", Path(__file__).with_name("stub.py")], self.folder / "stub.log"))
        self.stub_port = int(await self.stub.read(r"port (\d+)"))
        self.redis = await self.start_redis()
        self.chartbrew = self.own(Chartbrew(BINARY, self.folder / "chartbrew.log"))
        await self.chartbrew.serves()
        self.gateway = await self.start_gateway("gateway", GATEWAY_LISTEN=address_of(self.held))
        self.tls = await self.start_gateway(
            "tls", GATEWAY_TLS_CERT=str(FOLDER / "gateway.pem"), GATEWAY_TLS_KEY=str(FOLDER / "gateway.key")
        )

    async def start_gateway(self, name: str, **settings: str) -> Gateway:
        place = {"CHARTBREW_URL": self.chartbrew.url, "GATEWAY_REQUEST_ID_STORE": self.redis}
        env = {**SETTINGS, **place, **settings, **CHOSEN_SETTINGS}
        gateway = self.own(Gateway(BINARY, self.folder / f"{name}.log", env))
        await gateway.serves()
        return gateway

    async def client(self, *args: str, port: int | None = None, **env: str) -> Ended:
        began = time.monotonic()
        env = {
            "CLIENT_ADDRESS": f"127.0.0.1:{port or self.gateway.port}",
            "CLIENT_TOKEN": self.chartbrew.token,
            **env,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLIENT_")}
        child = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", ROOT / "clients" / self.language / "run", *args),
            env={**inherited, **JAVA, **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(LIMIT + 30):
                out, err = (text.decode() for text in await child.communicate())
        except TimeoutError:
            raise AssertionError(f"{' '.join(args)} does not end") from None
        finally:
            if child.returncode is None:
                child.kill()
        for secret in (*(env["CLIENT_TOKEN"] or self.chartbrew.token).split("\n"), OLD_PASSWORD, NEW_PASSWORD, PEM):
            check(secret not in out + err, f"{' '.join(args)} prints a secret, {secret}:\n{out}{err}")
        return Ended(child.returncode, out.splitlines(), err.splitlines(), time.monotonic() - began)

    def seen(self) -> list[dict]:
        """The requests that Chartbrew has received, and forgotten now."""
        found = request(f"{self.chartbrew.url}/_sandbox/requests")
        request(f"{self.chartbrew.url}/_sandbox/requests", "DELETE")
        return found

    def posts(self, name: str) -> int:
        """How often Chartbrew was asked to create this."""
        found = [seen for seen in self.chartbrew.creates() if seen["path"].endswith("/connections")]
        return sum(json.loads(seen["body"])["name"] == name for seen in found)

    def rows(self, name: str) -> list[int]:
        return self.chartbrew.rows().get(name, [])

    def calls(self, method: str) -> list[tuple[float, float]]:
        """When the calls of a method began and ended at the gateway."""
        lines = map(json.loads, self.gateway.log.read_text().splitlines())
        calls = [line for line in lines if line["message"] == "call" and line["method"].endswith(f"/{method}")]
        ends = [datetime.fromisoformat(line["timestamp"]).timestamp() for line in calls]
        return [(end - line["duration_ms"] / 1000, end) for end, line in zip(ends, calls)]

    async def calls_since(self, before: int, number: int) -> list[tuple[float, float]]:
        """So many calls of Create, without those before."""
        return await until(
            lambda: len(found := self.calls("Create")[before:]) == number and found, f"{number} calls in the log"
        )

    def stub_times(self, token: str) -> list[float]:
        """When the stub was called with a token."""
        lines = (line.rpartition(" ") for line in self.stub.log.read_text().splitlines())
        return [float(time) for seen, _, time in lines if seen == token]


def reserve() -> socket.socket:
    """A port that is given to nobody else, as long as this exists: it never listens, but a gateway can."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def address_of(held: socket.socket) -> str:
    return f"127.0.0.1:{held.getsockname()[1]}"


def check(holds: bool, what: str):
    """As an `assert` that is never left out."""
    if not holds:
        raise AssertionError(what)


def same(got, expected, what: str):
    check(got == expected, f"{what}: {got!r}, expected {expected!r}")


def matched(pattern: str, line: str) -> re.Match:
    match = re.fullmatch(pattern, line)
    check(match is not None, f'"{line}" is not "{pattern}"')
    return match


def new_id() -> str:
    return str(uuid.uuid4())


# === What each client does ===


async def lifecycle(place: Place, **env):
    place.seen()
    ended = await place.client("lifecycle", **env)
    check(ended.status == 0 and not ended.waits and len(ended.out) == 4, f"not a lifecycle: {ended}")
    id = matched(r"created (\d+)", ended.out[0])[1]
    matched(r"tested success=(true|false: .+)", ended.out[1])
    host = matched(rf"updated {id} host=(\S+)", ended.out[2])[1]
    same(ended.out[3], f"deleted {id}", "the last line")
    same(place.rows("orders"), [], "rows that were deleted")

    seen = {}
    for one in place.seen():
        # Looking is for the gateway to decide.
        if (one["method"], "/test" in one["path"]) != ("GET", False):
            seen.setdefault((one["method"], re.sub(r"\d+", "N", one["path"]).split("?")[0]), []).append(one["body"])
    at = "/team/N/connections"
    expected = [("POST", at), ("POST", f"{at}/N/files"), ("GET", f"{at}/N/test"), ("PUT", f"{at}/N"), ("DELETE", f"{at}/N")]
    same([(key, len(bodies)) for key, bodies in seen.items()], [(key, 1) for key in expected], "what Chartbrew was asked")
    sent, changed = (json.loads(seen[key][0]) for key in (("POST", at), ("PUT", f"{at}/N")))
    for field in ("host", "port", "username", "password"):
        check(isinstance(sent.get(field), str) and sent[field], f"{field} is missing in {sent}")
    check(isinstance(sent.get("options"), list) and sent["options"], f"options are no list in {sent}")
    (uploaded,) = seen["POST", f"{at}/N/files"]
    check('name="sslCa"' in uploaded and PEM in uploaded, f"not the file: {uploaded}")
    same(changed.get("host"), host, "the new host")
    same(changed.get("password"), NEW_PASSWORD, "the new password")
    check(set(changed) <= {"host", "password", "team_id", "id"}, f"changes more than the mask names: {changed}")


async def plain(place: Place):
    await lifecycle(place)


async def tls(place: Place):
    await lifecycle(place, port=place.tls.port, CLIENT_CA_FILE=str(FOLDER / "ca.pem"))
    ended = await place.client("create", "other", port=place.tls.port, CLIENT_CA_FILE=str(FOLDER / "other/ca.pem"))
    ended.failed("UNAVAILABLE", "-")


async def plaintext(place: Place):
    """Only to loopback, or where it was asked for. Linux connects to 0.0.0.0 by loopback."""
    address = f"0.0.0.0:{place.gateway.port}"
    ended = await place.client("create", "tls", CLIENT_ADDRESS=address)
    ended.failed("UNAVAILABLE", "-")
    ended = await place.client("create", "in clear", CLIENT_ADDRESS=address, CLIENT_PLAINTEXT="1")
    same(place.rows("in clear"), [ended.created], "rows")


async def settings(place: Place):
    refused = "CLIENT_TOKEN has characters that no header may have"
    # `client` looks for both parts in what is printed.
    ended = await place.client("create", "token", CLIENT_TOKEN="first-line\nsecond-line")
    same((ended.status, ended.out, ended.err[-1:]), (1, [], [refused]), "with a token of two lines")
    refused = "CLIENT_TIMEOUT_SECONDS must be a number above 0, at most 86400"
    for value in ("nan", "0", "soon"):
        ended = await place.client("create", "timeout", CLIENT_TIMEOUT_SECONDS=value)
        same((ended.status, ended.out, ended.err[-1:]), (1, [], [refused]), f"with the timeout {value}")
    unset = {f"CLIENT_{name}": "" for name in ("TOKEN", "CA_FILE", "TIMEOUT_SECONDS", "PLAINTEXT")}
    ended = await place.client("create", "unset", **unset)
    same(place.rows("unset"), [ended.created], "rows")


async def refused(place: Place):
    """The failure says why nothing could be sent."""
    with reserve() as held:
        ended = await place.client("create", "refused", CLIENT_ADDRESS=address_of(held))
    ended.failed("UNAVAILABLE", "-")
    check("refused" in "".join(ended.err).lower(), f"does not say that the connection was refused: {ended}")


async def stubbed(place: Place):
    """What the gateway never sends, or not together."""

    async def call(token: str) -> Ended:
        return await place.client("create", "stubbed", new_id(), port=place.stub_port, CLIENT_TOKEN=token)

    for ms, wait in ((1500, 1.5), (0, FIRST_WAIT)):
        token = f"pushback={ms}"
        ended = await call(token)
        ended.failed("ABORTED", "-")
        same(ended.waits, [wait], f"waits with {token}")
        first, second = place.stub_times(token)
        check(second - first > wait - ROUNDED, f"repeated after {second - first:.2f} s with {token}")
    # grpcio sends no other texts than numbers of 64 bits. As nanoseconds the last one is a short wait, if they overflow.
    for value in ("-1", str(-(2**63)), "18446744073709552"):
        token = f"pushback={value}"
        ended = await call(token)
        same(ended.failed("UNAVAILABLE", "-"), ["  may be repeated after 0.6 s"], f"details with {token}")
        same(len(place.stub_times(token)), 1, f"calls with {token}")
    (await call("garbled")).failed("ABORTED", "-")
    # grpc-go makes another status of it.
    (await call("other-code")).failed("INTERNAL" if place.language == "go" else "ABORTED", "-")
    ended = await call("empty")
    missing = "a response without its connection"
    same((ended.status, ended.out, ended.err[-1:]), (1, [], [missing]), "after an empty response")


async def deleted(place: Place):
    """Deleted by the first attempt, whose response was lost: the second finds nothing."""
    place.chartbrew.faults({"on": "delete", "what": {"store_then_respond": NOT_FORWARDED["respond"]}})
    ended = await place.client("lifecycle")
    check(ended.status == 0 and ended.out[3:] == [f"deleted {ended.out[0].split()[1]}"], f"not deleted: {ended}")
    same((len(ended.waits), place.rows("orders")), (1, []), "repetitions and rows")


async def violations(place: Place):
    ended = await place.client("create", "")
    lines = ended.failed("INVALID_ARGUMENT", "INVALID_FIELD")
    same(len(lines), 1, f"violations in {lines}")
    matched(r"  connection\.name: is required.*", lines[0])


async def wrong_token(place: Place):
    ended = await place.client("create", "wrong token", CLIENT_TOKEN="not-the-token")
    same(ended.failed("UNAUTHENTICATED", "TOKEN_REJECTED"), [], "details")


async def unavailable(place: Place):
    fault = {"on": "create", "what": NOT_FORWARDED}
    place.chartbrew.faults(fault)
    before = len(place.calls("Create"))
    ended = await place.client("create", "with id", new_id())
    same(place.rows("with id"), [ended.created], "rows")
    same(len(ended.waits), 1, f"repetitions in {ended}")
    (_, end), (begin, _) = await place.calls_since(before, 2)
    check(TOLD_TO_WAIT < ended.waits[0] < begin - end + ROUNDED, f"waited {begin - end:.2f} s: {ended}")

    place.chartbrew.faults(fault)
    ended = await place.client("create", "without id")
    lines = ended.failed("UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
    same(len(lines), 1, f"details in {lines}")
    matched(r"  may be repeated after \d+\.\d s", lines[0])
    same((ended.waits, place.posts("without id"), place.rows("without id")), ([], 1, []), "repetitions, requests, rows")


async def recovered(place: Place):
    place.chartbrew.faults({"on": "create", "what": "drop_after_storing"})
    ended = await place.client("create", "recovered")
    same((place.rows("recovered"), ended.waits), ([ended.created], []), "rows and repetitions")


async def repeated(place: Place):
    id = new_id()
    first, second = [await place.client("create", "repeated", id) for _ in range(2)]
    same((first.created, place.rows("repeated")), (second.created, [second.created]), "ids and rows")


async def deadline(place: Place):
    """It is that of the whole: the last attempt has what the wait has left."""
    place.chartbrew.faults({"on": "create", "what": NOT_FORWARDED}, {"on": "create", "what": "silent"})
    before = len(place.calls("Create"))
    ended = await place.client("create", "late", new_id(), CLIENT_TIMEOUT_SECONDS=str(DEADLINE))
    # The gateway answers shortly before the deadline, or the client's library ends the call at it.
    ended.failed("DEADLINE_EXCEEDED", "(OUTCOME_UNKNOWN|-)")
    same(len(ended.waits), 1, f"repetitions in {ended}")
    (first, _), (begin, end) = await place.calls_since(before, 2)
    check(end - begin < DEADLINE - ended.waits[0] + ROUNDED, f"the attempt after {ended.waits} s took {end - begin:.2f} s")
    check(end - first < DEADLINE + LATE, f"took {end - first:.2f} s in all")

    # And nothing is repeated after it.
    place.chartbrew.faults({"on": "create", "times": "forever", "what": NOT_FORWARDED})
    before = len(place.calls("Create"))
    ended = await place.client("create", "never", new_id(), CLIENT_TIMEOUT_SECONDS=str(DEADLINE))
    ended.failed("(UNAVAILABLE|DEADLINE_EXCEEDED)", "(UPSTREAM_UNAVAILABLE|-)")
    check(len(ended.waits) > 0, f"was not repeated: {ended}")
    calls = await place.calls_since(before, len(ended.waits) + 1)
    check(calls[-1][1] - calls[0][0] < DEADLINE + LATE, f"repeats for longer than {DEADLINE} s: {ended}")
    check(ended.seconds < DEADLINE + STARTED, f"does not end at its deadline: {ended}")
    place.chartbrew.faults()


async def killed(place: Place) -> list[str]:
    """SIGKILL while Chartbrew works. The gateway starts again at the same address."""
    calls = {}
    for delay in ("delay_before_storing_ms", "delay_after_storing_ms"):
        place.chartbrew.faults({"on": "create", "times": 2, delay: SLOW_MS})
        for id in (new_id(), None):
            name = f"{delay} {'with' if id else 'without'} id"
            calls[name] = asyncio.create_task(place.client("create", name, *([id] if id else [])))
        await until(lambda: all(map(place.posts, calls)), "all creates at Chartbrew")
    check(not any(call.done() for call in calls.values()), "a client ended before the kill: this has tried nothing")
    place.gateway.kill()
    place.gateway = await place.start_gateway("again", GATEWAY_LISTEN=address_of(place.held))
    await asyncio.gather(*calls.values())
    # Chartbrew works on when a gateway has gone.
    await until(lambda: all(map(place.rows, calls)), "the rows of all creates")

    cells = []
    for name, call in calls.items():
        rows, end = place.rows(name), call.result()
        same(place.posts(name), 1, f"requests for {name}, {end}")
        if name.endswith("with id"):
            same(rows, [end.created], f"rows of {name}, {end}")
            check(len(end.waits) > 0, f"was not repeated: {end}")
        else:
            end.failed("UNAVAILABLE", "-")
            same((len(rows), len(end.waits)), (1, 0), f"rows and repetitions of {name}, {end}")
        cells.append(f"{len(rows)} row, {end.out[0] if end.out else 'UNAVAILABLE, no reason'}, {len(end.waits)} rep.")
    return cells


# === Run ===

PARTS = (
    *(plain, tls, plaintext, settings, refused, violations, wrong_token, unavailable, stubbed, deleted),
    *(recovered, repeated, deadline),
)


async def run(language: str) -> list[str]:
    part = None
    try:
        async with Place(language) as place:
            for part in (*PARTS, killed):
                cells = await part(place)
        return cells
    except AssertionError as error:
        raise AssertionError(f"{language}, {part.__name__ if part else 'start'}: {error}") from None


async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    began = time.monotonic()
    found = await asyncio.gather(*map(run, LANGUAGES), return_exceptions=True)
    for error in found:
        if isinstance(error, BaseException) and not isinstance(error, AssertionError):
            raise error
    failures = [error for error in found if isinstance(error, AssertionError)]
    for language, cells in zip(LANGUAGES, found):
        if not isinstance(cells, AssertionError):
            print(f"ok    {language}: {', '.join(part.__name__.replace('_', ' ') for part in PARTS)}, killed")
    print("\nA gateway killed by SIGKILL during a create, rows in Chartbrew, what the client printed, its repetitions:\n")
    print("| language | killed before the row was stored, request_id | no request_id | killed after it, request_id | no request_id |")
    print("|---|---|---|---|---|")
    for language, cells in zip(LANGUAGES, found):
        print(f"| {language} | {' | '.join(['FAIL'] * 4 if isinstance(cells, AssertionError) else cells)} |")
    print(f"\n{len(LANGUAGES)} clients in {time.monotonic() - began:.1f} s")
    if failures:
        sys.exit("\n".join(f"FAIL  {error}" for error in failures))


asyncio.run(main())
