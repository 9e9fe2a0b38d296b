"""What goes to a target: the judged request's line, path and fields, with the target's credential in them.

The same for HTTP/1.1 and HTTP/2. Together with forward.py the one place where a secret is written.
"""

from typing import Protocol
from urllib.parse import quote_plus

from funcgate.core.call import Call
from funcgate.core.lease import Lease
from funcgate.wire.http1.requests import Request

from .target import HttpTarget, Injection

# RFC 9110, 9.2.2: only these may be sent again when a kept-alive connection died before the answer began.
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})


class Unread(Protocol):
    """An answer whose head is known, and whose body nobody has begun to read."""

    def __call__(self) -> None:
        """Give it up, and what it keeps busy."""
        ...


class Outgoing(Protocol):
    """A call that was resolved: what of its message crosses."""

    call_id: str
    call: Call | None
    http_target: HttpTarget | None
    request: Request
    path: str
    query: str
    forwarded: list[tuple[bytes, bytes]]
    body: bytes
    traceparent: bytes
    unread: Unread | None


def injection(target: HttpTarget, lease: Lease) -> Injection:
    """The lease as bytes; worked out once for each lease object."""
    cached = target.injection
    if cached is not None and cached.lease is lease:
        return cached
    fields = [(name.encode(), value.reveal().encode("latin-1")) for name, value in lease.headers]
    fresh = Injection(
        lease=lease,
        lines=b"".join([b"%b: %b\r\n" % field for field in fields]),
        fields=[(name.lower(), value) for name, value in fields],
        names=frozenset(spelt for name, _ in fields for spelt in (name.lower(), name.lower().replace(b"_", b"-"))),
        query="&".join(f"{quote_plus(name)}={quote_plus(value.reveal())}" for name, value in lease.query),
        parameters=frozenset(quote_plus(name) for name, _ in lease.query),
    )
    target.injection = fresh
    return fresh


def path_to(exchange: Outgoing, target: HttpTarget, injected: Injection) -> bytes:
    """The path and the query at the target (RFC 9112, 3.2.1; ``:path`` of RFC 9113, 8.3.1)."""
    path, query = target.base_path + exchange.path, exchange.query
    if injected.query:
        # Attack: send the credential's own parameter, so that the target reads the caller's.
        kept = [pair for pair in query.split("&") if pair and pair.partition("=")[0] not in injected.parameters]
        query = "&".join([*kept, injected.query])
    return (f"{path}?{query}" if query else path).encode("ascii")


def fields_to(exchange: Outgoing, injected: Injection) -> list[tuple[bytes, bytes]]:
    """The caller's fields that cross."""
    fields = exchange.forwarded
    if injected.names:
        # Attack: send the credential's own field, in this spelling or with underscores.
        names = injected.names
        return [field for field in fields if field[0] not in names and field[0].replace(b"_", b"-") not in names]
    return fields


def has_length(method: bytes, body: bytes) -> bool:
    """Whether the request says how long its body is (RFC 9110, 8.6)."""
    return bool(body) or method in (b"POST", b"PUT", b"PATCH")
