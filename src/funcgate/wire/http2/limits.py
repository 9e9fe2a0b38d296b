"""How much of an HTTP/2 connection its peer may use before the connection ends, and how long each phase of it may last."""

from math import inf

from msgspec import Struct

from funcgate.wire.http1.limits import HeadLimits

_DEFAULT_WINDOW = 65_535  # RFC 9113, 6.9.2
_LARGEST_WINDOW = 0x7FFFFFFF
_LEAST_UNREAD = 512 << 10  # streams wait at half of that


class Http2Limits(Struct, frozen=True, kw_only=True):
    """Sizes in bytes, `max_streams` how many the peer may have open. The budgets are counts per `per_s` seconds.

    `head` bounds the decoded fields. A block of fields may be twice as long as `head.max_bytes` before it is no longer
    decoded, in at most `max_continuations` frames after the first. A window bounds what is buffered unread; `max_unread` is
    for what the peer makes us write and does not read, `max_interim` for interim answers to one request.
    """

    head: HeadLimits = HeadLimits()
    max_streams: int = 100
    stream_window: int = 128 << 10
    connection_window: int = 1 << 20
    max_frame: int = 16 << 10
    max_continuations: int = 16
    max_unread: int = 2 << 20
    max_interim: int = 32
    per_s: float = 10.0
    resets: int = 200
    settings: int = 50
    pings: int = 200
    empty: int = 200
    priorities: int = 500
    updates: int = 1000
    unknown: int = 200

    def __post_init__(self) -> None:
        if not (_DEFAULT_WINDOW <= self.stream_window <= self.connection_window <= _LARGEST_WINDOW):
            raise ValueError(
                "the windows must be 65535 bytes at least, and the stream's no larger than the connection's"
            )
        if not 1 << 14 <= self.max_frame < 1 << 24:
            raise ValueError("the largest frame must be from 16 KiB to 16 MiB")  # RFC 9113, 6.5.2
        if self.max_unread < _LEAST_UNREAD:
            raise ValueError("what may wait unread must be 512 KiB at least")


class Times(Struct, frozen=True, kw_only=True):
    """How long each phase of a connection may last, in seconds. `ping_after_s` of silence with a stream open asks the peer for a
    sign of life, which has to come within `ping_s`. No new stream begins on a connection older than `age_s`."""

    settle_s: float = 10.0
    unfinished_s: float = 10.0
    write_s: float = 30.0
    idle_s: float = 75.0
    ping_after_s: float = 15.0
    ping_s: float = 10.0
    age_s: float = inf
