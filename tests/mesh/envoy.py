"""Envoy's configuration: HTTP/2 on both sides, retries as a mesh has them by default, health checks."""

import json
from pathlib import Path

# The ways through Envoy. Each is a listener with a route of its own.
#
# Repeats what fails, as Istio does if it is not told otherwise. Also Create, deliberately.
REPEATING = "repeating"
# As deploy/kubernetes/overlays/istio has it: Create is never repeated.
DEPLOYED = "deployed"
# Allows no call more than SHORT_LIMIT, whatever deadline its caller has.
SHORT = "short"

SHORT_LIMIT = 2.5
LONGEST = "3600s"
CLUSTER = "gateways"
TYPES = "type.googleapis.com/envoy"

RETRIES = {
    "retry_on": "unavailable,cancelled,connect-failure,refused-stream,reset",
    "num_retries": 2,
    # Another gateway than the one that failed, if there is one.
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": f"{TYPES}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ],
    "host_selection_retry_max_attempts": 5,
}


def bootstrap(folder: Path) -> dict:
    """The addresses of the gateways are in a file of their own, which changes: see `endpoints`."""
    return {
        "node": {"id": "mesh", "cluster": "mesh"},
        "admin": {"address": address(0)},
        "static_resources": {
            "listeners": [
                listener(REPEATING, {"timeout": LONGEST, "max_grpc_timeout": LONGEST, "retry_policy": RETRIES}),
                listener(DEPLOYED, {"timeout": LONGEST, "max_grpc_timeout": LONGEST}),
                listener(SHORT, {"timeout": f"{SHORT_LIMIT}s", "max_grpc_timeout": f"{SHORT_LIMIT}s"}),
            ],
            "clusters": [cluster(folder)],
        },
    }


def listener(name: str, route: dict) -> dict:
    manager = {
        "@type": f"{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "HTTP2",
        "stream_idle_timeout": LONGEST,
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.extensions.filters.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    # x-envoy-attempt-count, as Istio sends it.
                    "include_request_attempt_count": True,
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": CLUSTER, **route}}],
                }
            ]
        },
    }
    return {
        "name": name,
        "address": address(0),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def cluster(folder: Path) -> dict:
    http2 = {
        "@type": f"{TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    return {
        "name": CLUSTER,
        "type": "EDS",
        "connect_timeout": "2s",
        "eds_cluster_config": {
            "eds_config": {
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": str(folder / "endpoints.json"),
                    "watched_directory": {"path": str(folder)},
                },
            }
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        # What was repeated is counted, not limited: by default three retries at a time.
        "circuit_breakers": {"thresholds": [{"max_retries": 1024}]},
        "health_checks": [
            {
                "timeout": "5s",
                "interval": "0.2s",
                "no_traffic_interval": "0.2s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {"service_name": "chartbrew.connection.v1.ConnectionService"},
            }
        ],
    }


def endpoints(ports: list[int]) -> dict:
    found = [{"endpoint": {"address": address(port)}} for port in ports]
    resource = {
        "@type": f"{TYPES}.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": CLUSTER,
        "endpoints": [{"lb_endpoints": found}],
    }
    return {"version_info": "-".join(map(str, ports)), "resources": [resource]}


def write(path: Path, content: dict):
    """At once: Envoy reads a file when it is moved to its place."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content))
    new.replace(path)


def address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
