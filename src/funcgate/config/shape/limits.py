"""What every target has: how it is trusted, and what one call of it may use."""

from msgspec import Struct

from .http2 import TargetHttp2Spec
from .units import Size, Time


class UpstreamTlsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a target is trusted (`ca`, `server_name`), and what the gateway shows to it (`cert`, `key`). PEM files."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None


class TargetLimitsSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call of a target may use. `max_streams` (100) and `http2` are for targets that speak HTTP/2."""

    max_request: Size = "1MiB"
    max_response: Size = "16MiB"
    timeout: Time = "30s"
    connect_timeout: Time = "5s"
    first_byte_timeout: Time = "30s"
    idle_timeout: Time = "30s"
    max_connections: int = 256
    max_streams: int | None = None
    http2: TargetHttp2Spec | None = None
    max_wait: Time = "30s"


class StreamLimitsSpec(TargetLimitsSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call may use. A stream has `stream_timeout` for `timeout`, and `stream_idle_timeout` for `idle_timeout`."""

    stream_timeout: Time = "24h"
    stream_idle_timeout: Time = "10m"
    end_with_token: bool = True
