#!/usr/bin/env python3
"""Our own rules for what is in deploy/, which no schema knows.

    rules.py check FOLDER    FOLDER has the rendered overlays (NAME.yaml) and compose.json
    rules.py write           writes the PrometheusRule from the alerts
"""

import copy
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
RULE = ROOT / "deploy/kubernetes/components/monitoring/prometheusrule.yaml"
SERVICE = "chartbrew.connection.v1.ConnectionService"
APP = "chartbrew-gateway"


# === What the rest of the repository says ===


def settings():
    """The names of all settings, with their defaults."""
    text = (ROOT / "README.md").read_text()
    text += (ROOT / "docs/telemetry.md").read_text()
    rows = re.findall(r"^\| (`(?:CHARTBREW|GATEWAY|OTEL)_.*?) \| `?(.*?)`? \|", text, re.M)
    found = {}
    for names, default in rows:
        first = re.match(r"`([A-Z_]+)`", names)[1]
        found[first] = default
        for name in re.findall(r"`([A-Z_]+)`", names):
            found[name] = default
        # `OTEL_EXPORTER_OTLP_TIMEOUT`, `…_TRACES_TIMEOUT`
        for rest in re.findall(r"`…([A-Z_]+)`", names):
            found[re.sub(r"_[A-Z]+$", rest, re.sub(r"_TRACES(?=_)", "", first))] = default
    return found


def methods():
    text = (ROOT / "proto/chartbrew/connection/v1/connection_service.proto").read_text()
    return re.findall(r"^ +rpc (\w+)\(", text, re.M)


def prometheus_rule():
    alerts = ALERTS.read_text()
    groups = alerts[alerts.index("groups:") :]
    indented = "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(True))
    return (
        "# Made from deploy/prometheus/alerts.yaml: .ci/run golden\n"
        "apiVersion: monitoring.coreos.com/v1\n"
        "kind: PrometheusRule\n"
        f"metadata:\n  name: {APP}\n"
        f"spec:\n{indented}"
    )


# === Small things ===


def seconds(text):
    """A duration as the gateway, Istio, Linkerd and Compose write it: 500ms, 5s, 2m, 1h, 2m30s."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    parts = re.findall(r"(\d+)(ms|s|m|h)", text)
    if "".join(f"{count}{unit}" for count, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration")
    return sum(int(count) * units[unit] for count, unit in parts)


class Rendered:
    """The objects of one overlay."""

    def __init__(self, objects):
        self.objects = objects
        self.deployment = self.one("Deployment")
        self.pod = self.deployment["spec"]["template"]
        self.container = self.pod["spec"]["containers"][0]
        self.env = self.environment()

    def all(self, kind):
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind, name=APP):
        found = [o for o in self.all(kind) if o["metadata"]["name"] == name]
        if len(found) != 1:
            raise ValueError(f"{len(found)} objects {kind}/{name}")
        return found[0]

    def environment(self):
        env = {}
        for source in self.container.get("envFrom", []):
            env |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in self.container.get("env", []):
            env[variable["name"]] = variable.get("value", variable.get("valueFrom"))
        return env

    def stopping(self):
        """How long a gateway needs to stop."""
        names = ("GATEWAY_SHUTDOWN_DELAY", "GATEWAY_SHUTDOWN_GRACE")
        return sum(seconds(self.env.get(name) or settings()[name]) for name in names)

    def annotation(self, name):
        return self.pod["metadata"].get("annotations", {}).get(name)


# === The rules: each yields what is wrong ===


def names_of_settings(r):
    for name in r.env.keys() - settings().keys():
        yield f"{name} is no setting"


def one_gateway_without_redis(r):
    store = r.env.get("GATEWAY_REQUEST_ID_STORE", "memory")
    spec = r.deployment["spec"]
    if store == "memory":
        if spec.get("replicas") != 1 or r.all("HorizontalPodAutoscaler"):
            yield "more than one gateway, and the request ids are in memory"
        if spec.get("strategy", {}).get("type") != "Recreate":
            yield "an update runs two gateways at once, and the request ids are in memory"
        return
    if not isinstance(store, dict) or "secretKeyRef" not in store:
        yield "the URL of Redis has a password: it belongs into a Secret"
    if not any(port["port"] == 6379 for port in egress_ports(r)):
        yield "the NetworkPolicy does not let the gateway reach Redis"
    if spec["strategy"].get("rollingUpdate", {}).get("maxUnavailable") != 0:
        yield "an update takes away a gateway before the new one is ready"
    if r.all("HorizontalPodAutoscaler"):
        if "replicas" in spec:
            yield "the Deployment and the HorizontalPodAutoscaler both set the number of pods"
        if r.one("HorizontalPodAutoscaler")["spec"]["minReplicas"] < 2:
            yield "fewer than two gateways"


def egress_ports(r):
    rules = r.one("NetworkPolicy")["spec"]["egress"]
    return [port for rule in rules for port in rule["ports"]]


def time_to_stop(r):
    if r.pod["spec"]["terminationGracePeriodSeconds"] <= r.stopping():
        yield "terminationGracePeriodSeconds is not longer than the delay and the grace of the gateway"


def whole_directories(r):
    mounts = r.container["volumeMounts"]
    for mount in mounts:
        if "subPath" in mount or "subPathExpr" in mount:
            yield f"{mount['mountPath']} is mounted by subPath, so it does not change with its Secret"
    volumes = {volume["name"] for volume in r.pod["spec"]["volumes"]}
    if {mount["name"] for mount in mounts} != volumes:
        yield "the volumes are not those that are mounted"
    folders = [f"{mount['mountPath']}/" for mount in mounts]
    for name, value in r.env.items():
        if isinstance(value, str) and value.startswith("/"):
            if not any(value.startswith(folder) for folder in folders):
                yield f"{name}: {value} is in no mounted directory"


def few_rights(r):
    spec = r.pod["spec"]
    for name in ("enableServiceLinks", "automountServiceAccountToken"):
        if spec.get(name) is not False:
            yield f"{name} is not false"


def selectors(r):
    """kustomize can put labels into selectors where they do not belong, or leave a selector empty."""
    own = {"app.kubernetes.io/name": APP}
    if not own.items() <= r.pod["metadata"]["labels"].items():
        yield "the pods do not have the label of the selectors"
    policy = r.one("NetworkPolicy")["spec"]
    found = [
        r.deployment["spec"]["selector"]["matchLabels"],
        r.one("PodDisruptionBudget")["spec"]["selector"].get("matchLabels"),
        policy["podSelector"].get("matchLabels"),
    ]
    found += [service["spec"].get("selector") for service in r.all("Service")]
    if any(labels != own for labels in found):
        yield "a selector selects other pods than those of the gateway"
    peers = [peer for rule in policy["ingress"] for peer in rule["from"]]
    peers += [peer for rule in policy["egress"] for peer in rule["to"]]
    for peer in peers:
        labels = peer.get("podSelector", {}).get("matchLabels", {})
        if own.items() <= labels.items():
            yield "the NetworkPolicy takes the gateway for its own caller or upstream"


def drains(r):
    if r.one("PodDisruptionBudget")["spec"].get("maxUnavailable", 0) < 1:
        yield "the PodDisruptionBudget blocks the drain of a node"


def encryption(r):
    """TLS of the gateway's own, or a mesh that lets nobody in without its own."""
    if "GATEWAY_TLS_CERT" in r.env:
        if r.env.get("GATEWAY_ALLOW_PLAINTEXT", "false") != "false":
            yield "GATEWAY_ALLOW_PLAINTEXT with TLS: nobody would notice that TLS is gone"
        return
    peers = [o["spec"] for o in r.all("PeerAuthentication")]
    strict = any(
        peer["mtls"]["mode"] == "STRICT"
        and "50051" not in peer.get("portLevelMtls", {})
        and peer["selector"]["matchLabels"] == {"app.kubernetes.io/name": APP}
        for peer in peers
    )
    servers = {o["spec"]["port"]: o["spec"]["accessPolicy"] for o in r.all("Server")}
    if not strict and servers.get("grpc") != "all-authenticated":
        yield "neither TLS nor a mesh that asks for it"
    if peers and peers[0].get("portLevelMtls", {}).get("9464", {}).get("mode") != "PERMISSIVE":
        yield "Prometheus outside of the mesh cannot scrape"
    if servers and servers.get("admin") != "all-unauthenticated":
        yield "Prometheus outside of the mesh cannot scrape"


def services_of_calls(r):
    return {
        service["metadata"]["name"]: service
        for service in r.all("Service")
        if any(port["name"] == "grpc" for port in service["spec"]["ports"])
    }


def in_a_mesh(r):
    if not (r.all("VirtualService") or r.all("GRPCRoute")):
        return
    for name, service in services_of_calls(r).items():
        if service["spec"]["ports"][0].get("appProtocol") != "kubernetes.io/h2c":
            yield f"Service {name}: the proxies do not see the calls"
    if set(services_of_calls(r)) != {APP}:
        yield "a second Service of the gateway, without the rules for retries"


def istio(r):
    if not r.all("VirtualService"):
        return
    routes = r.one("VirtualService")
    if routes["spec"]["hosts"] != [APP]:
        yield "the VirtualService is not that of the gateway"
    for method in methods() + ["Unknown"]:
        route = istio_route(routes, f"/{SERVICE}/{method}")
        attempts = route.get("retries", {}).get("attempts")
        if method in ("Create", "Unknown"):
            if attempts != 0:
                yield f"Istio sends {method} again"
        elif not attempts:
            yield f"Istio does not send {method} again"
        if seconds(route.get("timeout", "0s")) <= r.stopping():
            yield f"Istio's timeout ends {method} too early"
    for route in r.one("VirtualService", "chartbrew-for-gateway")["spec"]["http"]:
        is_ours = "match" not in route or {"app.kubernetes.io/name": APP} in [
            match.get("sourceLabels") for match in route["match"]
        ]
        if is_ours:
            if route.get("retries", {}).get("attempts") != 0:
                yield "Istio sends the gateway's requests to Chartbrew again"
            break
    proxy = yaml.safe_load(r.annotation("proxy.istio.io/config") or "{}")
    drain = seconds(proxy.get("terminationDrainDuration", "5s"))
    if not r.stopping() < drain < r.pod["spec"]["terminationGracePeriodSeconds"]:
        yield "Istio's proxy does not end between the gateway and the pod"
    if proxy.get("holdApplicationUntilProxyStarts") is not True:
        yield "the gateway starts before Istio's proxy"


def istio_route(routes, path):
    for route in routes["spec"]["http"]:
        if "match" not in route or path in [match["uri"]["exact"] for match in route["match"]]:
            return route
    return {}


def linkerd(r):
    if not r.all("GRPCRoute"):
        return
    for service in r.all("Service"):
        if any("retry.linkerd.io" in name for name in service["metadata"].get("annotations", {})):
            yield "a Service with retries: they count for Create too"
    for method in methods() + ["Unknown"]:
        route = linkerd_route(r.all("GRPCRoute"), method)
        if route is None:
            yield f"Linkerd refuses {method}: no route"
            continue
        notes = route["metadata"].get("annotations", {})
        repeats = any("retry.linkerd.io" in name for name in notes)
        if repeats == (method in ("Create", "Unknown")):
            yield f"Linkerd {'sends' if repeats else 'does not send'} {method} again"
        if seconds(notes.get("timeout.linkerd.io/request", "0s")) <= r.stopping():
            yield f"Linkerd's timeout ends {method} too early"
    drain = seconds(r.annotation("config.linkerd.io/shutdown-grace-period") or "2m")
    if not r.stopping() < drain < r.pod["spec"]["terminationGracePeriodSeconds"]:
        yield "Linkerd's proxy does not end between the gateway and the pod"
    if r.annotation("config.linkerd.io/proxy-enable-native-sidecar") != "true":
        yield "Linkerd's proxy ends before the gateway"


def linkerd_route(routes, method):
    """The route with the most specific match."""
    wanted = {"service": SERVICE, "method": method}
    rules = [(route, rule) for route in routes for rule in route["spec"]["rules"]]
    for route, rule in rules:
        if any(match["method"] == wanted for match in rule.get("matches", [])):
            return route
    return next((route for route, rule in rules if "matches" not in rule), None)


RULES = [
    names_of_settings,
    one_gateway_without_redis,
    time_to_stop,
    whole_directories,
    few_rights,
    selectors,
    drains,
    encryption,
    in_a_mesh,
    istio,
    linkerd,
]


def problems(objects):
    rendered = Rendered(objects)
    return [problem for rule in RULES for problem in rule(rendered)]


def compose_problems(project):
    for name, service in project["services"].items():
        image = service["image"]
        if ":" not in image or image.endswith(":latest"):
            yield f"{name}: {image} has no version"
        for port in service.get("ports", []):
            if port.get("host_ip") != "127.0.0.1":
                yield f"{name}: port {port['published']} is published to other machines"
    gateway = project["services"]["gateway"]
    for name in gateway["environment"].keys() - settings().keys():
        yield f"{name} is no setting"
    stopping = sum(seconds(settings()[f"GATEWAY_SHUTDOWN_{name}"]) for name in ("DELAY", "GRACE"))
    if seconds(gateway["stop_grace_period"]) <= stopping:
        yield "stop_grace_period is not longer than the delay and the grace of the gateway"


# === Each rule notices what it is there for ===


def by_kind(objects, kind, name=APP):
    return next(o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name)


def pod(objects):
    return by_kind(objects, "Deployment")["spec"]["template"]


def container(objects):
    return pod(objects)["spec"]["containers"][0]


def rename_setting(objects):
    config = next(o for o in objects if o["kind"] == "ConfigMap")["data"]
    config["GATEWAY_LISTENS"] = config.pop("GATEWAY_LISTEN")


def two_in_memory(objects):
    by_kind(objects, "Deployment")["spec"]["replicas"] = 2


def rolling_in_memory(objects):
    by_kind(objects, "Deployment")["spec"]["strategy"] = {"type": "RollingUpdate"}


def scaled_in_memory(objects):
    env = container(objects)["env"]
    env[:] = [variable for variable in env if variable["name"] != "GATEWAY_REQUEST_ID_STORE"]


def short_grace(objects):
    pod(objects)["spec"]["terminationGracePeriodSeconds"] = 125


def sub_path(objects):
    container(objects)["volumeMounts"][0]["subPath"] = "token"


def service_links(objects):
    del pod(objects)["spec"]["enableServiceLinks"]


def empty_selector(objects):
    by_kind(objects, "PodDisruptionBudget")["spec"]["selector"] = {}


def own_upstream(objects):
    peer = by_kind(objects, "NetworkPolicy")["spec"]["egress"][1]["to"][0]
    peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] = APP


def never_drained(objects):
    by_kind(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] = 0


def permissive(objects):
    by_kind(objects, "PeerAuthentication")["spec"]["mtls"]["mode"] = "PERMISSIVE"


def istio_defaults(objects):
    del by_kind(objects, "VirtualService")["spec"]["http"][1]["retries"]


def istio_repeats_create(objects):
    uri = {"uri": {"exact": f"/{SERVICE}/Create"}}
    by_kind(objects, "VirtualService")["spec"]["http"][0]["match"].append(uri)


def istio_repeats_to_chartbrew(objects):
    route = by_kind(objects, "VirtualService", "chartbrew-for-gateway")["spec"]["http"][0]
    route["retries"]["attempts"] = 2


def istio_stops_early(objects):
    pod(objects)["metadata"]["annotations"]["proxy.istio.io/config"] = "{}"


def second_service(objects):
    service = copy.deepcopy(by_kind(objects, "Service"))
    service["metadata"]["name"] = "another"
    objects.append(service)


def anyone(objects):
    by_kind(objects, "Server", "chartbrew-gateway-grpc")["spec"]["accessPolicy"] = "all-unauthenticated"


def linkerd_repeats_create(objects):
    route = by_kind(objects, "GRPCRoute")
    route["metadata"]["annotations"]["retry.linkerd.io/grpc"] = "unavailable"


def linkerd_repeats_all(objects):
    by_kind(objects, "Service")["metadata"]["annotations"] = {"retry.linkerd.io/limit": "2"}


def opaque_calls(objects):
    by_kind(objects, "Service")["spec"]["ports"][0]["appProtocol"] = "grpc"


MISTAKES = {
    "single": [rename_setting, two_in_memory, rolling_in_memory, short_grace, sub_path, service_links],
    "replicated": [scaled_in_memory, empty_selector, own_upstream, never_drained],
    "istio": [
        permissive,
        istio_defaults,
        istio_repeats_create,
        istio_repeats_to_chartbrew,
        istio_stops_early,
        second_service,
    ],
    "linkerd": [anyone, linkerd_repeats_create, linkerd_repeats_all, opaque_calls],
}


# === Run ===


def check(folder):
    failed = 0
    if RULE.read_text() != prometheus_rule():
        failed += 1
        print(f"{RULE.relative_to(ROOT)} is not made from the alerts: .ci/run golden")
    for file in sorted(folder.glob("*.yaml")):
        objects = [o for o in yaml.safe_load_all(file.read_text()) if o]
        for problem in problems(objects):
            failed += 1
            print(f"{file.stem}: {problem}")
        for mistake in MISTAKES.get(file.stem, []):
            changed = copy.deepcopy(objects)
            mistake(changed)
            if not problems(changed):
                failed += 1
                print(f"{file.stem}: no rule notices {mistake.__name__}")
    for problem in compose_problems(json.loads((folder / "compose.json").read_text())):
        failed += 1
        print(f"compose: {problem}")
    mistakes = sum(len(found) for found in MISTAKES.values())
    print(f"{len(RULES)} rules, {mistakes} mistakes that they have to notice: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["check", folder]:
            sys.exit(check(pathlib.Path(folder)))
        case ["write"]:
            RULE.write_text(prometheus_rule())
        case _:
            sys.exit(__doc__)
