"""`core.revocation.RevocationStore` in SQL. Nothing is ever deleted: who was refused when is part of the record."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, func, insert, or_, select, update

from funcgate.core.approval import StoreFailed
from funcgate.core.revocation import Revocation

from .database import Database
from .sealing import Altered, Form
from .tables import revocations

_decode = msgspec.json.Decoder(Revocation).decode
_DOCUMENT = (revocations.c.id, revocations.c.document)


class SqlRevocations:
    """Over one `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def add(self, revocation: Revocation) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                insert(revocations).values(id=revocation.id, **_columns(self._database.form, revocation))
            )

    async def get(self, revocation: str) -> Revocation | None:
        query = select(*_DOCUMENT).where(revocations.c.id == revocation)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else self._read(row)

    async def lift(self, revocation: str, by: str, at: float) -> bool:
        """See `core.revocation.RevocationStore`."""
        mine = and_(revocations.c.id == revocation, _standing(at))
        async with self._database.write() as connection:
            row = (await connection.execute(select(*_DOCUMENT).where(mine))).first()
            if row is None:
                return False
            lifted = msgspec.structs.replace(self._read(row), lifted_at=at, lifted_by=by)
            await connection.execute(update(revocations).where(mine).values(**_columns(self._database.form, lifted)))
        return True

    async def standing(self, now: float) -> Sequence[Revocation]:
        query = select(*_DOCUMENT).where(_standing(now)).order_by(revocations.c.id)
        async with self._database.read() as connection:
            return [self._read(row) for row in await connection.execute(query)]

    async def find(
        self, standing_at: float | None = None, *, before: str = "", limit: int = 50
    ) -> Sequence[Revocation]:
        query = select(*_DOCUMENT)
        if standing_at is not None:
            query = query.where(_standing(standing_at))
        if before:
            query = query.where(revocations.c.id < before)
        async with self._database.read() as connection:
            found = await connection.execute(query.order_by(revocations.c.id.desc()).limit(limit))
            return [self._read(row) for row in found]

    async def changes(self) -> int:
        # Rows only come, and are lifted once: both counts only grow.
        query = select(func.count() + func.count(revocations.c.lifted_at)).select_from(revocations)
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    def _read(self, row: Any) -> Revocation:
        """Raises `StoreFailed`: one that cannot be read may be of anybody."""
        try:
            return _decode(self._database.form.open("revocations.document", (row.id,), row.document))
        except (msgspec.MsgspecError, Altered):
            raise StoreFailed(f"revocation {row.id} in the database cannot be read") from None


def _columns(form: Form, revocation: Revocation) -> dict[str, Any]:
    return {
        "until": revocation.until,
        "lifted_at": revocation.lifted_at,
        "document": form.seal("revocations.document", (revocation.id,), msgspec.json.encode(revocation)),
    }


def _standing(now: float) -> ColumnElement[bool]:
    return and_(revocations.c.lifted_at.is_(None), or_(revocations.c.until.is_(None), revocations.c.until > now))
