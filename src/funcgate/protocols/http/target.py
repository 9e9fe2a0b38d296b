"""A target that speaks HTTP: where it is, what it offers, what may cross; and all of them as one site."""

import ssl
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from funcgate.catalog import HttpCatalog
from funcgate.core.function import Limits
from funcgate.core.lease import Lease
from funcgate.gateway import Snapshot
from funcgate.protocols.http2.upstream import Http2Pool
from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http2.limits import Http2Limits, Times

from .pool import Address, Pool
from .sweeper import Sweeper
from .upstream import WHOLE_UP_TO


class Injection(Struct, frozen=True):
    """A lease, ready to write: header lines, the same as fields for HTTP/2, the names that they replace, and query pairs.
    Built by outgoing.py."""

    lease: Lease
    lines: bytes
    fields: list[tuple[bytes, bytes]]
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

    def context(self, protocol: str = "http/1.1") -> ssl.SSLContext:
        """Raises `OSError` (and `ssl.SSLError`, which is one) when a file cannot be used."""
        context = ssl.create_default_context(cafile=self.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([protocol])
        if protocol == "h2":
            context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")  # of TLS 1.2, what RFC 9113, 9.2.2 leaves
        if self.cert:
            context.load_cert_chain(self.cert, self.key or None)
        return context


class HttpTarget:
    """One target. Its pool says whether it speaks HTTP/1.1 or HTTP/2.

    `forward` names the fields that cross although they are withheld by default (``cookie``, say)."""

    def __init__(
        self,
        name: str,
        url: str,
        catalog: HttpCatalog,
        limits: Limits,
        pool: Pool | Http2Pool,
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
        self.scheme = parts.scheme.encode()
        host = parts.netloc.rpartition("@")[2]
        self.authority = host.encode("idna" if not host.isascii() else "ascii")
        self.whole_up_to = -1 if unmaskable_pass else min(WHOLE_UP_TO, limits.max_response)
        self.host_line = b"host: %b\r\n" % self.authority


class HttpSite(Struct, frozen=True):
    """What the listener serves: one snapshot and its targets. Swapped whole; a request keeps the one it began with.

    `hosts` maps a configured host name (lower case, no port) to a target's name.
    """

    snapshot: Snapshot
    targets: Mapping[str, HttpTarget]
    hosts: Mapping[str, str] = {}
    approval_url: str = ""


_Key = tuple[str, str, UpstreamTls, Limits]


class HttpPools:
    """The pools of all targets. A pool survives a reload while its url, TLS and limits stay the same."""

    def __init__(self, sweeper: Sweeper, head_limits: HeadLimits | None = None) -> None:
        self._sweeper = sweeper
        self._head_limits = head_limits or HeadLimits(max_bytes=64 << 10)
        self._pools: dict[_Key, Pool] = {}
        self._multiplexed: dict[tuple[_Key, Http2Limits, Times], Http2Pool] = {}

    def pool(self, name: str, url: str, tls: UpstreamTls, limits: Limits) -> Pool:
        """The pool for a target; a new one unless there is one for the same settings. Raises `OSError` for bad TLS files."""
        key = (name, url, tls, limits)
        found = self._pools.get(key)
        if found is None:
            address = _address(url, tls, "http/1.1")
            self._pools[key] = found = Pool(address, limits, self._head_limits, self._sweeper)
        return found

    def multiplexed(
        self, name: str, url: str, tls: UpstreamTls, limits: Limits, wire: Http2Limits, times: Times
    ) -> Http2Pool:
        """The same for a target that speaks HTTP/2."""
        key = ((name, url, tls, limits), wire, times)
        found = self._multiplexed.get(key)
        if found is None:
            self._multiplexed[key] = found = Http2Pool(_address(url, tls, "h2"), limits, wire, times, self._sweeper)
        return found

    def keep_only(self, pools: Collection[Pool | Http2Pool]) -> None:
        """Close what no target uses any more, once a new site is in place."""
        for key, pool in list(self._pools.items()):
            if pool not in pools:
                del self._pools[key]
                pool.close()
        for one, shared in list(self._multiplexed.items()):
            if shared not in pools:
                del self._multiplexed[one]
                shared.close()

    def close(self) -> None:
        self.keep_only(set())


def _address(url: str, tls: UpstreamTls, protocol: str) -> Address:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    return Address(
        host=host,
        port=parts.port or (443 if secure else 80),
        ssl_context=tls.context(protocol) if secure else None,
        server_name=(tls.server_name or host) if secure else None,
    )
