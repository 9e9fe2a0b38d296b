"""Revocations in memory: the shipped fake for tests and trials. It survives nothing."""

from collections.abc import Sequence

import msgspec

from funcgate.core.revocation import Revocation


class MemoryRevocations:
    """`core.revocation.RevocationStore` over a dictionary; one event loop only."""

    def __init__(self) -> None:
        self._kept: dict[str, Revocation] = {}
        self._changes = 0

    async def add(self, revocation: Revocation) -> None:
        self._kept[revocation.id] = revocation
        self._changes += 1

    async def get(self, revocation: str) -> Revocation | None:
        return self._kept.get(revocation)

    async def lift(self, revocation: str, by: str, at: float) -> bool:
        kept = self._kept.get(revocation)
        if kept is None or not kept.stands(at):
            return False
        self._kept[revocation] = msgspec.structs.replace(kept, lifted_at=at, lifted_by=by)
        self._changes += 1
        return True

    async def standing(self, now: float) -> Sequence[Revocation]:
        return sorted((each for each in self._kept.values() if each.stands(now)), key=lambda each: each.id)

    async def find(
        self, standing_at: float | None = None, *, before: str = "", limit: int = 50
    ) -> Sequence[Revocation]:
        found = [
            each
            for each in self._kept.values()
            if (standing_at is None or each.stands(standing_at)) and (not before or each.id < before)
        ]
        return sorted(found, key=lambda each: each.id, reverse=True)[:limit]

    async def changes(self) -> int:
        return self._changes
