"""What goes to a target: the judged request's line, path and fields, with the target's credential in them.

The same for HTTP/1.1 and HTTP/2. Together with forward.py the one place where a secret is written.
"""

from typing import Protocol
from urllib.parse import quote_plus

from funcgate.core.call import Call
from funcgate.core.lease import Lease
from funcgate.core.principal import RawToken
from funcgate.wire.http1.requests import Request

from .target import HttpSite, HttpTarget, Injection

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
    target_s: float

    @property
    def collects(self) -> bool:
        """Whether an answer that is not lines is masked as a whole: then nobody waits for its first piece."""
        ...

    @property
    def token(self) -> RawToken | None: ...

    @property
    def serving(self) -> HttpSite:
        """What serves now, whatever the call began with."""
        ...


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


def query_to(exchange: Outgoing, injected: Injection) -> str:
    """The query at the target, with the credential's parameters."""
    if not injected.query:
        return exchange.query
    # Attack: send the credential's own parameter, so that the target reads the caller's.
    pairs = exchange.query.split("&")
    kept = [pair for pair in pairs if pair and pair.partition("=")[0] not in injected.parameters]
    return "&".join([*kept, injected.query])
