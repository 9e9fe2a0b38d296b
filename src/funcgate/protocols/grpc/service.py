"""Where gRPC callers arrive: each RPC through the gateway, health answered here. It holds the site that they are served from."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from funcgate.core.principal import Tokens
from funcgate.gateway import Gateway
from funcgate.protocols.http.limits import ListenerLimits
from funcgate.wire.http1.requests import Request

from .answering import answering_on
from .exchange import CallerStream, RpcExchange
from .health import HEALTH_BODY, PATHS, Health
from .later import follow
from .opening import Opening, read_opening
from .target import GrpcSite, target_of_host
from .web import Connection, WebStream, fields_of


class GrpcService:
    """Serves RPCs. Assign `site` to swap everything that a configuration decides; open RPCs keep what they began with.

    `ready` says whether the gateway takes calls.
    """

    def __init__(self, gateway: Gateway, limits: ListenerLimits, site: GrpcSite, ready: Callable[[], bool]) -> None:
        self.site = site
        self.first_message_timeout_s = limits.body_timeout_s
        self.write_timeout_s = limits.write_timeout_s
        self._gateway = gateway
        self._health = Health(ready, limits.max_streams)

    def serve(
        self, stream: CallerStream, fields: list[tuple[bytes, bytes]], client: str, tokens: Tokens
    ) -> Coroutine[Any, Any, None]:
        """One RPC, from its head to its end. Cancel it when the caller goes away. `tokens` are those of its connection."""
        return self._serve(stream, read_opening(fields, tokens), client)

    async def _serve(self, stream: CallerStream, opening: Opening, client: str) -> None:
        if opening.path in PATHS and self._asks_us(opening):
            stream.read_by = asyncio.get_running_loop().time() + self.first_message_timeout_s
            await self._health.answer(stream, opening, answering_on(stream, opening, self.site.cors))
            return
        rpc = RpcExchange(self, stream, opening, client, self._follow)
        try:
            await self._gateway.carry(rpc, rpc.site.snapshot)
        finally:
            rpc.close()

    async def serve_request(self, connection: Connection, request: Request) -> None:
        """One RPC of gRPC-Web over HTTP/1.1."""
        if request.method == b"OPTIONS" and (answer := self.preflight(request)) is not None:
            WebStream(connection, request, 0).head(answer, end=True)
            await connection.drain()
            return
        opening = read_opening(fields_of(request), Tokens())
        # Attack: whoever asks for our health says not who it is, and has megabytes kept for it.
        most_bytes = HEALTH_BODY if self._asks_us(opening) else self._most_bytes()
        await self._serve(WebStream(connection, request, most_bytes), opening, connection.client)

    def preflight(self, request: Request) -> list[tuple[bytes, bytes]] | None:
        """The answer to a request that asks, before gRPC-Web, whether a page may call; None to any other."""
        cors = self.site.cors
        return None if cors is None else cors.preflight(fields_of(request))

    def _most_bytes(self) -> int:
        """Of a body, whatever its target; each message has its own limit. Base64 takes four bytes for three."""
        most = max((target.limits.max_request for target in self.site.targets.values()), default=0)
        return (most + 1024) * 4 // 3

    async def _follow(self, rpc: RpcExchange) -> None:
        try:
            await follow(rpc, self._gateway)
        except asyncio.CancelledError:
            raise
        except Exception:
            rpc.broke()  # whatever it was, no message passes any more

    def _asks_us(self, opening: Opening) -> bool:
        """Whether the call asks for our health. One that names a target asks for the target's."""
        if opening.path not in PATHS or b"funcgate-target" in opening.known:
            return False
        return not target_of_host(self.site.hosts, opening.authority)
