"""Revocations of a running gateway: loaded before the first call, changed at once where ordered, looked for once a second.

A gateway that never revoked anything has no database for it, and does not load what reads one.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from funcgate.core.approval import StoreFailed, StoreLocked
from funcgate.core.ports import Journal
from funcgate.core.revocation import RevocationStore
from funcgate.identity import Issuers
from funcgate.identity.revoking import Elsewhere, Revocations
from funcgate.logs import logger

from .building import StartFailed

if TYPE_CHECKING:
    from funcgate.stores.sql import SqlRevocations

LOOK_EVERY_S = 1.0


class Revoking:
    """What stands in the database at `state`, in force in the issuers that serve."""

    def __init__(
        self,
        state: Path,
        journal: Journal,
        issuers: Callable[[], Issuers],
        key: bytes | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """`key` is that of `journal.encryption`; `elsewhere` are the workers, where there are any."""
        self._state = state
        self._later = _Later(state, key)
        self.revocations = Revocations(cast(RevocationStore, self._later), journal, issuers, elsewhere=elsewhere)
        self._trouble = ""

    async def open(self) -> None:
        """Open the database, if there is one: migrated, and sealed if encryption is new. Raises `StartFailed`."""
        if await asyncio.to_thread(self._state.exists):
            try:
                await self._later.open()
            except StoreLocked as locked:
                raise StartFailed(f"{self._state}: {locked}") from None
            except StoreFailed as failed:
                raise StartFailed(f"revocations cannot be read: {failed}") from None

    async def start(self) -> None:
        """Load what stands. Raises `StartFailed`."""
        try:
            await self._look()
        except StoreFailed as failed:
            # Attack: spoil the database, so that whoever was revoked is let in again.
            raise StartFailed(f"revocations cannot be read: {failed}") from None

    async def run(self) -> None:
        """Until cancelled: what was ordered by others who share the database takes effect, and what ends ends."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self._look()
            except StoreFailed as failed:
                self._said(str(failed))
            else:
                self._said("")

    async def close(self) -> None:
        await self._later.close()

    def warnings(self) -> list[str]:
        """What is wrong, for /readyz."""
        return ["revocations cannot be read; those known stand, later ones are not known"] if self._trouble else []

    async def _look(self) -> None:
        if self._later.used or await asyncio.to_thread(self._state.exists):
            await self.revocations.look()

    def _said(self, text: str) -> None:
        """Say once what is wrong, and once that it is mended."""
        if bool(text) != bool(self._trouble):
            if text:
                logger().warning("revocations cannot be read", problem=text)
            else:
                logger().info("revocations can be read again")
        self._trouble = text


class _Later:
    """`core.revocation.RevocationStore`, opened when it is first asked for anything."""

    def __init__(self, path: Path, key: bytes | None) -> None:
        self._path = path
        self._key = key
        self._opening = asyncio.Lock()
        self._store: SqlRevocations | None = None

    def __getattr__(self, name: str) -> Any:
        async def ask(*arguments: Any, **named: Any) -> Any:
            return await getattr(await self._opened(), name)(*arguments, **named)

        return ask

    @property
    def used(self) -> bool:
        return self._store is not None

    async def open(self) -> None:
        await (await self._opened()).open()

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()

    async def _opened(self) -> "SqlRevocations":
        async with self._opening:
            if self._store is None:
                self._store = await asyncio.to_thread(_open, self._path, self._key)
            return self._store


def _open(path: Path, key: bytes | None) -> "SqlRevocations":
    from funcgate.stores.sql import (
        SqlRevocations,
        database,
    )  # takes longer to load than a call may wait for: in a thread

    return SqlRevocations(database.Database(path, key))
