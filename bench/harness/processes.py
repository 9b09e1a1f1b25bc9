"""Processes that are started on a core, and what Linux tells of them."""

import json
import os
import resource
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

from .tools import WORK, Binaries

# Load and upstream share a core, what is measured has the other one for itself.
LOAD_CORE, MEASURED_CORE = sorted(os.sched_getaffinity(0))[:2]

TICKS = os.sysconf("SC_CLK_TCK")
START_LIMIT = 20.0


class Process:
    """A server, stopped when the `with` block ends."""

    def __init__(self, command: list, core: int, port: int, env: dict | None = None, name: str = ""):
        self.log = WORK / f"{name or Path(command[0]).name}.log"
        with self.log.open("w") as log:
            self.child = subprocess.Popen(
                [str(word) for word in command],
                env=os.environ | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: prepare(core),
            )
        self.port = port
        self.wait_for(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()

    def wait_for(self, port: int):
        until = time.monotonic() + START_LIMIT
        while True:
            if self.child.poll() is not None or time.monotonic() > until:
                self.child.kill()
                raise SystemExit(f"{self.log.stem} does not start: see {self.log}\n{self.log.read_text()[-2000:]}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.02)

    def cpu_seconds(self) -> float:
        """Time on a processor so far, in user and in system."""
        stat = Path(f"/proc/{self.child.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mib(self) -> float:
        """Memory that is resident now."""
        for line in Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise SystemExit(f"{self.log.stem} has ended: see {self.log}")


class Upstream(Process):
    """The Chartbrew that does nothing but respond."""

    AUTHORITY = WORK / "authority.pem"

    def __init__(self, binaries: Binaries, delay: int = 0, silent: bool = False, tls: bool = False, http2: bool = False):
        port, self.control = free_port(), free_port()
        command = [binaries.upstream, "--listen", f"127.0.0.1:{port}", "--control", f"127.0.0.1:{self.control}", "--delay", delay]
        command += ["--silent"] if silent else []
        command += ["--tls", self.AUTHORITY] if tls else []
        command += ["--http2"] if http2 else []
        self.tls = tls
        super().__init__(command, LOAD_CORE, port)
        self.wait_for(self.control)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def stats(self) -> dict:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control}/stats", timeout=5) as response:
            return json.load(response)


def prepare(core: int):
    os.sched_setaffinity(0, {core})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def on_load_core(command: list, **options) -> subprocess.CompletedProcess:
    """Runs the load to its end."""
    return subprocess.run(
        [str(word) for word in command], preexec_fn=lambda: prepare(LOAD_CORE), capture_output=True, text=True, **options
    )
