"""Histories of calls in a real journal folder, and the index over them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from funcgate.core.entry import Entry
from funcgate.recording.follow import Follow
from funcgate.recording.index.asking import Answers
from funcgate.recording.index.chore import IndexChore
from funcgate.stores.lines import add_lines

T0 = 1_790_000_000.0
SEGMENT_LINES = 40


def written_at(seconds: float) -> str:
    return datetime.fromtimestamp(T0 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class History:
    """A journal that is written line by line, in segments of so many lines, and indexed in batches."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.journal = data_dir / "journal"
        self.journal.mkdir(parents=True)
        self.count = 0

    def write(self, entries: Iterable[Entry], at: float) -> None:
        for entry in entries:
            buffer = bytearray()
            add_lines(buffer, [entry], self.count, written_at(at))
            segment = self.journal / f"{self.count // SEGMENT_LINES + 1:08d}.jsonl"
            with segment.open("ab") as file:
                file.write(buffer)
            self.count += 1

    def index(self, batch: int = 1000, **options: object) -> None:
        """Bring the index up to date, with so many lines a batch, each by a chore of its own now and then."""
        chore = IndexChore(self.data_dir, **options)  # type: ignore[arg-type]
        follow = Follow(self.journal, chore.position)
        while lines := follow.read(self.count, max_lines=batch):
            chore.take(lines)
            chore.tick()
            if lines[-1].seq % 3 == 0:  # nothing of a chore's memory may matter
                chore.close()
                chore = IndexChore(self.data_dir, **options)  # type: ignore[arg-type]
        chore.close()

    def answers(self, **options: object) -> Answers:
        return Answers(self.data_dir, **options)  # type: ignore[arg-type]
