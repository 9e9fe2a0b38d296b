"""A data folder with a real journal, and the chore driven as the keeper drives it."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from funcgate.core.entry import Entry, Kind
from funcgate.recording.folder import Line, lines
from funcgate.recording.proof.chore import ProofChore
from funcgate.stores.journal_files import FileJournal


class Prover:
    """A data folder. `write` appends entries to its journal, `prove` feeds the chore with what is there."""

    def __init__(self, data_dir: Path, segment_bytes: int = 2000) -> None:
        self.data_dir = data_dir
        self.segment_bytes = segment_bytes

    @property
    def journal(self) -> Path:
        return self.data_dir / "journal"

    @property
    def proof(self) -> Path:
        return self.data_dir / "proof"

    def write(self, count: int, **fields: object) -> None:
        asyncio.run(self._write(count, fields))

    async def _write(self, count: int, fields: dict[str, object]) -> None:
        journal = FileJournal(self.journal, segment_bytes=self.segment_bytes, min_free_bytes=0)
        await journal.start()
        for number in range(count):
            given = {"kind": Kind.DENIED, "call": f"call-{number}", "code": "policy.denied", **fields}
            await journal.append(Entry(**given))  # type: ignore[arg-type]
        await journal.close()

    def lines(self) -> Sequence[Line]:
        return list(lines(self.journal))

    def chore(self, **options: object) -> ProofChore:
        return ProofChore(self.data_dir, **{"every_s": 0.0, **options})  # type: ignore[arg-type]

    def prove(self, every: int = 0, **options: object) -> ProofChore:
        """A run of the keeper: all lines taken, a checkpoint after each `every` of them and at the end, everything closed."""
        chore = self.chore(**options)
        found = lines(self.journal, after=chore.position)
        while piece := list(islice(found, every or 1000)):
            chore.take(piece)
            if every:
                chore.tick()
        chore.close()
        return chore
