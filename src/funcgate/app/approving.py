"""The desk of a running gateway: its store, the people's answers, and the channels that tell them. Put together here."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from funcgate.approval.answers import Answers
from funcgate.approval.desk import HumanDesk
from funcgate.core.approval import Approval, ApprovalStore
from funcgate.core.ports import Journal

if TYPE_CHECKING:
    from funcgate.stores.sql import SqlApprovals


class Approving:
    """One desk over ``state.db``. A gateway that never held a call has no such file, and does not load what reads it."""

    def __init__(self, data_dir: Path, journal: Journal, told: Callable[[Approval], None]) -> None:
        self._later = _Later(data_dir / "state.db")
        self.store = cast(ApprovalStore, self._later)
        self.desk = HumanDesk(self.store, journal, told)
        self.answers = Answers(self.desk)

    async def run(self) -> None:
        """Look after what is held, until cancelled."""
        await self._later.needed()
        await self.desk.run()

    async def close(self) -> None:
        self.desk.close()
        await self._later.close()


class _Later:
    """`core.approval.ApprovalStore`, opened when it is first asked for anything."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opening = asyncio.Lock()
        self._store: SqlApprovals | None = None
        self._needed = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        async def ask(*arguments: Any, **named: Any) -> Any:
            return await getattr(await self._opened(), name)(*arguments, **named)

        return ask

    async def needed(self) -> None:
        """Until somebody asks; at once if an earlier process left something to look after."""
        if not self._path.exists():
            await self._needed.wait()

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()

    async def _opened(self) -> "SqlApprovals":
        self._needed.set()
        async with self._opening:
            if self._store is None:
                self._store = await asyncio.to_thread(_open, self._path)
            return self._store


def _open(path: Path) -> "SqlApprovals":
    from funcgate.stores.sql import SqlApprovals, database  # takes longer to load than a call may wait for: in a thread

    return SqlApprovals(database.Database(path))
