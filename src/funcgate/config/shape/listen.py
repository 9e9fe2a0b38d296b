"""Where the gateway listens, what it shows there, and what one caller may use."""

from msgspec import Struct

from .http2 import Http2Spec
from .units import Size, Time


class ServerTlsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the gateway shows to its callers: PEM files, the certificate with its chain."""

    cert: str
    key: str


class ListenLimitsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one caller's connection may use, and how long each phase may last."""

    connections: int = 1000
    headers: int = 100
    header_bytes: Size = "32KiB"
    request_line: Size = "8KiB"
    pipelined: int = 16
    header_timeout: Time = "10s"
    body_timeout: Time = "30s"
    idle_timeout: Time = "75s"
    write_timeout: Time = "30s"
    tls_handshake_timeout: Time = "10s"
    drain_timeout: Time = "30s"
    http2: Http2Spec = Http2Spec()


class CorsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pages of which origins may call gRPC-Web from a browser; `headers` that they may send and `expose` that they may read,
    beside the usual ones."""

    origins: list[str]
    headers: list[str] = []
    expose: list[str] = []
    max_age: Time = "10m"


class ListenSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens: ``HOST:PORT``, ``[IPv6]:PORT``; port 0 takes any that is free. `workers` processes carry
    calls."""

    calls: str = "127.0.0.1:8080"
    console: str = "127.0.0.1:8090"
    postgres: str | None = None
    mysql: str | None = None
    workers: int = 1
    tls: ServerTlsSpec | None = None
    limits: ListenLimitsSpec = ListenLimitsSpec()
    cors: CorsSpec | None = None
