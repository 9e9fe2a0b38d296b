"""The Envoy peers: jwt_authn with a local key set, rbac on path and group. Nothing else is switched on.

One worker thread, HTTP/1.1 on both sides, no access log. `envoy` has its token cache switched on, which is as cheap as Envoy
does this job, and what funcgate is held against; `envoy default` verifies each token, as Envoy does unless told otherwise.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .peers import Peer
from .processes import child, free_port, wait_for_port
from .workload import AUDIENCE, GROUP, ISSUER, PATH, Workload

BINARY = Path(sys.executable).parent / "envoy"
_HTTP = "type.googleapis.com/envoy.extensions.filters.http"


@contextlib.contextmanager
def envoy(work: Workload, upstream_port: int, folder: Path, *, cached: bool, grpc_path: str = "") -> Iterator[Peer]:
    """Start Envoy in front of the upstream; with a method's path, HTTP/2 on both sides."""
    name = "envoy" if cached else "envoy-default"
    port, log, config = free_port(), folder / f"{name}.log", folder / f"{name}.json"
    made = _config(work, port, upstream_port, cached)
    config.write_text(json.dumps(_as_http2(made, grpc_path) if grpc_path else made))
    command = [str(BINARY), "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"]
    with child(command, log) as process:
        wait_for_port(process, port, log)
        does = "jwt_authn with its token cache, rbac" if cached else "jwt_authn, rbac"
        yield Peer(name, does, port, [process.pid], grpc_path or PATH)


def _as_http2(config: dict[str, Any], path: str) -> dict[str, Any]:
    """The same job for a method of gRPC, over HTTP/2 on both sides."""
    text = json.dumps(config).replace('"codec_type": "HTTP1"', '"codec_type": "HTTP2"').replace(PATH, path)
    made: dict[str, Any] = json.loads(text)
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    options: dict[str, Any] = {
        "@type": f"type.googleapis.com/{kind}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    for cluster in made["static_resources"]["clusters"]:
        cluster["typed_extension_protocol_options"] = {kind: options}
    return made


def version() -> str:
    """The version in the binary's own words."""
    said = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout
    return said.strip().split("version:")[-1].strip().split("/")[1]


def _config(work: Workload, port: int, upstream_port: int, cached: bool) -> dict[str, Any]:
    listener = {
        "name": "calls",
        "address": _address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": _connections(work, cached)}]}],
    }
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream_port)}}]}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _connections(work: Workload, cached: bool) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    return {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "calls",
        "codec_type": "HTTP1",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "envoy.filters.http.jwt_authn", "typed_config": _tokens(work, cached)},
            {"name": "envoy.filters.http.rbac", "typed_config": _rules()},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_HTTP}.router.v3.Router"}},
        ],
    }


def _tokens(work: Workload, cached: bool) -> dict[str, Any]:
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": json.dumps(work.jwks)},
        "payload_in_metadata": "claims",
    } | ({"jwt_cache_config": {"jwt_cache_size": 100}} if cached else {})
    return {
        "@type": f"{_HTTP}.jwt_authn.v3.JwtAuthentication",
        "providers": {"corp": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
    }


def _rules() -> dict[str, Any]:
    groups = {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "claims"}, {"key": "groups"}],
        "value": {"list_match": {"one_of": {"string_match": {"exact": GROUP}}}},
    }
    may_call = {
        "permissions": [{"url_path": {"path": {"exact": PATH}}}],
        "principals": [{"metadata": groups}],
    }
    return {"@type": f"{_HTTP}.rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": {"small transfers": may_call}}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
