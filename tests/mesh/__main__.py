"""Gateways in a mesh: an Envoy with HTTP/2 on both sides before two gateways that share a Redis.

    python3 tests/mesh GATEWAY ENVOY GENERATED-CODE FOLDER [PART...] [SETTING=VALUE...]

GATEWAY and ENVOY are the programs, FOLDER gets their logs. The parts are `protocol`, `faults`, `killed`,
`restarts` and `kills`, by default all of them. A setting is one of the gateways'. Some settings break a
promise: with GATEWAY_REQUEST_ID_STORE=memory `killed` and `kills` must fail, with GATEWAY_SHUTDOWN_DELAY=0s
`restarts`.
"""

import asyncio
import signal
import sys
import time
from collections import Counter
from pathlib import Path

BINARY, ENVOY, GENERATED, FOLDER, *CHOSEN = sys.argv[1:]
sys.path.insert(0, GENERATED)

import envoy
from callers import Caller, Create, Load, Told, new_id, pb
from envoy import DEPLOYED, REPEATING, SHORT
from processes import Binaries, Mesh, until

# Several programs, each with a connection of its own and some calls at a time.
CALLERS, AT_ONCE = 8, 4
CALLS = 10_000
# What the real Chartbrew takes at least: 8 to 35 ms.
WORK_MS = 15

# A deadline that is shorter than a lease in Redis.
HURRY = 8

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def say(text: str):
    print(f"ok    {text}", flush=True)


def check(holds: bool, what: str):
    """As an `assert` that is never left out."""
    if not holds:
        raise AssertionError(what)


def same(got, expected, what: str):
    check(got == expected, f"{what}: {got!r}, expected {expected!r}")


def any_create(name: str, number: int) -> Create:
    """Each of the four kinds in turn: by both ways, with a request_id and without."""
    return Create(name, (REPEATING, DEPLOYED)[number % 2], new_id() if number // 2 % 2 else None)


# === The parts ===


async def protocol(mesh: Mesh):
    """HTTP/2 from end to end, deadlines, traces."""
    async with Caller(mesh.envoy.addresses, mesh.chartbrew.token) as caller:
        traceparent = f"00-{TRACE}-00f067aa0ba902b7-01"
        told = await caller.create(Create("traced", REPEATING), metadata=[("traceparent", traceparent)])
        check(told.is_ok, f"a plain create: {told}")
        (seen,) = mesh.chartbrew.creates()
        same(seen["headers"].get("traceparent", "").split("-")[1:2], [TRACE], "the trace that Chartbrew sees")

        http2, http1 = f"http.{REPEATING}.downstream_cx_http2_total", f"http.{REPEATING}.downstream_cx_http1_total"
        check(mesh.envoy.stat(http2) > 0 and mesh.envoy.stat(http1) == 0, "a caller without HTTP/2")
        http2, http1 = (f"cluster.{envoy.CLUSTER}.upstream_cx_{version}_total" for version in ("http2", "http1"))
        check(mesh.envoy.stat(http2) > 0 and mesh.envoy.stat(http1) == 0, "a gateway without HTTP/2")
        say("HTTP/2 from the caller to Envoy and from Envoy to the gateway; the caller's trace reaches Chartbrew")

        # A Chartbrew that is silent. With our ErrorInfo, a gateway ended the call, since it knew the deadline.
        # At the deadline itself the caller's library or Envoy would do it, without one.
        for route, deadline in ((REPEATING, 2.5), (SHORT, 60)):
            limit = min(deadline, envoy.SHORT_LIMIT) if route == SHORT else deadline
            for method, reason in (("Create", "OUTCOME_UNKNOWN"), ("List", "UPSTREAM_UNAVAILABLE")):
                mesh.chartbrew.faults({"on": method.lower(), "times": "forever", "what": "silent"})
                message = Create("silent", route).message() if method == "Create" else pb.ListRequest(team_id=1)
                began = time.monotonic()
                told = await caller.call(method, message, route, timeout=deadline)
                took = time.monotonic() - began
                check(isinstance(told, Told), f"{method} by {route}: a response of a silent Chartbrew")
                what = f"{method} by {route} after {took:.2f} s"
                same((told.code, told.reason), ("DEADLINE_EXCEEDED", reason), what)
                check(limit / 2 < took < limit, f"{what} of {limit} s")
                most = f"at most {limit} s by Envoy" if route == SHORT else "not changed by Envoy"
                say(f"{method}, silent Chartbrew, deadline {deadline} s, {most}: {told.name} after {took:.2f} s")


NOT_FORWARDED = {"status": 503, "content_type": "text/plain", "body": "no healthy upstream"}

FAULTS = {
    "stored, connection dropped": [{"what": "drop_after_storing"}],
    "stored, 503 of a proxy": [{"what": {"store_then_respond": {"status": 503}}}],
    "503 of a proxy, stored late": [{"delay_after_storing_ms": 300, "what": {"respond_then_store": {"status": 503}}}],
    # More often than the gateway itself sends it: three times.
    "not forwarded": [{"times": 4, "what": {"respond": NOT_FORWARDED}}],
}


async def faults(mesh: Mesh):
    """A Chartbrew that fails: what Envoy repeats creates nothing twice."""
    async with Caller(mesh.envoy.addresses, mesh.chartbrew.token) as caller:
        for what, script in FAULTS.items():
            creates = [any_create(f"{what} {number}", number) for number in range(24)]
            mesh.chartbrew.faults(*({"on": "create", **fault} for fault in script for _ in creates))
            retries = mesh.envoy.retries
            told = dict(zip(creates, await asyncio.gather(*map(caller.pursue, creates))))
            mesh.chartbrew.faults()
            retries = mesh.envoy.retries - retries
            rows = settle(mesh, told)
            if what == "not forwarded":
                check(retries > 0, "Envoy repeated nothing: this has tried nothing")
            say(f"{what}: {len(told)} creates, {len(rows)} rows, 0 duplicated; repeated by Envoy {retries} times")


async def killed(mesh: Mesh):
    """A gateway that is killed during creates, which go on in Chartbrew."""
    # In this order: (way, with a request_id, the deadline of the first call).
    kinds = [
        (REPEATING, True, None),
        (DEPLOYED, True, None),
        (REPEATING, False, None),
        (DEPLOYED, False, None),
        (REPEATING, True, HURRY),
    ]
    calls, delay_ms = 12 * len(kinds), 3_000
    told, hurried = {}, []
    mesh.chartbrew.faults(
        {"on": "create", "times": calls // 2, "delay_before_storing_ms": delay_ms},
        {"on": "create", "times": calls // 2, "delay_after_storing_ms": delay_ms},
    )

    async def create(caller: Caller, number: int):
        route, has_id, deadline = kinds[number % len(kinds)]
        wanted = Create(f"killed {number}", route, new_id() if has_id else None)
        if deadline:
            hurried.append(await caller.create(wanted, timeout=deadline))
        told[wanted] = await caller.pursue(wanted)

    async with Caller(mesh.envoy.addresses, mesh.chartbrew.token) as caller, asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(create(caller, number))
        await until(lambda: len(mesh.chartbrew.creates()) == calls, "all creates at Chartbrew")
        lost = mesh.envoy.active(mesh.gateways[0])
        mesh.gateways[0].kill()
    check(lost > 0, "the gateway that was killed had no call")
    unsafe = [create for create in told if create.request_id is None and create.route == REPEATING]
    safe = {create: calls for create, calls in told.items() if create not in unsafe}
    settle(mesh, safe)
    say(
        f"a gateway killed with {lost} creates under way: of {len(safe)} creates with a request_id, or not repeated by "
        "Envoy, 0 duplicated"
    )

    # The other gateway, to which Envoy repeats the call, waits longer for the lease of the killed one than
    # the caller does. It must know what is left of the deadline.
    late = Counter(told.name for told in hurried)
    ended = late.pop("DEADLINE_EXCEEDED OUTCOME_UNKNOWN", 0)
    check(ended > 0 and set(late) <= {"OK"}, f"{ended} ended by the second gateway, but: {dict(late)}")
    say(f"of {len(hurried)} with a deadline of {HURRY} s, the second gateway, by Envoy's retry, ended {ended} in time")

    # What the documentation warns of: a proxy that repeats a Create without a request_id.
    rows = mesh.chartbrew.rows()
    twice = sum(len(rows.get(create.name, [])) > 1 for create in unsafe)
    check(
        twice > 0, "no Create without a request_id was duplicated by Envoy's retry: the documentation says that it is"
    )
    say(f"of {len(unsafe)} creates without a request_id that Envoy repeats, {twice} duplicated, as documented")


async def restarts(mesh: Mesh):
    """A rolling restart under load."""

    def make(number: int) -> Create:
        return any_create(f"restarts {number}", number)

    mesh.chartbrew.faults({"on": "create", "times": "forever", "delay_before_storing_ms": WORK_MS})
    load = Load(CALLS, CALLERS, AT_ONCE, make, repeats=False)
    took, during = [], []

    async def restart():
        for number, gateway in enumerate(list(mesh.gateways)):
            await load.done(len(load.told) + CALLS // 10)
            before = len(load.told)
            took.append(await gateway.stop())
            await mesh.replace(number)
            during.append(len(load.told) - before)
        load.over.set()

    await together(load.run(mesh), restart())
    failed = load.names()
    ok = failed.pop("OK", 0)
    check(not failed, f"{sum(failed.values())} of {len(load.told)} failed: {dict(failed)}")
    check(all(during), f"no create ended during a restart: {during}")
    rows = settle(mesh, load.told)
    same((ok, len(rows)), (len(load.told), len(load.told)), "creates that were told OK, and rows")
    connections = mesh.envoy.stat(f"cluster.{envoy.CLUSTER}.upstream_cx_total")
    say(
        f"rolling restart, SIGTERM: {load.figures}, on {connections} connections of Envoy's: 0 failed, 0 duplicated; "
        f"{during[0]:,} and {during[1]:,} creates during the restarts; the gateways ended after {took[0]:.1f} s and "
        f"{took[1]:.1f} s; repeated by Envoy {mesh.envoy.retries} times"
    )


async def kills(mesh: Mesh):
    """The same with SIGKILL."""

    def make(number: int) -> Create:
        # Without a request_id no proxy may repeat it.
        if number % 10 == 0:
            return Create(f"kills {number}", DEPLOYED)
        return Create(f"kills {number}", (REPEATING, DEPLOYED)[number % 2], new_id())

    mesh.chartbrew.faults({"on": "create", "times": "forever", "delay_before_storing_ms": WORK_MS})
    load = Load(CALLS, CALLERS, AT_ONCE, make, repeats=True)
    lost = []

    async def kill():
        for number, gateway in enumerate(list(mesh.gateways)):
            await load.done(len(load.told) + CALLS // 10)
            lost.append(mesh.envoy.active(gateway))
            gateway.kill()
            await mesh.replace(number)
        load.over.set()

    await together(load.run(mesh), kill())
    rows = settle(mesh, load.told)
    broken = load.names()
    broken.pop("OK")
    check(sum(broken.values()) > 0, "the kills broke no call: this has tried nothing")
    with_id = sum(create.request_id is not None for create in load.told)
    anew = sum(told.is_unknown_for_good for create, calls in load.told.items() if create.request_id for told in calls)
    say(
        f"rolling restart, SIGKILL: {load.figures}, {lost[0]} and {lost[1]} under way at the gateways: 0 duplicated; "
        f"{with_id:,} with a request_id have a row each, {anew} of them under a second one; "
        f"{len(load.told) - with_id:,} without have {len(rows) - with_id:,} rows; "
        f"repeated by Envoy {mesh.envoy.retries} times; told besides OK: {dict(broken)}"
    )


# === What must hold ===


def settle(mesh: Mesh, told: dict[Create, list[Told]]) -> dict[str, list[int]]:
    """Holds what callers were told against the rows, and returns the rows of these creates.

    A create with a request_id has one row, and its caller was told it in the end. One without has one at most:
    that which was told, and none if a gateway said that nothing was created.
    """
    stored = mesh.chartbrew.rows()
    rows = {create.name: stored[create.name] for create in told if create.name in stored}
    duplicated = {name: ids for name, ids in rows.items() if len(ids) > 1}
    check(not duplicated, f"{len(duplicated)} duplicated, such as {list(duplicated.items())[:3]}")
    wrong = []
    for create, calls in told.items():
        ids, last = rows.get(create.name, []), calls[-1]
        if last.is_ok or create.request_id:
            is_right = last.is_ok and ids == [last.id]
        else:
            is_right = not (ids and last.proves_that_nothing_was_created)
        if not is_right:
            wrong.append(f"{create}, told {'; '.join(map(str, calls))}, rows {ids}")
    check(not wrong, f"{len(wrong)} told something else than is stored, such as {wrong[0]}" if wrong else "")
    return rows


async def together(*tasks):
    """Ends all if one fails."""
    async with asyncio.TaskGroup() as group:
        for task in tasks:
            group.create_task(task)


# === Run ===

# They mostly wait: each has a mesh of its own, and they run at the same time. The others need the machine.
TOGETHER = (protocol, faults, killed)
PARTS = {part.__name__: part for part in (*TOGETHER, restarts, kills)}


async def run(part, settings: dict):
    began = time.monotonic()
    async with Mesh(Binaries(BINARY, ENVOY), Path(FOLDER) / part.__name__, settings) as mesh:
        await part(mesh)
    say(f"{part.__name__} in {time.monotonic() - began:.1f} s")


async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    settings = dict(word.split("=", 1) for word in CHOSEN if "=" in word)
    chosen = [PARTS[word] for word in CHOSEN if "=" not in word] or list(PARTS.values())
    await together(*(run(part, settings) for part in chosen if part in TOGETHER))
    for part in chosen:
        if part not in TOGETHER:
            await run(part, settings)


def failures(error: BaseException):
    """Those in a group of them too."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from failures(one)
    else:
        yield error


try:
    asyncio.run(main())
except* AssertionError as group:
    # What was expected is in the text. Anything else is a mistake in this test, with its traceback.
    sys.exit("\n".join(f"FAIL  {error}" for error in failures(group)))
