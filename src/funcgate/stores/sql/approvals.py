"""`core.approval.ApprovalStore` in SQL. Each method is one transaction; who shares the database sees each change at once."""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from funcgate.core.approval import Approval, Grant, State, StoreFailed, Ticket, TooManyPending
from funcgate.core.ids import new_id

from .database import Database
from .sealing import Altered, Row
from .tables import approvals, grants, notices, tickets

_approval = msgspec.json.Decoder(Approval)
_grant = msgspec.json.Decoder(Grant)
_DOCUMENT = (approvals.c.id, approvals.c.key, approvals.c.document)


class SqlApprovals:
    """Over one `Database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def close(self) -> None:
        await self._database.close()

    async def open(self, approval: Approval, max_pending: int = 0) -> Approval:
        """See `core.approval.ApprovalStore`."""
        async with self._database.write() as connection:
            columns = self._columns(approval)
            if approval.live:
                query = select(*_DOCUMENT).where(approvals.c.live_key == columns["live_key"])
                found = await self._one(connection, query)
                if found is not None:
                    # Attack: exchange two rows' keys, so that one call is taken for another that was approved.
                    if found.key != approval.key:
                        raise StoreFailed("an approval in the database is under another one's key")
                    return found
                if max_pending:
                    await _count(connection, columns["caller"], max_pending)
            await connection.execute(insert(approvals).values(id=approval.id, **columns))
        return approval

    async def get(self, approval: str) -> Approval | None:
        async with self._database.read() as connection:
            return await self._one(connection, select(*_DOCUMENT).where(approvals.c.id == approval))

    async def latest(self, key: str) -> Approval | None:
        async with self._database.read() as connection:
            mine = approvals.c.key == self._hashed(key)
            wanted = select(*_DOCUMENT).where(mine).order_by(approvals.c.id.desc()).limit(1)
            return await self._one(connection, wanted)

    async def swap(self, approval: Approval) -> bool:
        """See `core.approval.ApprovalStore`."""
        expected = and_(approvals.c.id == approval.id, approvals.c.revision == approval.revision - 1)
        async with self._database.write() as connection:
            done = await connection.execute(update(approvals).where(expected).values(**self._columns(approval)))
        return bool(done.rowcount == 1)

    async def states(self, wanted: Iterable[str]) -> dict[str, int]:
        query = select(approvals.c.id, approvals.c.revision).where(approvals.c.id.in_(list(wanted)))
        async with self._database.read() as connection:
            return {row.id: row.revision for row in await connection.execute(query)}

    async def due(self, now: float, limit: int = 100) -> Sequence[Approval]:
        query = select(*_DOCUMENT).where(approvals.c.attention_at <= now)
        async with self._database.read() as connection:
            return await self._all(connection, query.order_by(approvals.c.attention_at).limit(limit))

    async def find(self, state: State | None = None, *, before: str = "", limit: int = 50) -> Sequence[Approval]:
        query = select(*_DOCUMENT)
        if state is not None:
            query = query.where(approvals.c.state == state.value)
        if before:
            query = query.where(approvals.c.id < before)
        async with self._database.read() as connection:
            return await self._all(connection, query.order_by(approvals.c.id.desc()).limit(limit))

    async def forget(self, before: float, limit: int = 500) -> int:
        """See `core.approval.ApprovalStore`."""
        ended = and_(approvals.c.live_key.is_(None), approvals.c.id < new_id(before))
        query = select(*_DOCUMENT).where(ended).order_by(approvals.c.id).limit(limit)
        async with self._database.read() as connection:
            old = [each.id for each in await self._all(connection, query) if each.expires_at < before]
        async with self._database.write() as connection:
            await connection.execute(delete(notices).where(notices.c.approval.in_(old)))
            await connection.execute(delete(approvals).where(approvals.c.id.in_(old)))
            await connection.execute(delete(grants).where(grants.c.expires_at < before))
        return len(old)

    # -- grants

    async def add_grant(self, grant: Grant) -> None:
        async with self._database.write() as connection:
            form = self._database.form
            values = {
                "id": grant.id, "function": grant.function, "subject": form.hashed("grants.subject", grant.subject),
                "expires_at": grant.expires_at, "calls": grant.calls, "used": grant.used, "revoked": grant.revoked,
                "document": form.seal("grants.document", (grant.id,), msgspec.json.encode(grant)),
            }  # fmt: skip
            await connection.execute(insert(grants).values(**values))

    async def grants(self, function: str = "", subject: str = "", *, now: float = 0.0) -> Sequence[Grant]:
        """See `core.approval.ApprovalStore`."""
        usable = and_(grants.c.revoked.is_(False), grants.c.used < grants.c.calls, grants.c.expires_at > now)
        query = select(grants.c.id, grants.c.document, grants.c.used).where(usable)
        if function:
            query = query.where(grants.c.function == function)
        async with self._database.read() as connection:
            form = self._database.form
            if subject:
                query = query.where(grants.c.subject == form.hashed("grants.subject", subject))
            rows = (await connection.execute(query.order_by(grants.c.id))).all()
        found = []
        for row in rows:
            with contextlib.suppress(msgspec.MsgspecError, Altered):  # what cannot be read lets nothing pass
                read = _grant.decode(form.open("grants.document", (row.id,), row.document))
                found.append(msgspec.structs.replace(read, used=row.used))
        return found

    async def use_grant(self, grant: str, now: float) -> bool:
        usable = and_(grants.c.id == grant, grants.c.revoked.is_(False), grants.c.expires_at > now)
        # Attack: many calls at once on the last use of a grant. The comparison and the count are one step.
        left = and_(usable, grants.c.used < grants.c.calls)
        async with self._database.write() as connection:
            done = await connection.execute(update(grants).where(left).values(used=grants.c.used + 1))
        return bool(done.rowcount == 1)

    async def revoke_grant(self, grant: str) -> bool:
        wanted = and_(grants.c.id == grant, grants.c.revoked.is_(False))
        async with self._database.write() as connection:
            done = await connection.execute(update(grants).where(wanted).values(revoked=True))
        return bool(done.rowcount == 1)

    # -- how far channels have told

    async def untold(self, channel: str, since: str, limit: int = 50) -> Sequence[tuple[Approval, str]]:
        """Approvals from the id `since` on that have changed since the channel told of them; with where its message is, "" if
        there is none yet."""
        told = and_(notices.c.approval == approvals.c.id, notices.c.channel == channel)
        query = (
            select(*_DOCUMENT, notices.c.reference)
            .select_from(approvals.outerjoin(notices, told))
            .where(approvals.c.id >= since, func.coalesce(notices.c.revision, 0) < approvals.c.revision)
            .order_by(approvals.c.id)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [(read, self._reference(channel, row)) for row in rows if (read := self._read(row)) is not None]

    async def told(self, channel: str, approval: str, revision: int, reference: str) -> None:
        """The channel has told of that revision; its message is at `reference`."""
        mine = and_(notices.c.channel == channel, notices.c.approval == approval)
        async with self._database.write() as connection:
            sealed = self._database.form.seal_text("notices.reference", (channel, approval), reference)
            values = {"channel": channel, "approval": approval, "revision": revision, "reference": sealed}
            await connection.execute(delete(notices).where(mine))
            await connection.execute(insert(notices).values(**values))

    # -- links that were sent

    async def add_ticket(self, ticket: Ticket, now: float) -> None:
        """See `core.approval.ApprovalStore`."""
        async with self._database.write() as connection:
            await connection.execute(delete(tickets).where(tickets.c.expires_at <= now))
            sealed = self._database.form.seal_text("tickets.recipient", _bound(ticket), ticket.recipient)
            values = msgspec.structs.asdict(ticket) | {"recipient": sealed}
            await connection.execute(insert(tickets).values(**values))

    async def ticket(self, digest: str) -> Ticket | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(tickets).where(tickets.c.digest == digest))).first()
        if row is None:
            return None
        found = Ticket(**row._mapping)
        try:
            recipient = self._database.form.open_text("tickets.recipient", _bound(found), found.recipient)
        except Altered:
            raise StoreFailed("a link in the database cannot be read") from None
        return msgspec.structs.replace(found, recipient=recipient)

    async def use_ticket(self, digest: str) -> bool:
        unused = and_(tickets.c.digest == digest, tickets.c.used.is_(False))
        async with self._database.write() as connection:
            done = await connection.execute(update(tickets).where(unused).values(used=True))
        return bool(done.rowcount == 1)

    # -- how they are written

    def _hashed(self, key: str) -> str:
        return self._database.form.hashed("approvals.key", key)

    def _columns(self, approval: Approval) -> dict[str, Any]:
        who, form = approval.asked.principal, self._database.form
        key = self._hashed(approval.key)
        return {
            "key": key,
            "live_key": key if approval.live else None,
            "state": approval.state.value,
            "caller": form.hashed("approvals.caller", f"{who.issuer}/{who.subject}"),
            "attention_at": approval.attention_at,
            "revision": approval.revision,
            "document": form.seal("approvals.document", (approval.id,), msgspec.json.encode(approval)),
        }

    async def _one(self, connection: AsyncConnection, query: Any) -> Approval | None:
        row = (await connection.execute(query)).first()
        if row is None:
            return None
        read = self._read(row)
        if read is None:
            raise StoreFailed("an approval in the database cannot be read")
        return read

    async def _all(self, connection: AsyncConnection, query: Any) -> list[Approval]:
        return [read for row in await connection.execute(query) if (read := self._read(row)) is not None]

    def _read(self, row: Any) -> Approval | None:
        """None for what cannot be read: one damaged row must hide no others, nor keep them from expiring."""
        try:
            read = _approval.decode(self._database.form.open("approvals.document", (row.id,), row.document))
        except (msgspec.MsgspecError, Altered):
            return None
        # Attack: exchange two rows' keys, so that one call is taken for another that was approved.
        return read if read.id == row.id and self._hashed(read.key) == row.key else None

    def _reference(self, channel: str, row: Any) -> str:
        """Where the message is; "" also for what cannot be read: then it is posted once more."""
        try:
            return self._database.form.open_text("notices.reference", (channel, row.id), row.reference or "")
        except Altered:
            return ""


def _bound(ticket: Ticket) -> Row:
    # Attack: give the link of one approval to another, or more time.
    return (ticket.digest, ticket.approval, ticket.expires_at)


async def _count(connection: AsyncConnection, caller: str, max_pending: int) -> None:
    mine = and_(approvals.c.caller == caller, approvals.c.state == State.PENDING.value)
    found = await connection.execute(select(func.count()).select_from(approvals).where(mine))
    if int(found.scalar_one()) >= max_pending:
        raise TooManyPending
