"""What the configuration says of HTTP/2 with a target. It refuses what would do nothing, where another protocol is spoken."""

from collections.abc import Iterator

from funcgate.core.function import Limits
from funcgate.core.problem import Problem
from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http2.limits import Http2Limits, Times

from .settings import Reading, Where, http2_frames
from .shape.http2 import TargetHttp2Spec
from .shape.limits import TargetLimitsSpec
from .shape.postgres import PostgresTargetSpec
from .shape.targets import GrpcTargetSpec, HttpTargetSpec

MAX_STREAMS = 100
_LARGEST_WINDOW = (1 << 31) - 1  # RFC 9113, 6.9.1

WebSpec = HttpTargetSpec | GrpcTargetSpec | PostgresTargetSpec


def speaks_http2(spec: WebSpec) -> bool:
    return isinstance(spec, GrpcTargetSpec) or (isinstance(spec, HttpTargetSpec) and spec.http2)


def check_http2(spec: WebSpec, where: Where) -> Iterator[Problem]:
    """Limits of HTTP/2 for a target that does not speak it."""
    if speaks_http2(spec):
        return
    hint = "add 'http2: true' if it does" if isinstance(spec, HttpTargetSpec) else "take it away"
    for name in ("max_streams", "http2"):
        if getattr(spec.limits, name) is not None:
            text = f"'{name}': HTTP/2 is not spoken with this target, so it would do nothing; {hint}"
            yield Problem(where=(*where, "limits", name), text=text)


def target_http2(
    limits_spec: TargetLimitsSpec, limits: Limits, where: Where, problems: list[Problem]
) -> tuple[Http2Limits, Times]:
    """What one connection to the target may use, and how long its phases may last. `where` is the place of `limits`."""
    spec = limits_spec.http2 or TargetHttp2Spec()
    at = (*where, "http2")
    read = Reading(at, problems)
    most = MAX_STREAMS
    if limits_spec.max_streams is not None:
        most = Reading(where, problems).count("max_streams", limits_spec.max_streams)
    window = read.size("stream_window", spec.stream_window)
    # Attack: callers that do not read, one for each share of the connection's window, hold up everybody's calls. So it has
    # room for all its streams' windows, unless somebody wants it otherwise.
    shared = min(most * max(window, 65_535), _LARGEST_WINDOW)
    if spec.connection_window is not None:
        shared = read.size("connection_window", spec.connection_window)
    head = HeadLimits(
        max_fields=read.count("headers", spec.headers), max_bytes=read.size("header_bytes", spec.header_bytes)
    )
    wire = http2_frames(
        spec, at, problems, head=head, max_streams=most, stream_window=window, connection_window=shared,
        max_interim=read.count("interim", spec.interim),
    )  # fmt: skip
    times = Times(
        settle_s=limits.connect_timeout_s,
        unfinished_s=read.time("frame_timeout", spec.frame_timeout),
        write_s=read.time("write_timeout", spec.write_timeout),
        idle_s=read.time("idle_timeout", spec.idle_timeout),
        ping_after_s=read.time("ping_after", spec.ping_after),
        ping_s=read.time("ping_timeout", spec.ping_timeout),
        age_s=read.time("max_age", spec.max_age),
    )
    return wire, times
