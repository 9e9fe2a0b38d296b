"""The console as an application: /healthz, /readyz, /metrics. No names, no secrets, no calls: whoever reaches the
address may ask, so it tells no more than a load balancer and a monitoring system need."""

from collections.abc import Callable, Sequence
from importlib.metadata import version

from litestar import Litestar, MediaType, Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from funcgate.core.approval import StoreFailed
from funcgate.core.native import build
from funcgate.core.refusal import Refused

from .access import render, unavailable

MAX_BODY_BYTES = 256 << 10
_FRESH = {"Cache-Control": "no-store"}


class Health(Struct, frozen=True, kw_only=True):
    """Whether calls are served: `checks` maps what was looked at to "ok" or to what is wrong. `warnings` do not count."""

    ready: bool
    version: str
    checks: dict[str, str]
    warnings: list[str] = []


def make_console(registry: CollectorRegistry, health: Callable[[], Health], api: Sequence[Router] = ()) -> Litestar:
    """An ASGI application. `health` is asked at each request for readiness and must not wait for anything."""

    alive = {**_FRESH, "Funcgate-Build": build()}

    @get("/healthz", media_type=MediaType.TEXT, sync_to_thread=False)
    def healthz() -> Response[str]:
        """The process is alive and its loop turns; nothing more."""
        return Response("ok\n", headers=alive)

    @get("/readyz", sync_to_thread=False)
    def readyz() -> Response[Health]:
        """200 while calls are served, 503 while they are not."""
        found = health()
        return Response(found, status_code=200 if found.ready else 503, headers=_FRESH)

    @get("/metrics", sync_to_thread=False)
    def metrics() -> Response[bytes]:
        """The Prometheus text format, version 0.0.4."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4, headers=_FRESH)

    return Litestar(
        route_handlers=[healthz, readyz, metrics, *api],
        exception_handlers={Refused: render, StoreFailed: unavailable},
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=OpenAPIConfig("funcgate", version("funcgate"), path="/api", render_plugins=[JsonRenderPlugin()]),
        debug=False,
    )
