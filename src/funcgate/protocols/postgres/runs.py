"""Bind, Execute and Sync that come together: the shortest way through the extended protocol for what drivers send most.

All else is taken message by message (extended.py), with the same outcome.
"""

from collections.abc import Sequence

from funcgate.catalog.sql import Statement
from funcgate.core.native import half
from funcgate.wire.postgres import frontend

from .extended import Extended
from .formats import formatted
from .plain import Plain, Plan, plan_of
from .statement import Portal, Prepared, Sending

_BOUND, _DESCRIBED, _DESCRIBED_FOR_US = ("2",), ("2", "T"), ("2", "-T")
_UNNAMED = (("P", ""),)
_native = half("funcgate.protocols.postgres._drive")


class Runs(Extended):
    """A session's extended protocol, with its runs."""

    def run(self) -> tuple[Prepared, Statement, frontend.Run] | None:
        """What comes next, if it is a Bind, Execute and Sync that need no more than one call: the shortest way for what drivers
        send most. None for all else, which is taken message by message. Raises `Malformed`."""
        session = self._session
        if self._failed or self._waiting or session.unsynced or (found := session.caller.run()) is None:
            return None
        prepared = self._statements.get(found.bind.statement)
        statement = prepared.statement if prepared is not None else None
        full = len(self._statements) + len(self._portals) >= session.limits.max_statements
        if prepared is None or statement is None or statement.copy == "in" or statement.handle is not None or full:
            return None
        return prepared, statement, found

    def plain_ahead(self) -> Plain | None:
        """What `run` finds, taken, if it is known by now to be plain. Raises `Malformed`."""
        session = self._session
        if self._failed or self._waiting or session.unsynced or (found := session.caller.run()) is None:
            return None
        prepared = self._statements.get(found.bind.statement)
        plan: Plan | None = prepared.plan if prepared is not None else None
        if prepared is None or plan is None or plan.types is not prepared.types or not plan.holds(session):
            return None
        if len(self._statements) + len(self._portals) >= session.limits.max_statements:
            return None
        return self._plain(plan, self._portal_of(prepared, found), found)

    async def carry_run(self, prepared: Prepared, statement: Statement, found: frontend.Run) -> None:
        """Carry out what `run` found. Raises `Ended`, `Malformed`."""
        portal = self._portal_of(prepared, found)
        if (plan := self._plan(prepared)) is not None:
            plain = self._plain(plan, portal, found)
            try:
                carried = await self._session.carry(plain)
            except BaseException:
                self._forget(_UNNAMED)
                raise
            await self.carried(plain, portal, carried=carried)
            return
        expected, data = _expected(portal, found)
        asked = [portal] if expected is not _BOUND else []
        await self._carry(statement.function, prepared, Sending(data, expected), portal, asked, _UNNAMED)
        await self._over()

    async def carried(self, plain: Plain, portal: Portal, *, carried: bool) -> None:
        """After a run that was plain."""
        session = self._session
        if plain.passed:
            if plain.asks:
                self.described(portal, plain.shape.columns)
            if session.passed():
                await session.flush()
            return
        self._forget(_UNNAMED)
        asked = [portal] if plain.asks else []
        await self._followed(plain, portal, asked, kept=carried and not plain.failed)
        await self._over()

    async def _over(self) -> None:
        if self._failed or self._session.unsynced:
            await self._sync()
        else:
            await self._session.ready()

    def _portal_of(self, prepared: Prepared, found: frontend.Run) -> Portal:
        """The unnamed portal, bound. What binds it is taken."""
        self._session.caller.took(len(found.raw))
        self._portals[""] = portal = Portal(prepared, found.bind, self._columns(prepared, found.bind.results))
        return portal

    def _plain(self, plan: Plan, portal: Portal, found: frontend.Run) -> Plain:
        expected, data = _expected(portal, found)
        return Plain(self._session, plan, portal.prepared.sql, data, "".join(expected)[:2], portal)

    def _plan(self, prepared: Prepared) -> Plan | None:
        """What is known of it, if it is plain and can be told by now."""
        plan: Plan | None = prepared.plan
        if plan is None or plan.types is not prepared.types or not plan.holds(self._session):
            prepared.plan = plan = plan_of(self._session, self._session.target, prepared.sql, prepared)
        return plan


def _expected(portal: Portal, found: frontend.Run) -> tuple[Sequence[str], bytes]:
    """What comes before the rows, and what to send for that."""
    data = found.raw
    if found.described:
        return _DESCRIBED, data
    if portal.columns is not None:
        return _BOUND, data
    head = len(data) - len(frontend.EXECUTE_AND_SYNC)  # the rows cannot be read without it
    return _DESCRIBED_FOR_US, data[:head] + frontend.DESCRIBE_UNNAMED + data[head:]


if _native is not None:
    _native.runs_are(Portal, Prepared, frontend.Bind, formatted, frontend.DESCRIBE_UNNAMED)
