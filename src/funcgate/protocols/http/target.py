"""A target that speaks HTTP: where it is, what it offers, what may cross; and all of them as one site."""

import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from funcgate.catalog import HttpCatalog
from funcgate.core.function import Limits
from funcgate.core.lease import Lease
from funcgate.gateway import Snapshot
from funcgate.wire.http1.limits import HeadLimits

from .pool import Address, Pool
from .sweeper import Sweeper


class Injection(Struct, frozen=True):
    """A lease, ready to write: header lines, the names that they replace, and query pairs. Built by forward.py."""

    lease: Lease
    lines: bytes
    names: frozenset[bytes]
    query: str
    parameters: frozenset[str]

    def __repr__(self) -> str:
        return "Injection(…)"


class UpstreamTls(Struct, frozen=True):
    """How to trust a target: `ca` a file of certificates (the system's if ""), `cert` and `key` the client's own."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    server_name: str = ""

    def context(self) -> ssl.SSLContext:
        """Raises `OSError` (and `ssl.SSLError`, which is one) when a file cannot be used."""
        context = ssl.create_default_context(cafile=self.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if self.cert:
            context.load_cert_chain(self.cert, self.key or None)
        return context


class HttpTarget:
    """One target. `forward` names the fields that cross although they are withheld by default (``cookie``, say)."""

    def __init__(
        self,
        name: str,
        url: str,
        catalog: HttpCatalog,
        limits: Limits,
        pool: Pool,
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
        self.injection: Injection | None = None
        self.base_path = parts.path.rstrip("/")
        self.host_line = b"host: %b\r\n" % parts.netloc.rpartition("@")[2].encode(
            "idna" if not parts.netloc.isascii() else "ascii"
        )


class HttpSite(Struct, frozen=True):
    """What the listener serves: one snapshot and its targets. Swapped whole; a request keeps the one it began with.

    `hosts` maps a configured host name (lower case, no port) to a target's name.
    """

    snapshot: Snapshot
    targets: Mapping[str, HttpTarget]
    hosts: Mapping[str, str] = {}
    approval_url: str = ""


class HttpPools:
    """The pools of all targets. A pool survives a reload while its url, TLS and limits stay the same."""

    def __init__(self, sweeper: Sweeper, head_limits: HeadLimits | None = None) -> None:
        self._sweeper = sweeper
        self._head_limits = head_limits or HeadLimits(max_bytes=64 << 10)
        self._pools: dict[tuple[str, str, UpstreamTls, Limits], Pool] = {}

    def pool(self, name: str, url: str, tls: UpstreamTls, limits: Limits) -> Pool:
        """The pool for a target; a new one unless there is one for the same settings. Raises `OSError` for bad TLS files."""
        key = (name, url, tls, limits)
        found = self._pools.get(key)
        return found if found is not None else self._make(key)

    def keep_only(self, pools: set[Pool]) -> None:
        """Close what no target uses any more, once a new site is in place."""
        for key, pool in list(self._pools.items()):
            if pool not in pools:
                del self._pools[key]
                pool.close()

    def close(self) -> None:
        self.keep_only(set())

    def _make(self, key: tuple[str, str, UpstreamTls, Limits]) -> Pool:
        _, url, tls, limits = key
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        host = parts.hostname or ""
        address = Address(
            host=host,
            port=parts.port or (443 if secure else 80),
            ssl_context=tls.context() if secure else None,
            server_name=(tls.server_name or host) if secure else None,
        )
        pool = Pool(address, limits, self._head_limits, self._sweeper)
        self._pools[key] = pool
        return pool
