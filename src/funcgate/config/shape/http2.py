"""What one HTTP/2 connection may use and do, on the callers' side and on the targets'."""

from msgspec import Struct

from .units import Size, Time


class Http2FramesSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the peer of one HTTP/2 connection may do, caller or target. The counts from `resets` on are of frames in `per`."""

    ping_after: Time = "15s"
    ping_timeout: Time = "10s"
    unread: Size = "2MiB"
    frame: Size = "16KiB"
    continuations: int = 16
    per: Time = "10s"
    resets: int = 200
    settings: int = 50
    pings: int = 200
    empty: int = 200
    priorities: int = 500
    updates: int = 1000
    unknown: int = 200


class Http2Spec(Http2FramesSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one caller's HTTP/2 connection may use, and all of them (`all_streams`)."""

    streams: int = 100
    all_streams: int = 2000
    stream_window: Size = "128KiB"
    connection_window: Size = "1MiB"


class TargetHttp2Spec(Http2FramesSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one HTTP/2 connection to a target may use. `connection_window` is as much as all its streams' if nothing is said."""

    stream_window: Size = "512KiB"
    connection_window: Size | None = None
    headers: int = 100
    header_bytes: Size = "64KiB"
    interim: int = 32
    idle_timeout: Time = "60s"
    max_age: Time = "1h"
    frame_timeout: Time = "10s"
    write_timeout: Time = "30s"
