"""The parts of a run. In each, the subjects take turns, so that what changes on the machine
changes for all of them."""

import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import threading
import time
from typing import NamedTuple

from .access import ACCESS, Access
from .operations import MAIN, OPERATIONS, SERVICE
from .processes import LOAD_CORE, Process, Upstream, on_load_core, prepare
from .subjects import SUBJECTS, Subject
from .tools import ROOT, WORK, Binaries, say

# The closed loop of h2load: connections, and calls at once on each.
CLIENTS, STREAMS = 8, 16
# Seconds before what counts.
WARM_UP = 1.0
# Calls that wait, on each connection of those that hold them.
HELD_EACH = 200
# Seconds until all of them must wait.
HOLD_LIMIT = 60
# How often it is asked for a first response. That one may be slow.
TRIES = 20
# A server may still have been at work on what the load broke off at its end.
UNDER_WAY = 2 * CLIENTS * STREAMS


class Plan(NamedTuple):
    rounds: int
    seconds: float
    sweep: list
    callers: list
    waiting: int
    minutes: int


FULL = Plan(
    rounds=5,
    seconds=4,
    sweep=[500, 1000, 2000, 3000, 4000, 6000, 8000, 10000, 12000, 16000, 20000, 24000],
    callers=[1, 10, 30, 100, 300, 1000],
    waiting=8000,
    minutes=10,
)
QUICK = Plan(rounds=1, seconds=2, sweep=[1000, 3000, 8000], callers=[1, 30, 1000], waiting=2000, minutes=1)

TLS = {
    "TLS, HTTP/1.1 only": {"tls": True},
    "TLS, HTTP/2 offered": {"tls": True, "http2": True},
}
# The closed loops of the part `access`: connections, and calls at once in all. 0: each call on a new
# one, and then fewer at once: a port whose backlog is full costs Linux' retry after 1 s.
LOOPS = {"kept": (CLIENTS, CLIENTS * STREAMS), "fresh": (0, STREAMS)}
# Chartbrew takes 8 to 35 ms for a create whose database it does not reach for.
DELAY = 30


class Run:
    """The results so far."""

    def __init__(self, plan: Plan, binaries: Binaries):
        self.plan = plan
        self.binaries = binaries
        self.results = {}

    def saturation(self):
        """As many requests as they manage, with an upstream in the clear."""
        with Upstream(self.binaries) as upstream:
            for operation, subject in self.turns("saturation", OPERATIONS):
                yield operation, subject, self.saturate(subject, operation, upstream, self.plan.seconds)

    def latency(self):
        """Below saturation: at half of what the slowest manages, and each at half of its own."""
        with Upstream(self.binaries) as upstream:
            for operation, subject in self.turns("latency", OPERATIONS):
                with self.started(subject, operation, upstream) as process:
                    common = self.open_loop(process, operation, self.common_rate(operation), self.plan.seconds)
                    half = self.open_loop(process, operation, self.saturation_of(operation, subject) / 2, self.plan.seconds)
                yield operation, subject, {"common": common, "half": half}

    def sweep(self):
        """The same at one rate after another: the curve."""
        with Upstream(self.binaries) as upstream:
            for operation, subject in self.turns("sweep", MAIN, rounds=min(self.plan.rounds, 3)):
                most = self.saturation_of(operation, subject) * 0.9
                with self.started(subject, operation, upstream) as process:
                    yield operation, subject, [
                        self.open_loop(process, operation, rate, self.plan.seconds * 0.5) for rate in self.plan.sweep if rate < most
                    ]

    def delay(self):
        """An upstream that takes its time, and more and more callers."""
        with Upstream(self.binaries, delay=DELAY) as upstream:
            for operation, subject in self.turns("delay", MAIN, rounds=1):
                with self.started(subject, operation, upstream) as process:
                    yield operation, subject, [
                        self.load(process, operation, self.plan.seconds * 0.75, callers=callers) | {"callers": callers} for callers in self.plan.callers
                    ]

    def tls(self):
        """An upstream with TLS. One that offers HTTP/2 leaves nobody with a connection a create, but
        who wants it so."""
        for name, how in TLS.items():
            without = ("fresh",) if "http2" in how else ()
            with Upstream(self.binaries, **how) as upstream:
                for operation, subject in self.turns(name, MAIN, without=without):
                    yield f"{name}: {operation}", subject, self.saturate(subject, operation, upstream, self.plan.seconds * 0.75)

    def access(self):
        """What TLS on their own port costs, and knowing who calls."""
        with Upstream(self.binaries) as upstream:
            for operation, subject in self.turns("access", MAIN, without=("bare", "fresh")):
                for access in ACCESS:
                    if subject.name == "gateway" or not access.callers:
                        yield access.name, subject, self.loops(subject, operation, access, upstream, self.plan.seconds * 0.75)

    def memory(self):
        """What a call costs that waits for an upstream that never responds."""
        for operation, subject in self.turns("memory", MAIN, rounds=1):
            with Upstream(self.binaries, silent=True) as upstream, subject.start(self.binaries, upstream) as process:
                yield operation, subject, self.hold(process, operation, upstream)

    def steady(self):
        """The gateway at half of its saturation for minutes: whether its memory grows."""
        gateway = next(subject for subject in SUBJECTS if subject.name == "gateway")
        rate = self.saturation_of("Create", gateway) / 2
        with Upstream(self.binaries) as upstream, self.started(gateway, "Create", upstream) as process:
            for minute in range(1, self.plan.minutes + 1):
                say(f"steady: minute {minute} of {self.plan.minutes}")
                yield "Create", gateway, self.open_loop(process, "Create", rate, 60)

    # === How each of them is measured ===

    def saturate(self, subject: Subject, operation: str, upstream: Upstream, seconds: float) -> dict:
        with subject.start(self.binaries, upstream) as process:
            time.sleep(0.3)
            idle = process.rss_mib()
            self.check(process, operation)
            self.h2load(process, operation, WARM_UP)
            loaded = Later(seconds * 0.9, process.rss_mib)
            cost = self.cost(process, upstream, lambda: self.h2load(process, operation, seconds))
            return cost | {"idle": idle, "loaded": loaded.result()}

    def loops(self, subject: Subject, operation: str, access: Access, upstream: Upstream, seconds: float) -> dict:
        """Closed loops, on connections that are kept and on one for each call."""
        options = access.load_options()

        def loop(seconds: float) -> tuple[float, int]:
            result = self.load(process, operation, seconds, 0, connections, callers=callers, **options)
            if result["failed"]:
                raise SystemExit(f"{subject.name}, {access.name}: {result['failure']}")
            return result["rate"], result["ok"]

        seen = {}
        with subject.start(self.binaries, upstream, access) as process:
            self.check(process, operation, **options)
            for name, (connections, callers) in LOOPS.items():
                loop(WARM_UP)
                seen[name] = self.cost(process, upstream, lambda: loop(seconds))
        return seen

    def cost(self, process: Process, upstream: Upstream, load) -> dict:
        """What the requests of a closed loop cost. `load` returns how many there were, a second and in all."""
        received, cpu = upstream.stats()["requests"], process.cpu_seconds()
        began = time.monotonic()
        rate, succeeded = load()
        took = time.monotonic() - began
        cpu, received = process.cpu_seconds() - cpu, upstream.stats()["requests"] - received
        if not succeeded <= received <= succeeded * 1.01 + UNDER_WAY:
            raise SystemExit(f"{process.log.stem}: {succeeded} requests succeeded and {received} reached upstream")
        return {"rate": rate, "cpu_us": cpu / received * 1e6, "core": cpu / took}

    def h2load(self, process: Process, operation: str, seconds: float) -> tuple[float, int]:
        command = [self.binaries.h2load, "-c", CLIENTS, "-m", STREAMS, "-t", 1, "-D", f"{seconds * 1000:.0f}ms", "-d", WORK / f"{operation}.bin"]
        for header in ["content-type: application/grpc", "te: trailers", "authorization: Bearer bench-token"]:
            command += ["-H", header]
        run = on_load_core([*command, f"http://127.0.0.1:{process.port}{SERVICE}{operation}"])
        found = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", run.stdout)
        counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", run.stdout)
        if not found or not counts or any(int(count) for count in counts.groups()[1:]):
            raise SystemExit(f"{process.log.stem} under h2load:\n{run.stdout}{run.stderr}\n{process.log.read_text()[-2000:]}")
        return float(found[1]), int(counts[1])

    def open_loop(self, process: Process, operation: str, rate: float, seconds: float) -> dict:
        result = self.load(process, operation, seconds, rate=round(rate))
        return result | {"wanted": round(rate), "rss": process.rss_mib()}

    def load(self, process: Process, operation: str, seconds: float, warm_up: float = WARM_UP / 2, connections: int = CLIENTS, **options) -> dict:
        command = self.load_command(process, operation, min(connections, options.get("callers", connections)), **options)
        run = on_load_core([*command, "--seconds", seconds, "--warm-up", warm_up])
        if run.returncode:
            raise SystemExit(f"{process.log.stem} under load: {run.stderr}\n{process.log.read_text()[-2000:]}")
        result = json.loads(run.stdout)
        if result["failed"]:
            say(f"{process.log.stem}: {result['failed']} calls failed, the first with {result['failure']}")
        elif not result["ok"] and options.get("callers") != 1:
            raise SystemExit(f"{process.log.stem} does not respond\n{process.log.read_text()[-2000:]}")
        return result

    def check(self, process: Process, operation: str, **options):
        """h2load does not look at gRPC's status: one caller does first."""
        for _ in range(TRIES):
            if self.load(process, operation, 0.1, warm_up=0, callers=1, **options)["ok"]:
                return
        raise SystemExit(f"{process.log.stem} does not respond in time")

    def load_command(self, process: Process, operation: str, connections: int, **options) -> list:
        command = [self.binaries.load, "--target", f"127.0.0.1:{process.port}", "--path", SERVICE + operation]
        command += ["--message", WORK / f"{operation}.bin", "--connections", connections]
        return command + [word for name, value in options.items() for word in (f"--{name}", value)]

    def hold(self, process: Process, operation: str, upstream: Upstream) -> dict:
        count = self.plan.waiting
        time.sleep(0.5)
        idle = process.rss_mib()
        command = self.load_command(process, operation, count // HELD_EACH, hold=count)
        words = [str(word) for word in [*command, "--seconds", HOLD_LIMIT]]
        with subprocess.Popen(words, preexec_fn=lambda: prepare(LOAD_CORE)) as load:
            until = time.monotonic() + HOLD_LIMIT
            while upstream.stats()["waiting"] < count:
                if time.monotonic() > until or load.poll() is not None:
                    load.kill()
                    raise SystemExit(f"{process.log.stem}: only {upstream.stats()} of {count} calls wait")
                time.sleep(0.1)
            time.sleep(1)
            holding = process.rss_mib()
            load.kill()
        return {"count": count, "idle": idle, "holding": holding, "kb_each": (holding - idle) * 1024 / count}

    # === What they have in common ===

    def turns(self, part: str, operations, rounds: int | None = None, without: tuple = ()):
        rounds = rounds or self.plan.rounds
        for number in range(1, rounds + 1):
            say(f"{part}: round {number} of {rounds}")
            for operation in operations:
                for subject in measured_with(operation):
                    if subject.name not in without:
                        yield operation, subject

    @contextlib.contextmanager
    def started(self, subject: Subject, operation: str, upstream: Upstream):
        with subject.start(self.binaries, upstream) as process:
            self.check(process, operation)
            yield process

    def saturation_of(self, operation: str, subject: Subject) -> float:
        seen = self.results.setdefault("saturation", {}).setdefault(operation, {})
        if subject.name not in seen:
            with Upstream(self.binaries) as upstream:
                seen[subject.name] = [self.saturate(subject, operation, upstream, 1)]
        return median(seen[subject.name], "rate")

    def common_rate(self, operation: str) -> float:
        return min(self.saturation_of(operation, subject) for subject in measured_with(operation)) / 2


def measured_with(operation: str) -> list:
    return [subject for subject in SUBJECTS if subject.name in OPERATIONS[operation].subjects]


class Later:
    """Something to be asked after a while, whatever the load is doing then."""

    def __init__(self, seconds: float, ask):
        self.answer = None
        self.timer = threading.Timer(seconds, self.run, [ask])
        self.timer.start()

    def run(self, ask):
        self.answer = ask()

    def result(self):
        self.timer.join()
        return self.answer


PARTS = {
    "saturation": Run.saturation,
    "latency": Run.latency,
    "sweep": Run.sweep,
    "delay": Run.delay,
    "tls": Run.tls,
    "access": Run.access,
    "memory": Run.memory,
    "steady": Run.steady,
}


def run(plan: Plan, parts: list, binaries: Binaries, save) -> dict:
    """Measures the parts. `save` is given what there is after each."""
    load_average = os.getloadavg()[0]
    if load_average > 1:
        say(f"the machine is busy (load average {load_average:.1f}): figures will be off")
    began = time.monotonic()
    measured = Run(plan, binaries)
    os.sched_setaffinity(0, {LOAD_CORE})
    for part in parts:
        for operation, subject, result in PARTS[part](measured):
            measured.results.setdefault(part, {}).setdefault(operation, {}).setdefault(subject.name, []).append(result)
        results = {"about": about(plan, load_average, time.monotonic() - began), **measured.results}
        save(results)
    return results


def about(plan: Plan, load_average: float, seconds: float) -> dict:
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "?")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": git.stdout.strip(),
        "cpu": f"{model}, {os.cpu_count()} cores, Linux {platform.release()}",
        "load_average": load_average,
        "rounds": plan.rounds,
        "minutes": seconds / 60,
    }


def median(results: list, field: str) -> float:
    return statistics.median(result[field] for result in results)
