"""The key of a state: made when encryption is first configured, checked at each opening, wrapped anew under another key.

What was written in clear before is sealed in one transaction. It destroys nothing: a wrong key, or none, is told and that is all.
"""

import hmac
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Table, bindparam, delete, insert, select, tuple_, update
from sqlalchemy.engine import Connection

from funcgate.core.approval import StoreFailed, StoreLocked

from .sealing import KEY_BYTES, Altered, Clear, Form, Sealed, check_of, unwrap, wrap
from .tables import approvals, grants, notices, revocations, seal, tickets

AT_ONCE = 500  # rows that are sealed with one statement


class Settled(NamedTuple):
    """How the state is written; `clean` is False while the file may hold what was clear before."""

    form: Form
    clean: bool


def settle(connection: Connection, configured: bytes | None, *, new: bool) -> Settled:
    """How this database is written from now on. Raises `StoreLocked`."""
    row = connection.execute(select(seal)).first()
    if row is None:
        return Settled(Clear(), True) if configured is None else _begun(connection, configured, new)
    if configured is None:
        raise StoreLocked(
            "the state is encrypted, and the configuration names no journal.encryption.key: name the key again, or another "
            "`state`, which begins without approvals and revocations. Nothing was changed."
        )
    return Settled(Sealed(_key_of(row, configured)), row.clean)


def cleaned(connection: Connection) -> None:
    connection.execute(update(seal).values(clean=True))


def rekeyed(connection: Connection, old: bytes, new: bytes) -> bool:
    """Wrap the state's key under `new`; False if the state is not encrypted. Raises `StoreLocked`. It can be run again."""
    row = connection.execute(select(seal)).first()
    if row is None:
        return False
    if not _is_under(row, new):
        values = {"wrapped": wrap(new, _key_of(row, old)), "checks": check_of(new)}
        connection.execute(update(seal).values(**values))
    return True


def _key_of(row: Any, configured: bytes) -> bytes:
    # Attack: start with a key of one's own, so that what is held from now on can be read by oneself alone.
    if not _is_under(row, configured):
        raise StoreLocked(
            "the state is encrypted under another key than journal.encryption.key: configure that one again, or go over to "
            "the new one with funcgate audit rekey. Nothing was changed."
        )
    try:
        return unwrap(configured, row.wrapped)
    except Altered:
        raise StoreFailed("the wrapped key of the state was altered; a copy of the database has it") from None


def _is_under(row: Any, configured: bytes) -> bool:
    return hmac.compare_digest(row.checks, check_of(configured))


def _begun(connection: Connection, configured: bytes, new: bool) -> Settled:
    key = secrets.token_bytes(KEY_BYTES)
    form = Sealed(key)
    connection.execute(delete(seal))
    values = {"id": 1, "name": form.name, "wrapped": wrap(configured, key), "checks": check_of(configured)}
    connection.execute(insert(seal).values(**values, clean=new))
    if not new:
        for table, change in _CHANGES.items():
            _seal_all(connection, table, lambda row, change=change: change(form, row))  # type: ignore[misc]
    return Settled(form, new)


def _seal_all(connection: Connection, table: Table, change: Callable[[Any], Mapping[str, Any]]) -> None:
    keys = list(table.primary_key)
    mine = [column == bindparam(f"at_{column.name}") for column in keys]
    for rows in _batches(connection, table):
        values = [
            {**change(row), **{f"at_{column.name}": row._mapping[column.name] for column in keys}} for row in rows
        ]
        connection.execute(update(table).where(*mine), values)


def _batches(connection: Connection, table: Table) -> Iterator[list[Any]]:
    """All rows by their keys, a few at a time: none of the keys is changed."""
    keys = list(table.primary_key)
    last: tuple[Any, ...] | None = None
    while True:
        query = select(table).order_by(*keys).limit(AT_ONCE)
        if last is not None:
            query = query.where(tuple_(*keys) > tuple_(*last))
        rows = list(connection.execute(query))
        if not rows:
            return
        yield rows
        last = tuple(rows[-1]._mapping[column.name] for column in keys)


def _approval(form: Form, row: Any) -> Mapping[str, Any]:
    return {
        "key": form.hashed("approvals.key", row.key),
        "live_key": None if row.live_key is None else form.hashed("approvals.key", row.live_key),
        "caller": form.hashed("approvals.caller", row.caller),
        "document": form.seal("approvals.document", (row.id,), row.document),
    }


def _grant(form: Form, row: Any) -> Mapping[str, Any]:
    return {
        "subject": form.hashed("grants.subject", row.subject),
        "document": form.seal("grants.document", (row.id,), row.document),
    }


def _notice(form: Form, row: Any) -> Mapping[str, Any]:
    return {"reference": form.seal_text("notices.reference", (row.channel, row.approval), row.reference)}


def _ticket(form: Form, row: Any) -> Mapping[str, Any]:
    bound = (row.digest, row.approval, row.expires_at)
    return {"recipient": form.seal_text("tickets.recipient", bound, row.recipient)}


def _revocation(form: Form, row: Any) -> Mapping[str, Any]:
    return {"document": form.seal("revocations.document", (row.id,), row.document)}


# What a row in clear becomes. approvals.py and revocations.py write the same.
_CHANGES: Mapping[Table, Callable[[Form, Any], Mapping[str, Any]]] = {
    approvals: _approval,
    grants: _grant,
    notices: _notice,
    tickets: _ticket,
    revocations: _revocation,
}
