"""Text of the file into numbers, addresses and TLS settings, each misspelling a problem at its place."""

import ipaddress
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from msgspec import Struct, structs

from funcgate.core.function import Limits
from funcgate.core.problem import Problem
from funcgate.core.secret import Secret
from funcgate.core.units import parse_size, parse_time
from funcgate.wire.http2.limits import Http2Limits

from .shape.http2 import Http2FramesSpec, Http2Spec
from .shape.limits import StreamLimitsSpec, TargetLimitsSpec, UpstreamTlsSpec
from .shape.listen import ListenLimitsSpec
from .shape.postgres import PostgresLimitsSpec
from .shape.record import JournalSpec

MAX_RESERVE_BYTES = 64 << 20
LEAST_S = 1e-6

Where = tuple[str | int, ...]


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


class ListenLimits(Struct, frozen=True, kw_only=True):
    """`ListenLimitsSpec` in bytes and seconds."""

    connections: int
    headers: int
    header_bytes: int
    request_line: int
    pipelined: int
    header_timeout_s: float
    body_timeout_s: float
    idle_timeout_s: float
    write_timeout_s: float
    tls_handshake_timeout_s: float
    drain_timeout_s: float
    http2: Http2Limits
    http2_streams: int
    ping_after_s: float
    ping_s: float


class JournalSettings(Struct, frozen=True, kw_only=True):
    """`JournalSpec` in bytes and seconds. `encryption` is the key of the content at rest, 32 bytes in hex."""

    sync: Literal["always", "interval"]
    every_s: float
    segment_bytes: int
    keep_free_bytes: int
    reserve_bytes: int
    queue: int
    inline_bytes: int
    record_bytes: int
    elsewhere_timeout_s: float
    elsewhere_waiting_bytes: int
    encryption: Secret | None = None


class Reading:
    """Reads values below one place of the file; what cannot be read becomes a problem and a harmless number."""

    def __init__(self, where: Where, problems: list[Problem]) -> None:
        self._where = where
        self._problems = problems

    def size(self, name: str, value: str | int, *, least: int = 1) -> int:
        return int(self._number(name, value, parse_size, least))

    def time(self, name: str, value: str | int | float) -> float:
        return self._number(name, value, parse_time, LEAST_S)

    def count(self, name: str, value: int) -> int:
        return int(self._number(name, value, int, 1))

    def address(self, name: str, value: str) -> Address:
        host, colon, port = value.rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        bracketed = bare is not host
        sound = bool(colon and bare and port.isascii() and port.isdigit() and int(port) < 65536)
        if sound and (":" in bare) == bracketed and (not bracketed or _is_ip(bare)):
            return Address(bare, int(port))
        self.say(name, "expected HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
        return Address("127.0.0.1", 0)

    def url(self, name: str, value: str) -> None:
        """Nothing but scheme, host, port and path: the rest would never be sent, or would be a secret in a file."""
        try:
            parts = urlsplit(value)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            self.say(name, "this is not a URL")
            return
        if not sound or any(ord(character) <= 32 for character in value):
            self.say(name, "expected http://HOST[:PORT][/PATH] or https://…")
        elif "@" in parts.netloc:
            # Attack: none yet, a slip: a password in a URL ends up in logs. The credential has its own place.
            self.say(name, "a user or password does not belong in a URL; use 'credential'")
        elif "?" in value or "#" in value:
            self.say(name, "a target's URL has no query and no fragment")

    def say(self, name: str, text: str) -> None:
        self._problems.append(Problem(where=(*self._where, name), text=f"'{name}': {text}"))

    def _number(self, name: str, value: str | int | float, parse: Callable[..., float], least: float) -> float:
        try:
            number = parse(value)
        except ValueError as error:
            self.say(name, str(error))
            return 1
        if number < least or number != number or number > 1 << 50:
            self.say(name, "this is out of range")
            return 1
        return number


def target_limits(spec: TargetLimitsSpec, where: Where, problems: list[Problem]) -> Limits:
    read = Reading(where, problems)
    more: dict[str, Any] = {}
    if isinstance(spec, PostgresLimitsSpec):
        more["max_rows"] = read.count("max_rows", spec.max_rows)
    elif isinstance(spec, StreamLimitsSpec):
        more |= {
            "stream_timeout_s": read.time("stream_timeout", spec.stream_timeout),
            "stream_idle_timeout_s": read.time("stream_idle_timeout", spec.stream_idle_timeout),
            "end_with_token": spec.end_with_token,
        }
    return Limits(
        max_request=read.size("max_request", spec.max_request, least=0),
        max_response=read.size("max_response", spec.max_response, least=0),
        timeout_s=read.time("timeout", spec.timeout),
        connect_timeout_s=read.time("connect_timeout", spec.connect_timeout),
        first_byte_timeout_s=read.time("first_byte_timeout", spec.first_byte_timeout),
        idle_timeout_s=read.time("idle_timeout", spec.idle_timeout),
        max_connections=read.count("max_connections", spec.max_connections),
        max_wait_s=read.time("max_wait", spec.max_wait),
        **more,
    )


def listen_limits(spec: ListenLimitsSpec, where: Where, problems: list[Problem]) -> ListenLimits:
    read = Reading(where, problems)
    return ListenLimits(
        connections=read.count("connections", spec.connections),
        headers=read.count("headers", spec.headers),
        header_bytes=read.size("header_bytes", spec.header_bytes),
        request_line=read.size("request_line", spec.request_line),
        pipelined=read.count("pipelined", spec.pipelined),
        header_timeout_s=read.time("header_timeout", spec.header_timeout),
        body_timeout_s=read.time("body_timeout", spec.body_timeout),
        idle_timeout_s=read.time("idle_timeout", spec.idle_timeout),
        write_timeout_s=read.time("write_timeout", spec.write_timeout),
        tls_handshake_timeout_s=read.time("tls_handshake_timeout", spec.tls_handshake_timeout),
        drain_timeout_s=read.time("drain_timeout", spec.drain_timeout),
        http2=_http2_limits(spec.http2, (*where, "http2"), problems),
        http2_streams=Reading((*where, "http2"), problems).count("all_streams", spec.http2.all_streams),
        ping_after_s=Reading((*where, "http2"), problems).time("ping_after", spec.http2.ping_after),
        ping_s=Reading((*where, "http2"), problems).time("ping_timeout", spec.http2.ping_timeout),
    )


def _http2_limits(spec: Http2Spec, where: Where, problems: list[Problem]) -> Http2Limits:
    """Without `head`, which is the listener's."""
    read = Reading(where, problems)
    return http2_frames(
        spec, where, problems,
        max_streams=read.count("streams", spec.streams),
        stream_window=read.size("stream_window", spec.stream_window),
        connection_window=read.size("connection_window", spec.connection_window),
    )  # fmt: skip


def http2_frames(spec: Http2FramesSpec, where: Where, problems: list[Problem], **more: Any) -> Http2Limits:
    """What both sides say of a connection; `more` is what they say otherwise. Windows that cannot be are a problem."""
    read = Reading(where, problems)
    try:
        return Http2Limits(
            max_frame=read.size("frame", spec.frame),
            max_continuations=read.count("continuations", spec.continuations),
            per_s=read.time("per", spec.per),
            resets=read.count("resets", spec.resets),
            settings=read.count("settings", spec.settings),
            pings=read.count("pings", spec.pings),
            empty=read.count("empty", spec.empty),
            priorities=read.count("priorities", spec.priorities),
            updates=read.count("updates", spec.updates),
            unknown=read.count("unknown", spec.unknown),
            max_unread=read.size("unread", spec.unread),
            **more,
        )
    except ValueError as error:
        problems.append(Problem(where=where, text=f"'http2': {error}"))
        return Http2Limits()


def journal_settings(
    spec: JournalSpec, encryption: Secret | None, where: Where, problems: list[Problem]
) -> JournalSettings:
    read = Reading(where, problems)
    reserve_bytes = read.size("reserve", spec.reserve, least=0)
    if reserve_bytes > MAX_RESERVE_BYTES:
        read.say("reserve", "at most 64MiB: it becomes one segment, which a reader may hold in memory")
    return JournalSettings(
        sync=spec.sync,
        every_s=read.time("every", spec.every),
        segment_bytes=read.size("segment", spec.segment, least=64 << 10),
        keep_free_bytes=read.size("keep_free", spec.keep_free, least=0),
        reserve_bytes=reserve_bytes,
        queue=read.count("queue", spec.queue),
        inline_bytes=read.size("inline", spec.inline, least=0),
        record_bytes=read.size("record", spec.record),
        encryption=encryption,
        elsewhere_timeout_s=read.time("elsewhere_timeout", spec.elsewhere_timeout),
        elsewhere_waiting_bytes=read.size("elsewhere_waiting", spec.elsewhere_waiting),
    )


def server_tls(cert: Path, key: Path, where: Where, problems: list[Problem], *protocols: str) -> ssl.SSLContext | None:
    """A context for the callers' side, TLS 1.2 at least; None, and a problem, when the files are of no use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))
    if not _load_chain(context, cert, key, where, problems):
        return None
    return context


def upstream_tls(spec: UpstreamTlsSpec, base: Path, where: Where, problems: list[Problem]) -> UpstreamTlsSpec:
    """The same with absolute paths, after a trial of the files."""
    if spec.ca is not None:
        try:
            ssl.create_default_context(cafile=base / spec.ca)
        except OSError as error:
            problems.append(Problem(where=(*where, "ca"), text=f"the file cannot be used: {_why(error)}"))
    if spec.cert is not None:
        trial = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load_chain(trial, base / spec.cert, base / (spec.key or spec.cert), where, problems)
    elif spec.key is not None:
        problems.append(Problem(where=(*where, "key"), text="a key without a certificate; add 'cert'"))
    paths = {name: value and str((base / value).resolve()) for name, value in structs.asdict(spec).items()}
    return UpstreamTlsSpec(**{**paths, "server_name": spec.server_name})


def _load_chain(context: ssl.SSLContext, cert: Path, key: Path, where: Where, problems: list[Problem]) -> bool:
    try:
        for path, name in ((cert, "cert"), (key, "key")):
            if not os.access(path, os.R_OK):
                problems.append(Problem(where=(*where, name), text="the file is not there or may not be read"))
                return False
        context.load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ssl.SSLError, ValueError) as error:
        problems.append(Problem(where=where, text=f"the certificate and key cannot be used: {_why(error)}"))
        return False
    return True


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else "") or type(error).__name__


def is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
