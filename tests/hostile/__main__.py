"""Hostile peers against a gateway, while a well-behaved caller uses it.

    python3 tests/hostile ADDRESS TOKEN --pid PID --generated FOLDER [--tls CA [--cert FILE --key FILE]]

For each attack: the gateway goes on (the same process), every call of the caller succeeds, and the
gateway's memory stays under a limit. Times are printed and not checked.
"""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attacks
from wire import Target

KIB, MIB = 1024, 1024 * 1024
# The connections of the caller: one that stays, and a new one for each call.
KINDS = ("stays", "new")


def allowed(attack):
    """What the gateway may take more than before."""
    # What the caller's own calls take, and what the allocator keeps.
    most = 48 * MIB
    # A connection: the buffers of h2 and hyper, TLS with another 32 KiB.
    most += attack.connections * 64 * KIB
    # An open call: its task, its headers, the buffer of 8 KiB that tonic reads it with.
    most += attack.calls * 16 * KIB
    if attack.messages:
        # The budget of messages that are waited for. Their buffers double when they grow.
        most += 2 * 128 * MIB
    if attack.decoded:
        # Each thread decodes one at a time: 5 MiB of nulls become 120 MiB.
        most += 160 * MIB * os.cpu_count()
    if attack.unread:
        # The budget of responses that are not read, and the pages of the calls that are under way.
        most += 2 * 128 * MIB
    return most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("token")
    parser.add_argument("--pid", type=int, required=True, help="the gateway's process")
    parser.add_argument("--generated", required=True, help="the folder with the code made from the contract")
    parser.add_argument("--only", default="", help="the attacks whose names contain this")
    parser.add_argument("--only-tls", action="store_true", help="the attacks that there are with TLS alone")
    parser.add_argument("--tls", metavar="CA", help="the gateway's port has TLS, with a certificate of this CA")
    parser.add_argument("--cert", help="the peers' certificate, if the gateway asks for one")
    parser.add_argument("--key")
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    host, port = options.address.rsplit(":", 1)
    files = tuple(file for file in (options.tls, options.cert, options.key) if file)
    target = Target(host, int(port), options.token, files)
    chosen = [one for one in attacks.ATTACKS if options.only in one.name and one.tls in (None, bool(options.tls))]
    chosen = [one for one in chosen if one.tls or not options.only_tls]
    with tempfile.TemporaryDirectory() as folder, Caller(options, files, Path(folder) / "calls") as caller:
        gateway = Gateway(options.pid)
        caller.wait_for_calls(time.monotonic())
        print(f"{'':38} {'memory in MiB':^23} {'the caller: worst call in ms':>28}")
        print(f"{'attack':38} {'before':>7} {'peak':>7} {'limit':>7} {'stays':>13} {'new':>13}  what came of it")
        failed = [attack.name for attack in chosen if not run(target, gateway, caller, attack)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    print(f"{len(chosen)} attacks; {gateway.rss() // MIB} MiB in the end")


def run(target, gateway, caller, attack):
    before, began = gateway.reset_peak(), time.monotonic()
    ours, theirs = multiprocessing.Pipe(False)
    process = multiprocessing.Process(target=work, args=(attack.run, target, began + attack.seconds, theirs))
    process.start()
    theirs.close()
    process.join(attack.seconds + 30)
    if process.is_alive():
        process.kill()
    ended = time.monotonic()
    problems = caller.wait_for_calls(ended)
    try:
        came_of_it = ours.recv()
    except EOFError:
        came_of_it = ""
        problems.append("the attack itself failed")
    peak, limit = gateway.peak(), before + allowed(attack)
    if peak > limit:
        problems.append("more memory than allowed")
    if not gateway.is_alive():
        problems.append("the gateway is gone")
    made = [call for call in caller.calls() if call.began < ended and call.ended > began]
    worst = {}
    for kind in KINDS:
        times = [call.ended - call.began for call in made if call.kind == kind]
        worst[kind] = f"{max(times, default=0) * 1000:.0f} of {len(times)}"
    failures = [f"{call.kind}: {call.outcome}" for call in made if call.outcome != "ok"]
    if failures:
        problems.append(f"{len(failures)} calls of the caller failed: {failures[0]}")
    memory = f"{before / MIB:7.0f} {peak / MIB:7.0f} {limit / MIB:7.0f}"
    print(f"{attack.name:38} {memory} {worst['stays']:>13} {worst['new']:>13}  {came_of_it}", flush=True)
    for problem in problems:
        print(f"    FAIL  {problem}", flush=True)
    return not problems


def work(attack, target, until, result):
    result.send(str(attack(target, until)))


class Gateway:
    def __init__(self, pid):
        self.folder = Path(f"/proc/{pid}")
        self.began = self.start_time()

    def start_time(self):
        return (self.folder / "stat").read_text().rsplit(")", 1)[1].split()[19]

    def is_alive(self):
        try:
            return self.start_time() == self.began
        except FileNotFoundError:
            return False

    def status(self, name):
        for line in (self.folder / "status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * KIB
        return 0

    def rss(self):
        return self.status("VmRSS")

    def peak(self):
        return self.status("VmHWM")

    def reset_peak(self):
        """Returns what it has now."""
        (self.folder / "clear_refs").write_text("5")
        return self.rss()


class Call:
    def __init__(self, line):
        self.kind, began, seconds, self.outcome = line.split(" ", 3)
        self.began = float(began)
        self.ended = self.began + float(seconds)


class Caller:
    def __init__(self, options, files, output):
        self.output = output
        output.touch()
        command = [sys.executable, Path(__file__).parent / "caller.py", options.address, options.token, options.generated, output]
        self.process = subprocess.Popen([*command, *files], stdin=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()

    def calls(self):
        lines = self.output.read_text().split("\n")[:-1]
        return [Call(line) for line in lines]

    def wait_for_calls(self, moment):
        """Waits until a call of each kind began after that and ended. What is wrong if none does."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if {call.kind for call in self.calls() if call.began > moment} == set(KINDS):
                return []
            if self.process.poll() is not None:
                return ["the caller itself is gone"]
            time.sleep(0.02)
        return ["the caller is not served"]


main()
