"""The processes: Redis, the embedded Chartbrew, gateways, and Envoy before them."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

import envoy

# Nothing takes longer to start or to stop, on a busy machine either.
LIMIT = 60.0
PAUSE = 0.02

# Shorter than the defaults: the test would only wait longer.
GATEWAY = {
    "GATEWAY_LOG": "info",
    "GATEWAY_LOG_FORMAT": "json",
    "GATEWAY_LISTEN": "127.0.0.1:0",
    "GATEWAY_ADMIN_LISTEN": "off",
    "GATEWAY_RECOVERY_WINDOW": "5s",
    "GATEWAY_ABANDONED_AFTER": "8s",
    # The circuit has tests of its own. Open, it would keep the faults from happening.
    "GATEWAY_CIRCUIT_FAILURES": "1000",
    # Envoy gets many a GOAWAY.
    "GATEWAY_MAX_CONNECTION_AGE": "1s",
    # Envoy sees within 0.4 s that a gateway is stopping.
    "GATEWAY_SHUTDOWN_DELAY": "2s",
    "GATEWAY_SHUTDOWN_GRACE": "30s",
}


class Binaries(NamedTuple):
    gateway: str
    envoy: str


class Process:
    """A process that this test started. It ends at the latest with the `Processes` that own it."""

    def __init__(self, command: list, log: Path, env: dict | None = None):
        self.log = log
        with log.open("wb") as output:
            self.child = subprocess.Popen(
                # It ends with this test even if that is killed.
                ["setpriv", "--pdeathsig", "KILL", *(str(word) for word in command)],
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # An interrupt from the terminal is for the test alone, which then ends them.
                start_new_session=True,
            )

    async def read(self, pattern: str) -> str:
        """What the process prints, as soon as it has printed it."""

        def found():
            status = self.child.poll()
            assert status is None, f"{self.log.name} ended with {status}:\n{self.tail()}"
            return re.search(pattern, self.log.read_text(errors="replace"))

        return (await until(found, f"{pattern} in {self.log}"))[1]

    async def ended(self) -> int:
        await until(lambda: self.child.poll() is not None, f"the end of {self.log.name}")
        return self.child.returncode

    def kill(self):
        self.child.kill()
        self.child.wait()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


class Gateway(Process):
    port: int

    def __init__(self, binary: str, log: Path, env: dict):
        super().__init__([binary, "serve"], log, env)

    async def serves(self):
        self.port = int(await self.read(r'"message":"serving","addr":"127\.0\.0\.1:(\d+)"'))

    async def stop(self) -> float:
        """SIGTERM, as an orchestrator does it. It must end by itself, with its work done."""
        began = time.monotonic()
        self.child.send_signal(signal.SIGTERM)
        status = await self.ended()
        assert status == 0, f"a gateway ended with status {status}:\n{self.tail()}"
        return time.monotonic() - began


class Envoy(Process):
    """Knows its gateways by a file, which is replaced when one comes or goes."""

    # Where it listens, by the names of the ways through it.
    addresses: dict[str, str]
    admin: str

    def __init__(self, binary: str, folder: Path):
        self.folder = folder
        config = folder / "envoy.json"
        envoy.write(config, envoy.bootstrap(folder))
        command = [binary, "--config-path", config, "--admin-address-path", folder / "admin"]
        command += ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
        super().__init__(command, folder / "envoy.log")

    async def serves(self):
        def admin():
            assert self.child.poll() is None, f"Envoy ended:\n{self.tail()}"
            file = self.folder / "admin"
            return file.exists() and file.read_text().strip()

        self.admin = await until(admin, "Envoy's admin port")
        await until(lambda: self.get("server_info")["state"] == "LIVE", "Envoy")
        self.addresses = {}
        for status in self.get("listeners")["listener_statuses"]:
            self.addresses[status["name"]] = f"127.0.0.1:{port_of(status['local_address'])}"

    async def balances(self, gateways: list[Gateway]):
        """Tells it who the gateways are, and waits until it sends calls to these and to no others."""
        ports = sorted(gateway.port for gateway in gateways)
        envoy.write(self.folder / "endpoints.json", envoy.endpoints(ports))

        def balances():
            return sorted(port_of(host["address"]) for host in self.hosts() if is_healthy(host)) == ports

        await until(balances, f"Envoy's health checks of {ports}")

    def hosts(self) -> list[dict]:
        found = self.get("clusters")["cluster_statuses"]
        return next(cluster for cluster in found if cluster["name"] == envoy.CLUSTER).get("host_statuses", [])

    def active(self, gateway: Gateway) -> int:
        """How many calls are under way to a gateway."""
        host = next(host for host in self.hosts() if port_of(host["address"]) == gateway.port)
        return next(int(stat.get("value", 0)) for stat in host["stats"] if stat["name"] == "rq_active")

    def stat(self, name: str) -> int:
        stats = self.get(f"stats?filter=^{name}$&")["stats"]
        return next((stat["value"] for stat in stats if stat.get("name") == name), 0)

    @property
    def retries(self) -> int:
        return self.stat(f"cluster.{envoy.CLUSTER}.upstream_rq_retry")

    def get(self, path: str):
        return request(f"http://{self.admin}/{path}{'' if '?' in path else '?'}format=json")


class Chartbrew(Process):
    url: str
    token: str

    def __init__(self, binary: str, log: Path):
        super().__init__([binary, "sandbox", "--listen", "127.0.0.1:0"], log)

    async def serves(self):
        self.url = await self.read(r"(?m)^url (\S+)$")
        self.token = await self.read(r"(?m)^token (\S+)$")

    def faults(self, *faults: dict):
        """These, and none of before."""
        request(f"{self.url}/_sandbox/faults", "DELETE")
        request(f"{self.url}/_sandbox/faults", "POST", list(faults))

    def rows(self) -> dict[str, list[int]]:
        """The ids of the rows, by name."""
        found = {}
        for row in request(f"{self.url}/_sandbox/rows/1"):
            found.setdefault(row["name"], []).append(row["id"])
        return found

    def creates(self) -> list[dict]:
        """The requests for a create so far."""
        return [seen for seen in request(f"{self.url}/_sandbox/requests") if seen["method"] == "POST"]


class Processes:
    """Those that a test started, and a folder for their logs."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self.folder = folder
        self.started: list[Process] = []

    async def __aenter__(self):
        try:
            await self.start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_):
        for process in self.started:
            process.kill()

    def own(self, process):
        self.started.append(process)
        return process

    async def start_redis(self) -> str:
        for _ in range(10):
            # Free now. Should another take it in between, redis-server ends.
            with socket.create_server(("127.0.0.1", 0)) as server:
                port = server.getsockname()[1]
            command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
            redis = self.own(Process([*command, "--dir", self.folder], self.folder / "redis.log"))
            with contextlib.suppress(AssertionError):
                await redis.read("(Ready to accept connections)")
                return f"redis://127.0.0.1:{port}"
        raise AssertionError("redis-server does not start")


class Mesh(Processes):
    """Two gateways that share a Redis, between an Envoy and a Chartbrew."""

    def __init__(self, binaries: Binaries, folder: Path, settings: dict):
        super().__init__(folder)
        self.binaries, self.settings = binaries, settings
        self.gateways: list[Gateway] = []

    async def start(self):
        self.redis = await self.start_redis()
        self.chartbrew = self.own(Chartbrew(self.binaries.gateway, self.folder / "chartbrew.log"))
        await self.chartbrew.serves()
        self.gateways = [await self.start_gateway() for _ in range(2)]
        envoy.write(self.folder / "endpoints.json", envoy.endpoints([]))
        self.envoy = self.own(Envoy(self.binaries.envoy, self.folder))
        await self.envoy.serves()
        await self.envoy.balances(self.gateways)

    async def start_gateway(self) -> Gateway:
        number = sum(isinstance(process, Gateway) for process in self.started) + 1
        env = {
            **GATEWAY,
            "CHARTBREW_URL": self.chartbrew.url,
            "GATEWAY_REQUEST_ID_STORE": self.redis,
            **self.settings,
        }
        gateway = self.own(Gateway(self.binaries.gateway, self.folder / f"gateway-{number}.log", env))
        await gateway.serves()
        return gateway

    async def replace(self, number: int):
        """Starts a gateway in the place of one that has ended."""
        self.gateways[number] = await self.start_gateway()
        await self.envoy.balances(self.gateways)


def port_of(address: dict) -> int:
    return address["socket_address"]["port_value"]


def is_healthy(host: dict) -> bool:
    status = host["health_status"]
    return status["eds_health_status"] == "HEALTHY" and not any(value is True for value in status.values())


def request(url: str, method: str = "GET", body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=LIMIT) as response:
        content = response.read()
    return json.loads(content) if content else None


async def until(condition, what: str):
    """Waits for a condition, and returns what it was."""
    give_up_at = time.monotonic() + LIMIT
    while not (holds := await asyncio.to_thread(condition)):
        assert time.monotonic() < give_up_at, f"waited in vain for {what}"
        await asyncio.sleep(PAUSE)
    return holds
