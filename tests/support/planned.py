"""A session with one prepared statement that has its plan, if it can have one, and the messages that run it. Without sockets."""

import struct
from types import SimpleNamespace
from typing import Any, cast

from msgspec import structs

from funcgate.core.budget import Accounts
from funcgate.core.principal import Principal
from funcgate.protocols.postgres import plain
from funcgate.protocols.postgres.roles import Roles
from funcgate.protocols.postgres.session import Session
from funcgate.protocols.postgres.statement import Prepared
from funcgate.protocols.postgres.target import SessionLimits
from funcgate.protocols.postgres.upstream import Upstream
from funcgate.wire.postgres import backend, frontend
from funcgate.wire.postgres.backend import Column
from funcgate.wire.postgres.frames import frame
from support.lied import PLACE, Lied, deaf

LIED = Lied(0)
CALLER = Principal(issuer="corp", subject="a", groups=frozenset(), claims={}, token="", expires_at=0.0)


def bind(name: bytes, formats: tuple[int, ...], values: list[bytes | None], results: tuple[int, ...]) -> bytes:
    """A Bind of the unnamed portal."""
    parts = [b"\0", name, b"\0", struct.pack("!H", len(formats)), *(struct.pack("!H", each) for each in formats)]
    parts.append(struct.pack("!H", len(values)))
    parts += [b"\xff" * 4 if each is None else struct.pack("!I", len(each)) + each for each in values]
    parts += [struct.pack("!H", len(results)), *(struct.pack("!H", each) for each in results)]
    return frame(b"B", b"".join(parts))


async def session_of(
    sql: str, run: bytes, columns: tuple[Column, ...] | None, types: tuple[int, ...], changes: set[str]
) -> Session:
    """A session with one prepared statement, planned if it can be; then these changes, and the run comes."""
    lied = LIED
    caller = deaf(frontend.limits_of(1 << 20))
    snapshot = SimpleNamespace(maskers=lied._plan.masker)
    site = SimpleNamespace(snapshot=snapshot, targets={"shop": lied.target})
    limits = SessionLimits(max_statements=1 if "full" in changes else 1000)
    sites = SimpleNamespace(limits=limits, site=site, accounts=Accounts(), draining=False)
    session = Session(cast(Any, None), cast(Any, sites), caller, "", lied.target, None)
    session.origins, session.upstream = await lied.known(), Upstream(PLACE, deaf(backend.limits_of(1 << 20)))
    (statement,) = lied.target.catalog.analyse(sql)
    prepared = Prepared(sql, statement, types, columns, {}, session.origins.version)
    session.extended.names.statements["s"] = prepared
    prepared.plan = plain.plan_of(session, session.target, sql, prepared)
    session.origins.version += "version" in changes
    if "tables" in changes:
        session.origins.changed()
    if "described" in changes:
        prepared.version -= 1
    session.origins.until = 0.0 if "until" in changes else session.origins.until
    prepared.types = (25, 26) if "types" in changes else prepared.types
    session.extended._failed = "failed" in changes
    session.extended._waiting = [b"x"] if "waiting" in changes else []
    session.unsynced, session.role = "unsynced" in changes, "other" if "role" in changes else ""
    if changes & {"site", "roles", "url"}:
        roles = Roles({}, otherwise="other") if "roles" in changes else None
        url = "postgres://elsewhere/shop" if "url" in changes else lied.target.url
        other = structs.replace(lied.target, roles=roles, url=url)
        sites.site = SimpleNamespace(snapshot=snapshot, targets={"shop": other})
    caller.data_received(run)
    return session
