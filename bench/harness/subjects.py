"""What is measured: how each is started in front of an upstream, with one thread that works."""

import json
from typing import NamedTuple

from .access import PLAIN, Access
from .processes import MEASURED_CORE, Process, Upstream, free_port
from .tools import WORK, Binaries

# Enough for all that wait at once; in all of them the default is lower.
MANY = 20_000
# Longer than any call here waits.
DEADLINE = "600s"


class Subject(NamedTuple):
    name: str
    label: str
    color: str
    start: object


def gateway(binaries: Binaries, upstream: Upstream, access: Access = PLAIN, under: list | tuple = ()) -> Process:
    """As shipped: validation, delivery, metrics, a line in the log for each call, and one call in a
    hundred traced. Only the limits are raised. `under`: the tool that runs it."""
    port, admin = free_port(), free_port()
    env = {
        "CHARTBREW_URL": upstream.url,
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_ADMIN_LISTEN": f"127.0.0.1:{admin}",
        "GATEWAY_LOG_FORMAT": "json",
        "GATEWAY_WORKER_THREADS": "1",
        "GATEWAY_MAX_IN_FLIGHT": str(MANY),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{upstream.control}/v1/traces",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
        **trust(upstream),
        **access.settings(),
    }
    return Process([*under, binaries.gateway, "serve"], MEASURED_CORE, port, env)


def bare(fresh: bool):
    def start(binaries: Binaries, upstream: Upstream) -> Process:
        port = free_port()
        command = [binaries.bare, "--listen", f"127.0.0.1:{port}", "--upstream", upstream.url]
        command += ["--fresh"] if fresh else []
        return Process(command, MEASURED_CORE, port, trust(upstream))

    return start


def envoy(binaries: Binaries, upstream: Upstream, access: Access = PLAIN) -> Process:
    """The reverse transcoder and the router, without an access log."""
    port = free_port()
    config = WORK / "envoy.json"
    config.write_text(json.dumps(envoy_config(port, upstream, access), indent=1))
    command = [binaries.envoy, "-c", config, "--concurrency", 1, "--disable-hot-restart", "--log-level", "warn"]
    return Process(command, MEASURED_CORE, port)


SUBJECTS = [
    Subject("gateway", "**the gateway**", "#d62728", gateway),
    Subject("envoy", "Envoy, reverse transcoder", "#1f77b4", envoy),
    Subject("bare", "bare tonic + reqwest, pooled", "#2ca02c", bare(fresh=False)),
    Subject("fresh", "bare, a connection for each create", "#9467bd", bare(fresh=True)),
]


def trust(upstream: Upstream) -> dict:
    return {"SSL_CERT_FILE": str(Upstream.AUTHORITY)} if upstream.tls else {}


def envoy_config(port: int, upstream: Upstream, access: Access) -> dict:
    extensions = "type.googleapis.com/envoy.extensions"
    transcoder = {
        "@type": f"{extensions}.filters.http.grpc_json_reverse_transcoder.v3.GrpcJsonReverseTranscoder",
        "descriptor_path": str(WORK / "descriptors.bin"),
        "request_json_print_options": {"use_canonical_field_names": True},
    }
    router = {"@type": f"{extensions}.filters.http.router.v3.Router"}
    manager = {
        "@type": f"{extensions}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": "HTTP2",
        "http2_protocol_options": {"max_concurrent_streams": 1024},
        "stream_idle_timeout": DEADLINE,
        "http_filters": [
            {"name": "transcoder", "typed_config": transcoder},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "chartbrew", "timeout": DEADLINE}}],
                }
            ]
        },
    }
    protocol = {
        "@type": f"{extensions}.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": "4s"},
        **({"auto_config": {"http_protocol_options": {}, "http2_protocol_options": {}}} if upstream.tls else {"explicit_http_config": {"http_protocol_options": {}}}),
    }
    cluster = {
        "name": "chartbrew",
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [{"max_connections": MANY, "max_requests": MANY, "max_pending_requests": MANY}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "load_assignment": {"cluster_name": "chartbrew", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream.port)}}]}]},
    }
    if upstream.tls:
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{extensions}.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": "localhost",
                "common_tls_context": {"validation_context": {"trusted_ca": {"filename": str(Upstream.AUTHORITY)}}},
            },
        }
    listener = {
        "address": address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}], **access.transport_socket()}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
