"""A target that speaks gRPC: where it is, what it offers, what may cross; and all of them as one site."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from funcgate.catalog.proto import ProtoCatalog
from funcgate.core.function import Limits
from funcgate.core.lease import Lease
from funcgate.gateway import Snapshot
from funcgate.protocols.http2.upstream import Http2Pool

from .cors import Cors


class Injection(Struct, frozen=True):
    """A lease, ready to write: its fields, their names, and these with dashes only, as the names that they replace."""

    lease: Lease
    fields: tuple[tuple[bytes, bytes], ...]
    secret: frozenset[bytes]
    names: frozenset[bytes]

    def __repr__(self) -> str:
        return "Injection(…)"


class GrpcTarget:
    """One target. `forward` names the fields that cross although they are withheld by default (``cookie``, say)."""

    def __init__(
        self,
        name: str,
        url: str,
        catalog: ProtoCatalog,
        limits: Limits,
        pool: Http2Pool,
        forward: frozenset[bytes] = frozenset(),
        unmaskable_pass: bool = False,
    ) -> None:
        parts = urlsplit(url)
        self.name = name
        self.url = url.rstrip("/")
        self.catalog = catalog
        self.limits = limits
        self.pool = pool
        self.forward = forward
        self.unmaskable_pass = unmaskable_pass
        self.scheme_field = (b":scheme", parts.scheme.encode())
        self.authority_field = (b":authority", parts.netloc.encode("ascii" if parts.netloc.isascii() else "idna"))
        self._injection: Injection | None = None

    def injection(self, lease: Lease) -> Injection:
        """The lease as fields; worked out once for each lease object."""
        cached = self._injection
        if cached is not None and cached.lease is lease:
            return cached
        fields = tuple((name.lower().encode(), value.reveal().encode("latin-1")) for name, value in lease.headers)
        secret = frozenset(name for name, _ in fields)
        names = frozenset(name.replace(b"_", b"-") for name in secret)
        self._injection = fresh = Injection(lease, fields, secret, names)
        return fresh


class GrpcSite(Struct, frozen=True):
    """What callers are served from: one snapshot and its targets. Swapped whole.

    `hosts` maps a configured host name (lower case, no port) to a target's name.
    """

    snapshot: Snapshot
    targets: Mapping[str, GrpcTarget]
    hosts: Mapping[str, str] = {}
    approval_url: str = ""
    cors: Cors | None = None


def target_of_host(hosts: Mapping[str, str], authority: bytes) -> str:
    """The name of the target that the host is given to, "" if none."""
    if not hosts:
        return ""
    text = authority.decode("latin-1").lower()
    host, colon, port = text.rpartition(":")
    return hosts.get(host if colon and port.isdigit() else text, "")
