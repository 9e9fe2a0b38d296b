"""A worker's journal and the one that is kept, in one process, with the loop between them as a socket would be."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from funcgate.stores.journal_files import FileJournal, Guest, State
from funcgate.stores.journal_shared import SharedJournal


class Wire:
    """What is between the two. `cut` ends it, as a worker's death does: what is under way is lost."""

    def __init__(self, journal: FileJournal, *, share: int = 1, mark: str | None = "", **options: object) -> None:
        self._loop = asyncio.get_running_loop()
        self._up = True
        self.shared = SharedJournal(self._to_guest, named=lambda mark: None, **options)  # type: ignore[arg-type]
        self.guest: Guest = journal.guest(
            lambda payload: self._later(self.shared.on_written, payload),
            lambda payload: self._later(self.shared.on_state, payload),
            share=share,
            mark=mark,
        )

    def _to_guest(self, payload: bytes | bytearray) -> None:
        self._later(self.guest.take, bytes(payload))

    def _later(self, take: object, payload: bytes) -> None:
        self._loop.call_soon(self._arrive, take, payload)

    def _arrive(self, take: object, payload: bytes) -> None:
        if self._up:
            take(payload)  # type: ignore[operator]

    def cut(self) -> int:
        self._up = False
        return self.guest.gone()


@contextlib.asynccontextmanager
async def joined(journal: FileJournal, **options: object) -> AsyncIterator[Wire]:
    """A wire, once its state is known; flushed at the end."""
    wire = Wire(journal, **options)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert wire.shared.status.state is not State.NEW
    yield wire
    await wire.shared.close()
