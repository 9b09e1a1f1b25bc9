"""Runs the dashboard's queries against a Prometheus that scraped a gateway under load with faults.

    tests/dashboard GATEWAY PROMETHEUS GENERATED-CODE WORK-FOLDER [write]
"""

import asyncio
import json
import math
import re
import sys
import time
import urllib.parse
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GATEWAY, PROMETHEUS, GENERATED, WORK, *WRITE = sys.argv[1:]
sys.path[1:1] = [str(ROOT / "tests/mesh"), GENERATED]

import draw
import processes
from callers import Caller, new_id
from chartbrew.connection.v1 import connection_service_pb2 as pb

# Of one part of the load, in seconds.
PART = 25 if WRITE else 8
CALLS_A_SECOND = 25
SCRAPE = 1
STEP = 2
# As Grafana chooses it: the resolution and a scrape, at least four scrapes.
RATE_INTERVAL = max(STEP + SCRAPE, 4 * SCRAPE)

SETTINGS = {
    "GATEWAY_LOG_FORMAT": "json",
    "GATEWAY_LISTEN": "127.0.0.1:0",
    "GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
    # Smaller than the defaults, so that a light load reaches them.
    "GATEWAY_RETRIES_PER_SECOND": "1",
    "GATEWAY_RETRY_RATIO": "0.05",
    "GATEWAY_CIRCUIT_PROBE": "2s",
    "GATEWAY_RECOVERY_WINDOW": "2s",
    # A collector that nobody runs.
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    "OTEL_METRIC_EXPORT_INTERVAL": "2000",
    "OTEL_BSP_SCHEDULE_DELAY": "2000",
}


def fault(on, what, times=1):
    return {"on": on, "what": what, "times": times}


# What Chartbrew does in each second of a part.
PARTS = {
    "nothing wrong": [],
    "reads without a response": [fault("list", "drop_before_storing", 3), fault("get", "drop_before_storing", 3)],
    "creates without a response": [fault("create", "drop_after_storing", 2), fault("create", "drop_before_storing")],
    "creates that take too long": [fault("create", "silent")],
    "Chartbrew is down": [fault("any", {"respond": {"status": 503}}, "forever")],
    "it is back": [],
}


class Prometheus(processes.Process):
    url: str

    def __init__(self, target: str, folder: Path):
        config = {
            "global": {"scrape_interval": f"{SCRAPE}s", "scrape_timeout": f"{SCRAPE}s"},
            "scrape_configs": [{"job_name": "chartbrew-gateway", "static_configs": [{"targets": [target]}]}],
        }
        # JSON is YAML.
        (folder / "prometheus.yaml").write_text(json.dumps(config))
        command = [PROMETHEUS, f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/prometheus"]
        super().__init__([*command, "--web.listen-address=127.0.0.1:0"], folder / "prometheus.log")

    async def serves(self):
        self.url = "http://" + await self.read(r'msg="Listening on".* address=(\S+)')
        await self.read("(Server is ready to receive web requests)")

    def range(self, query: str, start: float, end: float) -> list[dict]:
        words = urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": STEP})
        return processes.request(f"{self.url}/api/v1/query_range?{words}")["data"]["result"]


# === Load ===


async def one_call(caller: Caller, number: int, known: list[int]):
    connection = pb.NewConnection(name=f"number {number}", type=pb.CONNECTION_TYPE_MYSQL)
    create = pb.CreateRequest(team_id=1, connection=connection, request_id=new_id())
    match number % 10:
        case 0:
            # Without a name.
            create.connection.name = ""
            await caller.call("Create", create, "gateway")
        case 1:
            await caller.call("List", pb.ListRequest(team_id=1, page_size=10), "gateway")
        case 2 | 3 | 4:
            await caller.call("Get", pb.GetRequest(team_id=1, connection_id=known[number % len(known)]), "gateway")
        case 5:
            await caller.call("Test", pb.TestRequest(team_id=1, connection_id=known[0]), "gateway")
        case _:
            response = await caller.call("Create", create, "gateway", timeout=3)
            if isinstance(response, pb.CreateResponse):
                known.append(response.connection.id)
            if number % 10 == 6:
                await caller.call("Create", create, "gateway", timeout=3)


async def load(address: str, chartbrew: processes.Chartbrew):
    """Calls at a fixed rate, whatever becomes of them."""
    async with Caller({"gateway": address}, chartbrew.token) as caller, asyncio.TaskGroup() as group:
        numbers, due, known = count(), time.monotonic(), []
        first = pb.NewConnection(name="the first", type=pb.CONNECTION_TYPE_MYSQL)
        known.append((await caller.call("Create", pb.CreateRequest(team_id=1, connection=first), "gateway")).connection.id)
        for faults in PARTS.values():
            for _ in range(PART):
                await asyncio.to_thread(chartbrew.faults, *faults)
                for _ in range(CALLS_A_SECOND):
                    group.create_task(one_call(caller, next(numbers), known))
                    due += 1 / CALLS_A_SECOND
                    await asyncio.sleep(due - time.monotonic())


# === Queries ===


def series(prometheus: Prometheus, target: dict, start: float, end: float):
    """The lines of one query of a panel, with their names."""
    query = target["expr"].replace("$__rate_interval", f"{RATE_INTERVAL}s")
    for variable in ("$job", "$instance"):
        query = query.replace(variable, ".*")
    assert not re.search(r"\$[a-z_{]", query), query
    lines = prometheus.range(query, start, end)
    for label in (labels := re.findall(r"{{(\w+)}}", target["legendFormat"])):
        assert not lines or any(label in line["metric"] for line in lines), f"{label} is no label of {query}"
    for line in lines:
        name = target["legendFormat"]
        for label in labels:
            name = name.replace(f"{{{{{label}}}}}", line["metric"].get(label, ""))
        points = ((at - start, float(value)) for at, value in line["values"])
        yield draw.Line(name.strip(), [(at, value) for at, value in points if math.isfinite(value)])


async def main():
    work = Path(WORK, "dashboard")
    work.mkdir()
    started = []
    try:
        started.append(chartbrew := processes.Chartbrew(GATEWAY, work / "chartbrew.log"))
        await chartbrew.serves()
        started.append(gateway := processes.Gateway(GATEWAY, work / "gateway.log", SETTINGS | {"CHARTBREW_URL": chartbrew.url}))
        await gateway.serves()
        admin = await gateway.read(r'"message":"serving".*"admin":"([^"]*)"')
        started.append(prometheus := Prometheus(admin, work))
        await prometheus.serves()

        start = time.time()
        await load(f"127.0.0.1:{gateway.port}", chartbrew)
        end = start + PART * len(PARTS)
        dashboard = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
        drawn, empty = [], []
        for panel in dashboard["panels"]:
            lines = []
            for target in panel.get("targets", []):
                found = list(series(prometheus, target, start, end))
                # Not 0 all the time: then it could be the wrong name of a label.
                if not any(value for line in found for _, value in line.points):
                    empty.append(f"{panel['title']}: {target['expr']}")
                lines += found
            drawn.append(draw.Panel(panel["title"], panel["gridPos"], panel["type"] == "row", unit(panel), lines))
    finally:
        for process in started:
            process.kill()

    queries = sum(len(panel.get("targets", [])) for panel in dashboard["panels"])
    print(f"dashboard: {queries} queries, {sum(len(panel.lines) for panel in drawn)} lines")
    if empty:
        sys.exit("nothing is found by\n" + "\n".join(empty))
    if WRITE:
        picture = ROOT / "docs/dashboard.svg"
        picture.write_text(draw.svg(dashboard["title"], drawn, list(PARTS), PART, STEP))
        print(f"drawn: {picture.relative_to(ROOT)}")


def unit(panel: dict) -> str:
    return panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")


asyncio.run(main())
