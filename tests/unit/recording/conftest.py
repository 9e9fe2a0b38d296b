"""A journal's folder to play with, and short entries."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from funcgate.core.entry import Entry, Kind
from funcgate.recording.reader import read_entries
from funcgate.stores.journal_files import FileJournal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def entries_of() -> Callable[[Path], list[Entry]]:
    """All entries of a folder, after checking that they are numbered without a gap."""

    def read(folder: Path) -> list[Entry]:
        damaged: list[str] = []
        entries = list(read_entries(folder, damaged=damaged.append))
        assert damaged == []
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        backwards = [entry.seq for entry in read_entries(folder, newest_first=True)]
        assert backwards == list(range(len(entries), 0, -1))
        return entries

    return read


@pytest.fixture
def journal_in() -> Callable[..., FileJournal]:
    def make(folder: Path, **options: object) -> FileJournal:
        return FileJournal(folder, **{"min_free_bytes": 0, **options})  # type: ignore[arg-type]

    return make


@pytest.fixture
def write_call() -> Callable[..., Iterator[Entry]]:
    def entries(call: str, *kinds: Kind) -> Iterator[Entry]:
        return (Entry(kind=kind, call=call, function="shop.buy", target="shop") for kind in kinds)

    return entries
