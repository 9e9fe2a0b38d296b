"""How much of the gateway one caller may use, and for how long. The defaults are the documented ones."""

from msgspec import Struct

from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http2.limits import Http2Limits


class ListenerLimits(Struct, frozen=True, kw_only=True):
    """What callers may use. Times in seconds."""

    head: HeadLimits = HeadLimits()
    max_connections: int = 1000
    max_pipelined: int = 16
    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    idle_timeout_s: float = 75.0
    write_timeout_s: float = 30.0
    ping_after_s: float = 15.0
    ping_s: float = 10.0
    tls_handshake_timeout_s: float = 10.0
    http2: Http2Limits = Http2Limits()
    max_streams: int = 2000  # of all HTTP/2 connections together
