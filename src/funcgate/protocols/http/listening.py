"""What a caller's connection asks of whoever accepted it, and of who serves gRPC-Web. It carries nothing out."""

import asyncio
from typing import TYPE_CHECKING, Protocol

from funcgate.gateway import Gateway
from funcgate.wire.http1.requests import Request

from .limits import ListenerLimits
from .target import HttpSite

if TYPE_CHECKING:
    from .caller import CallerConnection


class GrpcWeb(Protocol):
    """Who serves requests whose content is gRPC-Web (protocols/grpc)."""

    def preflight(self, request: Request) -> list[tuple[bytes, bytes]] | None: ...

    async def serve_request(self, connection: "CallerConnection", request: Request) -> None: ...


class Listening(Protocol):
    """What a connection asks of the listener that accepted it."""

    limits: ListenerLimits
    site: HttpSite
    gateway: Gateway
    draining: bool

    @property
    def grpc(self) -> "GrpcWeb | None": ...

    def admit(self, connection: "CallerConnection") -> bool: ...

    def dismiss(self, connection: "CallerConnection") -> None: ...

    def overloaded(self) -> bytes: ...

    def begin_http2(self, old: "CallerConnection", transport: asyncio.Transport, first: bytes) -> None: ...

    def broke(self) -> None: ...
