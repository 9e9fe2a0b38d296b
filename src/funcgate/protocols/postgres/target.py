"""A target that speaks PostgreSQL, and all of them as one site; what callers of it may use."""

import ssl
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from funcgate.catalog.sql import SqlCatalog
from funcgate.core.budget import Budget
from funcgate.core.function import Limits
from funcgate.gateway import Snapshot
from funcgate.masking.columns import ColumnRules

from .roles import Roles

DEFAULT_PORT = 5432


class Place(Struct, frozen=True):
    """Where a database is. `tls` None: in clear."""

    host: str
    port: int
    database: str
    tls: ssl.SSLContext | None = None
    server_name: str = ""


class OauthLogin(Struct, frozen=True):
    """Who is asked for a token by OAUTHBEARER (user names, ``*`` for all), and where clients without one are sent."""

    users: frozenset[str]
    openid_configuration: str
    scope: str = ""

    def asks(self, user: str) -> bool:
        return user in self.users or "*" in self.users


class PostgresTarget(Struct, frozen=True):
    """One target. `url` is as configured: a session ends when it changes. `columns` gives the rules of a function."""

    name: str
    url: str
    place: Place
    catalog: SqlCatalog
    limits: Limits
    columns: Callable[[str], ColumnRules]
    budgets: tuple[Budget, ...] = ()
    oauth: OauthLogin | None = None
    roles: Roles | None = None


class PostgresSite(Struct, frozen=True):
    """What the listener serves. Swapped whole; a call keeps the one it began with."""

    snapshot: Snapshot
    targets: Mapping[str, PostgresTarget]
    approval_url: str = ""


class SessionLimits(Struct, frozen=True, kw_only=True):
    """What one caller may use. Times in seconds; `idle_timeout_s` is between two statements; `max_held`
    is in bytes, of the statements and portals that a session keeps."""

    max_connections: int = 1000
    login_timeout_s: float = 10.0
    tls_handshake_timeout_s: float = 10.0
    write_timeout_s: float = 30.0
    idle_timeout_s: float = 3600.0
    max_statements: int = 1000
    max_held: int = 32 << 20


def place_of(url: str, tls: ssl.SSLContext | None, server_name: str) -> Place:
    """Where ``postgres://HOST[:PORT]/DATABASE`` points."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return Place(host, parts.port or DEFAULT_PORT, unquote(parts.path[1:]), tls, server_name or host)
