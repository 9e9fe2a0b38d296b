"""Orders of administrators from the inbox into the journal: about once a second, each durable before its file goes.

It carries none of them out. What is no order is set aside, with a warning.
"""

import asyncio
from pathlib import Path

from funcgate.core.entry import Entry, Kind
from funcgate.core.ports import Journal
from funcgate.core.refusal import Refused
from funcgate.logs import logger
from funcgate.recording import inbox
from funcgate.recording.inbox import BadOrder

LOOK_EVERY_S = 1.0


class Ordering:
    """One inbox. An order that was recorded when the gateway died is recorded again: `order` in the entry is its id."""

    def __init__(self, data_dir: Path, journal: Journal) -> None:
        self._data_dir = data_dir
        self._inbox = data_dir / inbox.FOLDER
        self._journal = journal
        self._warned: set[Path] = set()
        self._log = logger()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await asyncio.to_thread(inbox.prepare, self._data_dir)  # whoever removed it
                await self.take()
            except OSError as error:
                if self._inbox not in self._warned:
                    self._warned.add(self._inbox)
                    self._log.warning("the inbox cannot be used", path=str(self._inbox), why=error.strerror)
            await asyncio.sleep(LOOK_EVERY_S)

    async def take(self) -> None:
        """Record what waits. Raises `OSError`."""
        paths, foreign = await asyncio.to_thread(lambda: (inbox.waiting(self._inbox), inbox.foreign(self._inbox)))
        for path in foreign:
            if path not in self._warned:
                self._warned.add(path)
                self._log.warning("this is no order; it is left alone", path=str(path))
        for path in paths:
            if not await self._take(path):
                return  # the journal takes nothing now: they wait, in their order

    async def _take(self, path: Path) -> bool:
        try:
            order = await asyncio.to_thread(inbox.read, path)
        except FileNotFoundError:
            return True  # whoever left it took it back
        except BadOrder as bad:
            await self._refuse(path, str(bad))
            return True
        # Attack: an order that says itself who gave it.
        by = {"via": "inbox", "user": order.owner, "uid": order.uid}
        change = {**order.change, "order": order.id, "by": by}
        try:
            await self._journal.append(Entry(kind=Kind.ADMIN, call="", outcome="complete", change=change))
        except Refused:
            return False
        await asyncio.to_thread(inbox.done, path)
        self._log.info("ordered", what=order.change["what"], order=order.id, user=order.owner)
        return True

    async def _refuse(self, path: Path, why: str) -> None:
        # Attack: leave rubbish, or what would break the gateway. It is kept for whoever looks into it, and goes no further.
        try:
            aside = await asyncio.to_thread(inbox.set_aside, path)
        except OSError as error:
            if path not in self._warned:
                self._warned.add(path)
                self._log.warning(
                    "an order was refused and is in the way", why=why, path=str(path), kept=error.strerror
                )
        else:
            self._log.warning("an order was refused", why=why, path=str(aside))
