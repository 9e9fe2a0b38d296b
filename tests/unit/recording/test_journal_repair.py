"""What a crash leaves behind, and what the next start makes of it."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from funcgate.core.crc import crc_added
from funcgate.core.entry import Entry, Kind, encode_line
from funcgate.core.problem import Unusable
from funcgate.stores.journal_files import FileJournal, Repaired
from funcgate.stores.journal_files.repair import examine

Make = Callable[..., FileJournal]
Read = Callable[[Path], list[Entry]]
A, K, W, D, E = Kind.ARRIVED, Kind.ASKED, Kind.ALLOWED, Kind.DENIED, Kind.ENDED
SEGMENT = "00000001.jsonl"


def write(folder: Path, make: Make, *entries: Entry, **options: object) -> Repaired:
    async def play() -> Repaired:
        journal = make(folder, **options)
        repaired = await journal.start()
        for entry in entries:
            await journal.append(entry)
        await journal.close()
        return repaired

    return asyncio.run(play())


def entry(kind: Kind, call: str, size: int = 0) -> Entry:
    return Entry(kind=kind, call=call, detail="x" * size)


def test_open_calls_are_closed_as_unknown_once(folder: Path, journal_in: Make, entries_of: Read) -> None:
    left = [
        entry(A, "arrived"), entry(A, "asked"), entry(K, "asked"), entry(A, "allowed"), entry(W, "allowed"),
        entry(A, "done"), entry(W, "done"), entry(E, "done"), entry(D, "stranger"),
    ]  # fmt: skip
    write(folder, journal_in, *left)
    first = write(folder, journal_in)
    second = write(folder, journal_in)
    assert first.closed == ("allowed", "arrived", "asked")
    assert second.closed == ()
    ends = [(one.call, one.outcome) for one in entries_of(folder) if one.kind is E]
    assert sorted(ends) == [("allowed", "unknown"), ("arrived", "unknown"), ("asked", "unknown"), ("done", "")]


def test_more_calls_than_the_queue_holds_are_closed(folder: Path, journal_in: Make, entries_of: Read) -> None:
    write(folder, journal_in, *[entry(A, f"c{number}") for number in range(100)])
    assert len(write(folder, journal_in, max_queue=3).closed) == 100
    assert sum(one.outcome == "unknown" for one in entries_of(folder)) == 100


def test_a_call_left_open_many_segments_ago_is_found(folder: Path, journal_in: Make, entries_of: Read) -> None:
    filler = [one for number in range(30) for one in (entry(A, f"f{number}", 3000), entry(E, f"f{number}", 3000))]
    write(folder, journal_in, entry(A, "long held"), entry(K, "long held"), *filler, segment_bytes=16 << 10)
    assert len(list(folder.glob("*.jsonl"))) > 5
    assert write(folder, journal_in).closed == ("long held",)
    assert [one.call for one in entries_of(folder) if one.outcome == "unknown"] == ["long held"]


def test_a_torn_tail_at_every_byte_of_the_last_three_lines(folder: Path, journal_in: Make, entries_of: Read) -> None:
    write(folder, journal_in, entry(A, "c1"), entry(W, "c1"), entry(A, "c2"), entry(W, "c2"))
    content = (folder / SEGMENT).read_bytes()
    lines = content.splitlines(keepends=True)
    start = len(content) - sum(map(len, lines[-3:]))
    quick = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else folder.parent  # hundreds of starts, each with syncs
    copy = Path(tempfile.mkdtemp(dir=quick))
    for cut in range(start, len(content)):
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        (copy / SEGMENT).write_bytes(content[:cut])
        whole = content[:cut].rfind(b"\n") + 1
        repaired = write(copy, journal_in)
        assert repaired.cut_bytes == cut - whole
        if cut > whole:
            assert (copy / repaired.saved_as).read_bytes() == content[whole:cut]
        after = (copy / SEGMENT).read_bytes()
        assert after.startswith(content[:whole])
        entries = entries_of(copy)
        opened = {one.call for one in entries if one.kind is A}
        assert sorted(one.call for one in entries if one.kind is E) == sorted(opened)
        told = [one.change["repair"]["saved_as"] for one in entries if "repair" in one.change]
        assert told == ([repaired.saved_as] if cut > whole else [])
    shutil.rmtree(copy)


@pytest.mark.parametrize("page", [64, 512, 4096])
def test_a_last_write_of_which_pages_are_missing(folder: Path, journal_in: Make, entries_of: Read, page: int) -> None:
    """After a power cut any page of the last write may still be zeros, while later ones are there."""
    write(folder, journal_in, entry(A, "c1"), *[entry(A, f"torn{number}", 100) for number in range(60)])
    content = (folder / SEGMENT).read_bytes()
    kept = content.index(b"\n", content.index(b'"c1"')) + 1
    for start in range(kept, len(content), max(page, 1200)):
        copy = folder.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        hole = content[:start] + bytes(min(page, len(content) - start)) + content[start + page :]
        (copy / SEGMENT).write_bytes(hole + bytes(1000))
        write(copy, journal_in)
        entries = entries_of(copy)
        assert {one.call for one in entries if one.kind is A} == {one.call for one in entries if one.kind is E}
        assert "c1" in {one.call for one in entries}


def test_zeros_written_ahead_are_no_damage(folder: Path, journal_in: Make, entries_of: Read) -> None:
    write(folder, journal_in, entry(A, "c1"), entry(E, "c1"))
    with (folder / SEGMENT).open("ab") as file:
        file.write(bytes(100_000))
    repaired = write(folder, journal_in, entry(A, "c2"), entry(E, "c2"))
    assert (repaired.cut_bytes, repaired.saved_as, repaired.damaged) == (0, "", ())
    assert [one.call for one in entries_of(folder) if one.call] == ["c1", "c1", "c2", "c2"]


def test_damage_that_no_crash_explains_stays_and_is_told(folder: Path, journal_in: Make) -> None:
    filler = [one for number in range(200) for one in (entry(A, f"f{number}", 6000), entry(E, f"f{number}", 6000))]
    write(folder, journal_in, *filler)
    content = bytearray((folder / SEGMENT).read_bytes())
    at = content.index(b"\n", 5000) + 1
    content[at : at + 5] = b"xxxxx"
    (folder / SEGMENT).write_bytes(content)
    repaired = write(folder, journal_in, entry(D, "new"))
    assert repaired.damaged == (f"{SEGMENT}:{at}",)
    assert repaired.cut_bytes == 0
    assert (folder / SEGMENT).read_bytes().startswith(bytes(content))


def test_an_empty_last_segment_is_begun_again(folder: Path, journal_in: Make, entries_of: Read) -> None:
    write(folder, journal_in, entry(A, "c1"))
    os.chmod(folder / SEGMENT, 0o400)
    (folder / "00000002.jsonl").touch()
    repaired = write(folder, journal_in)
    assert repaired.closed == ("c1",)
    assert entries_of(folder)[-1].outcome == "unknown"
    assert (folder / "00000002.jsonl").stat().st_size > 0


def test_a_torn_first_line_of_a_segment_loses_no_open_call(folder: Path, journal_in: Make, entries_of: Read) -> None:
    write(folder, journal_in, entry(A, "c1"))
    os.chmod(folder / SEGMENT, 0o400)
    torn = b'{"seq":3,"at":"2026-11-21T00:00:00.000000Z","kind":"admin","call":"","change":{"segment":2,"for'
    (folder / "00000002.jsonl").write_bytes(torn)
    repaired = write(folder, journal_in)
    assert repaired.closed == ("c1",)
    assert (folder / repaired.saved_as).read_bytes() == torn
    assert entries_of(folder)[-1].call == "c1"


def test_refused_lines_that_could_not_be_withdrawn_do_not_count(
    folder: Path, journal_in: Make, entries_of: Read
) -> None:
    """A segment that failed may keep lines that were refused: the next segment gives their numbers anew."""
    write(folder, journal_in, entry(A, "c1"))
    last = entries_of(folder)[-1].seq
    refused = entry(A, "refused")
    refused.seq, refused.at = last + 1, "2026-11-21T00:00:00.000000Z"
    with (folder / SEGMENT).open("ab") as file:
        file.write(crc_added(encode_line(refused)[:-1]))
    header = Entry(kind=Kind.ADMIN, call="", change={"segment": 2, "format": 2, "open": ["c1"]})
    header.seq, header.at = last + 1, "2026-11-21T00:00:00.000000Z"
    (folder / "00000002.jsonl").write_bytes(crc_added(encode_line(header)[:-1]))
    assert write(folder, journal_in).closed == ("c1",)
    assert {one.call for one in entries_of(folder)} == {"", "c1"}


def test_a_line_that_hides_behind_deep_nesting_is_no_tear(folder: Path, journal_in: Make) -> None:
    deep = b"[" * 900 + b"]" * 900
    line = b'{"seq":1,"at":"2026-11-21T00:00:00.000000Z","kind":"arrived","call":"c1","args":' + deep * 1 + b"}\n"
    folder.mkdir()
    (folder / SEGMENT).write_bytes(line)

    def below(depth: int) -> object:
        return examine(folder) if depth == 0 else below(depth - 1)

    found = below(600)
    assert (found.cut_bytes, found.open) == (0, {"c1"})  # type: ignore[attr-defined]


@pytest.mark.parametrize("call", ['quo"te', "back\\slash", "ümlaut", "x" * 5000, "new\nline"])
def test_odd_names_of_calls_are_no_tear(folder: Path, journal_in: Make, entries_of: Read, call: str) -> None:
    write(folder, journal_in, entry(A, call))
    repaired = write(folder, journal_in)
    assert (repaired.cut_bytes, repaired.closed) == (0, (call,))
    assert entries_of(folder)[-1].call == call


def test_an_earlier_copy_of_a_torn_tail_is_not_overwritten(folder: Path, journal_in: Make) -> None:
    write(folder, journal_in, entry(A, "c1"), entry(E, "c1"))
    size = (folder / SEGMENT).stat().st_size
    (folder / f"00000001.torn-{size}").write_bytes(b"from before")
    with (folder / SEGMENT).open("ab") as file:
        file.write(b'{"seq":')
    repaired = write(folder, journal_in)
    assert repaired.saved_as == f"00000001.torn-{size}-1"
    assert (folder / f"00000001.torn-{size}").read_bytes() == b"from before"
    assert (folder / repaired.saved_as).read_bytes() == b'{"seq":'
    assert repaired.foreign == ()


def whole_folder(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


def rotten(path: Path, place: bytes) -> int:
    """Change one byte at the last `place` in a file, so that only the crc can tell; returns where its line begins."""
    content = bytearray(path.read_bytes())
    at = content.rindex(place)
    content[at] ^= 1
    path.write_bytes(content)
    return content.rfind(b"\n", 0, at) + 1


def test_a_last_line_that_only_its_crc_shows_as_torn_is_cut(folder: Path, journal_in: Make, entries_of: Read) -> None:
    write(folder, journal_in, entry(A, "c1"), entry(E, "c1", 500))
    before = (folder / SEGMENT).read_bytes()
    at = rotten(folder / SEGMENT, b"xxxx")
    repaired = write(folder, journal_in)
    assert (repaired.cut_bytes, repaired.saved_as) == (len(before) - at, f"00000001.torn-{at}")
    assert repaired.closed == ("c1",)
    assert (entries_of(folder)[-1].call, entries_of(folder)[-1].outcome) == ("c1", "unknown")


def test_a_line_without_crc_among_lines_with_one_is_no_line(folder: Path, journal_in: Make) -> None:
    write(folder, journal_in, entry(A, "c1"))
    forged = entry(E, "c1")
    forged.seq, forged.at = 3, "2026-11-21T00:00:00.000000Z"
    with (folder / SEGMENT).open("ab") as file:
        file.write(encode_line(forged))
    assert write(folder, journal_in).closed == ("c1",)


def test_a_journal_without_crc_goes_on_in_a_segment_of_its_own(
    folder: Path, journal_in: Make, entries_of: Read
) -> None:
    folder.mkdir()
    header = Entry(kind=Kind.ADMIN, call="", change={"segment": 1, "format": 1})
    old = [header, entry(A, "c1"), entry(E, "c1"), entry(A, "c2")]
    for seq, one in enumerate(old, 1):
        one.seq, one.at = seq, "2026-11-21T00:00:00.000000Z"
    content = b"".join(map(encode_line, old))
    (folder / SEGMENT).write_bytes(content + b'{"seq":5,"at"' + bytes(5000))
    repaired = write(folder, journal_in, entry(A, "c3"), entry(E, "c3"))
    assert (repaired.cut_bytes, repaired.closed) == (13, ("c2",))
    assert (folder / SEGMENT).read_bytes() == content
    assert (folder / SEGMENT).stat().st_mode & 0o777 == 0o400
    entries = entries_of(folder)
    assert [one.call for one in entries] == ["", "c1", "c1", "c2", "", "", "c2", "c3", "c3"]
    assert [bool(one.crc) for one in entries] == [False] * 4 + [True] * 5
    assert write(folder, journal_in).closed == ()


@pytest.mark.parametrize("how", ["cut", "older copy", "gone", "rotten"])
def test_a_journal_that_ends_before_what_is_known_is_not_touched(folder: Path, journal_in: Make, how: str) -> None:
    """Attack: cut the end off, or put an older copy back, and have the numbers given anew."""
    write(folder, journal_in, entry(A, "c1"), entry(E, "c1"))
    if how == "older copy":
        older = (folder / SEGMENT).read_bytes()
        write(folder, journal_in, entry(A, "c2"), entry(E, "c2"))
        (folder / SEGMENT).write_bytes(older)
    elif how == "gone":
        (folder / SEGMENT).unlink()
    elif how == "rotten":
        rotten(folder / SEGMENT, b"ended")
    elif how == "cut":
        content = (folder / SEGMENT).read_bytes()
        (folder / SEGMENT).write_bytes(content[:-5])
    left = whole_folder(folder)
    known = 5 if how == "older copy" else 3
    with pytest.raises(Unusable) as unusable:
        write(folder, journal_in, entry(A, "c3"), at_least=known)
    ends = {"cut": 2, "older copy": 3, "gone": 0, "rotten": 2}[how]
    text = unusable.value.problems[0].text
    assert f"ends at entry {ends}, but a signed checkpoint covers entries up to {known}" in text
    assert "start with a new one" in text
    assert whole_folder(folder) == left


def test_a_journal_that_goes_as_far_as_is_known_starts(folder: Path, journal_in: Make, entries_of: Read) -> None:
    write(folder, journal_in, entry(A, "c1"), entry(E, "c1"))
    with (folder / SEGMENT).open("ab") as file:
        file.write(b'{"seq":4,"at"')
    assert write(folder, journal_in, entry(A, "c2"), at_least=3).cut_bytes == 13
    assert entries_of(folder)[-1].call == "c2"


def test_damage_before_what_is_known_is_no_tear(folder: Path, journal_in: Make) -> None:
    write(folder, journal_in, entry(A, "c1"), entry(E, "c1", 50), entry(A, "c2"), entry(E, "c2"))
    at = rotten(folder / SEGMENT, b"xxxx")
    repaired = write(folder, journal_in, at_least=5)
    assert (repaired.cut_bytes, repaired.damaged) == (0, (f"{SEGMENT}:{at}",))


def test_compressed_segments_are_known_and_their_numbers_not_given_anew(folder: Path, journal_in: Make) -> None:
    write(folder, journal_in, *[entry(D, f"c{number}", 3000) for number in range(8)], segment_bytes=4 << 10)
    names = sorted(path.name for path in folder.glob("*.jsonl"))
    assert len(names) > 3
    for name in names[:-2]:
        (folder / name).rename(folder / f"{name}.zst")  # what is in them is not looked at
    (folder / f"{names[-2]}.zst.part").write_bytes(b"half")
    repaired = write(folder, journal_in, entry(D, "last"))
    assert (repaired.foreign, repaired.damaged) == ((), ())
    assert b'"call":"last"' in (folder / names[-1]).read_bytes()
    for name in names[-2:]:
        (folder / name).unlink()
    left = whole_folder(folder)
    with pytest.raises(Unusable) as unusable:
        write(folder, journal_in, entry(D, "nobody"))
    text = unusable.value.problems[0].text
    assert f"ends in a compressed segment ({names[-3]}.zst)" in text
    assert f"zstd -d --rm {names[-3]}.zst" in text
    assert whole_folder(folder) == left
