"""Exports of a range: chosen, fixed at the beginning, and broken off at any point without a gap or a duplicate."""

import csv
import fcntl
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet
import pytest
from msgspec import Raw

from funcgate.core.entry import Entry, Kind
from funcgate.recording.calls import CallRecord
from funcgate.recording.contents import Opened
from funcgate.recording.export.cursor import Cursor, Unfit
from funcgate.recording.export.formats import FORMATS
from funcgate.recording.export.formats.parquet import joined
from funcgate.recording.export.parted import PartedFile
from funcgate.recording.export.places import FilePlace, Place, StreamPlace
from funcgate.recording.export.run import Export, Exported, Wanted
from funcgate.recording.export.units import Calls
from funcgate.recording.filters import Filters
from funcgate.recording.reader import moment, read_calls
from funcgate.stores.journal_files import FileJournal

from .conftest import ADA, T0, Written

ALL = Filters()


class BrokenOff(Exception):
    """The process is killed."""


def export(
    story: Written, place: Place, form: str = "jsonl", filters: Filters = ALL, resume: bool = False, **options: str
) -> Exported:  # fmt: skip
    wanted = Wanted(format=form, filters=filters, options={"format": form, **options})
    damaged: list[str] = []
    done = Export(story.journal, wanted, place, resume=resume, opened=Opened).run(damaged.append, lambda done, of: None)
    assert damaged == []
    return done


def ids(out: Path) -> list[str]:
    """The calls of a CSV."""
    return [row["call"] for row in csv.DictReader(io.StringIO(out.read_bytes().decode(), newline=""))]


@pytest.fixture
def busy(make_written: Callable[[], Written]) -> Written:
    """Two hundred calls in many segments, ten under way at any time, none of them in the order of its arrival."""
    story = make_written()

    async def play(journal: FileJournal) -> None:
        under_way: list[str] = []
        for number in range(200):
            name = f"c{number}"
            await journal.append(story.arrived(name, ADA), story.then(name, Kind.ALLOWED))
            under_way.append(name)
            if len(under_way) == 10:
                await journal.append(story.then(under_way.pop((number * 7) % 10), Kind.ENDED, outcome="complete"))
        for name in reversed(under_way):
            await journal.append(story.then(name, Kind.ENDED, outcome="complete", body=Raw(b"1")))

    story.write(play, segment_bytes=8000)
    return story


def test_jsonl_without_a_choice_is_every_line_in_order(written: Written, tmp_path: Path) -> None:
    done = export(written, FilePlace(tmp_path / "out"))
    out = (tmp_path / "out").read_bytes()
    seqs = [json.loads(line)["seq"] for line in out.splitlines()]
    assert seqs == list(range(1, done.through + 1))
    assert (done.rows, done.bytes, done.sha256) == (len(seqs), len(out), hashlib.sha256(out).hexdigest())
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out"]
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


def test_calls_come_in_the_order_of_their_ends_and_the_open_ones_last(written: Written, tmp_path: Path) -> None:
    export(written, FilePlace(tmp_path / "out"), "csv")
    assert ids(tmp_path / "out") == [written.ids[name] for name in ("paid", "held", "stranger", "cut", "open")]


@pytest.mark.parametrize(
    "filters",
    [
        {"principal": "ada"}, {"function": "shop.*"}, {"decision": "deny"}, {"code": "identity.*"}, {"session": "s-cut"},
        {"since": 2}, {"since": 3}, {"until": 3}, {"since": 3, "until": 5}, {"until": 0},
    ],
)  # fmt: skip
def test_an_export_chooses_what_the_list_shows(written: Written, tmp_path: Path, filters: dict[str, object]) -> None:
    at = {name: moment_at(value) if isinstance(value, int) else str(value) for name, value in filters.items()}
    chosen = Filters(**at)
    export(written, FilePlace(tmp_path / "out"), "csv", chosen)
    assert sorted(ids(tmp_path / "out")) == sorted(record.id for record in read_calls(written.journal, chosen))


def moment_at(second: int) -> str:
    from datetime import UTC, datetime

    return moment(datetime.fromtimestamp(T0 + second, UTC).isoformat())


def test_ranges_that_meet_share_no_call_and_lose_none(busy: Written, tmp_path: Path) -> None:
    cuts = ["", *(moment_at(second) for second in (20, 77, 78, 150)), ""]
    found: list[str] = []
    for number, (since, until) in enumerate(pairwise(cuts)):
        out = tmp_path / f"out{number}"
        export(busy, FilePlace(out), "csv", Filters(since=since, until=until))
        found += ids(out)
    assert len(found) == 200
    assert sorted(found) == sorted(busy.ids.values())


# -- broken off


class Killed(FilePlace):
    """A file whose process dies after so many rows, before or after it settles, what the system had not written lost."""

    step_bytes = 2000

    def __init__(self, path: Path, rows: int) -> None:
        super().__init__(path)
        self._rows = rows

    def add(self, data: bytes) -> None:
        super().add(data)
        self._rows -= 1
        if self._rows < 0:
            raise BrokenOff


@pytest.mark.parametrize("form", ["jsonl", "csv", "ocsf", "cef"])
@pytest.mark.parametrize("filters", [Filters(), Filters(principal="ada"), Filters(since=moment_at(40))])
def test_an_export_that_was_broken_off_goes_on(busy: Written, tmp_path: Path, form: str, filters: Filters) -> None:
    export(busy, FilePlace(tmp_path / "whole"), form, filters)
    whole = (tmp_path / "whole").read_bytes()
    out = tmp_path / "out"
    for rows in (1, 20, 21, 35, 50):
        with pytest.raises(BrokenOff):
            export(busy, Killed(out, rows), form, filters, resume=True)
    done = export(busy, FilePlace(out), form, filters, resume=True)
    assert out.read_bytes() == whole
    assert done.sha256 == hashlib.sha256(whole).hexdigest()


def test_it_goes_on_with_the_range_that_it_began_with(busy: Written, tmp_path: Path) -> None:
    export(busy, FilePlace(tmp_path / "whole"), "csv")
    with pytest.raises(BrokenOff):
        export(busy, Killed(tmp_path / "out", 50), "csv")

    async def more(journal: FileJournal) -> None:
        await journal.append(busy.arrived("later", ADA), busy.then("later", Kind.ENDED))

    busy.write(more)
    export(busy, FilePlace(tmp_path / "out"), "csv", resume=True)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes()


class KilledParted(PartedFile):
    """Dies once so many parts are written: after the part, before the cursor says so, or before either; or when joining."""

    step_bytes = 1

    def __init__(self, path: Path, parts: int = 1000, *, where: str = "") -> None:
        super().__init__(path, joined if where != "joining" else self._die)
        self._left = parts
        self._where = where

    def settle(self, cursor: Cursor) -> None:
        self._left -= 1
        if self._left < 0:
            if self._where == "between":
                (self._folder / f"{len(cursor.parts) + 1:05d}").write_bytes(b"half")
            raise BrokenOff
        super().settle(cursor)

    def _die(self, parts: Iterable[Path]) -> Iterator[bytes]:
        yield b"PAR1"
        raise BrokenOff


def test_a_parquet_file_goes_on_part_by_part(busy: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcgate.recording.export.formats.parquet.GROUP_ROWS", 10)
    whole, out = tmp_path / "whole", tmp_path / "out"
    export(busy, PartedFile(whole, joined), "parquet")
    for parts, where in ((0, ""), (3, "between"), (2, ""), (1000, "joining")):
        with pytest.raises(BrokenOff):
            export(busy, KilledParted(out, parts, where=where), "parquet", resume=True)
        assert not out.exists()
    done = export(busy, PartedFile(out, joined), "parquet", resume=True)
    assert pyarrow.parquet.read_table(out).equals(pyarrow.parquet.read_table(whole))
    assert done.rows == pyarrow.parquet.read_table(out).num_rows == 200
    assert done.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out", "whole"]
    with pytest.raises(Unfit, match="there already"):
        export(busy, PartedFile(out, joined), "parquet", resume=True)


def test_a_part_that_was_changed_is_not_joined(busy: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcgate.recording.export.formats.parquet.GROUP_ROWS", 10)
    out = tmp_path / "out"
    with pytest.raises(BrokenOff):
        export(busy, KilledParted(out, 3), "parquet")
    (tmp_path / "out.parts" / "00002").write_bytes((tmp_path / "out.parts" / "00001").read_bytes())
    with pytest.raises(Unfit, match="not what was written"):
        export(busy, PartedFile(out, joined), "parquet", resume=True)
    (tmp_path / "out.parts" / "00002").unlink()
    with pytest.raises(Unfit, match="not what was written"):
        export(busy, PartedFile(out, joined), "parquet", resume=True)


def test_nothing_that_is_there_is_overwritten(written: Written, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    for resume in (False, True):
        with pytest.raises(Unfit, match="there already"):
            export(written, FilePlace(out), resume=resume)
    assert out.read_text() == "mine"


def test_only_the_same_export_goes_on(busy: Written, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BrokenOff):
        export(busy, Killed(out, 50), "csv", since="1h")
    with pytest.raises(Unfit, match="--resume"):
        export(busy, FilePlace(out), "csv", since="1h")
    with pytest.raises(Unfit, match="other options"):
        export(busy, FilePlace(out), "csv", since="2h", resume=True)
    kept = out.read_bytes()
    out.write_bytes(kept[:100] + b"x" + kept[101:])
    with pytest.raises(Unfit, match="not what was written"):
        export(busy, FilePlace(out), "csv", since="1h", resume=True)
    out.write_bytes(kept[:100])
    with pytest.raises(Unfit, match="shorter"):
        export(busy, FilePlace(out), "csv", since="1h", resume=True)
    (tmp_path / "out.cursor").write_text("{}")
    with pytest.raises(Unfit, match="no cursor"):
        export(busy, FilePlace(out), "csv", since="1h", resume=True)


def test_two_exports_do_not_write_one_file(busy: Written, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(BrokenOff):
        export(busy, Killed(out, 50))
    with out.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Unfit, match="another export"):
            export(busy, FilePlace(out), resume=True)
    export(busy, FilePlace(out), resume=True)


def test_standard_output(written: Written) -> None:
    stream = io.BytesIO()
    done = export(written, StreamPlace(stream), "csv")
    assert (done.rows, done.sha256) == (5, hashlib.sha256(stream.getvalue()).hexdigest())


# -- in bounded memory


def fat(calls: int) -> Iterator[Entry]:
    seq = 0
    for number in range(calls):
        for kind in (Kind.ARRIVED, Kind.CHUNK):
            seq += 1
            yield Entry(seq=seq, at="2026-11-21T00:00:00Z", kind=kind, call=f"c{number}", body="x" * 10_000)


def test_answers_that_never_end_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcgate.recording.export.units.MAX_OPEN_BYTES", 1 << 20)
    monkeypatch.setattr("funcgate.recording.export.units.MAX_OPEN", 300)
    units = Calls(Opened, content=True, admin=False)
    early = [unit for entry in fat(1000) for unit in units.take(entry)]
    rest = list(units.rest(2000))
    calls = [unit.what.id for unit in (*early, *rest) if not isinstance(unit.what, Entry)]
    assert calls == [f"c{number}" for number in range(1000)]
    assert len(rest) <= 300
    assert any(unit.what.body_cut for unit in early)  # and says so


def test_an_answer_after_the_call_is_an_act_of_its_own() -> None:
    """Else it would stand for a call that never ends, and hold the position for ever."""
    at = "2026-11-21T00:00:00Z"
    entries = [
        Entry(seq=1, at=at, kind=Kind.ARRIVED, call="c"),
        Entry(seq=2, at=at, kind=Kind.ANSWERED, call="c", principal=ADA, outcome="approve"),
        Entry(seq=3, at=at, kind=Kind.ENDED, call="c"),
        Entry(seq=4, at=at, kind=Kind.ANSWERED, call="c", principal=ADA, outcome="reject"),
    ]
    units = Calls(Opened, content=False, admin=True)
    call, late = [unit.what for entry in entries for unit in units.take(entry)]
    assert isinstance(call, CallRecord)
    assert [entry.seq for entry in call.entries] == [1, 2, 3]
    assert isinstance(late, Entry)
    assert units.low == 4
    for form in ("cef", "ocsf", "jsonl"):
        assert b"ada" in FORMATS[form]().row(late)
