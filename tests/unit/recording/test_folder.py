"""The lines of a folder with their places: from either end, after a number, out of plain and compressed segments."""

import gc
import os
from pathlib import Path

import pytest

from funcgate.core.crc import crc_added
from funcgate.core.entry import Entry, Kind, encode_line
from funcgate.recording.archive.seekable import FRAME_BYTES, Packed, pack, zstd
from funcgate.recording.folder import BLOCK_BYTES, Line, lines, lines_from_the_end, open_segment, read_at, segments


def line_of(seq: int, size: int = 0) -> bytes:
    detail = os.urandom(size // 2).hex()
    return encode_line(Entry(seq=seq, at="2026-11-21T00:00:00.000000Z", kind=Kind.DENIED, call="c", detail=detail))


def pack_away(folder: Path, number: int, *, keep: bool = False) -> Path:
    plain = folder / f"{number:08d}.jsonl"
    packed = folder / f"{number:08d}.jsonl.zst"
    with plain.open("rb") as source, packed.open("wb") as target:
        pack(source, target)
    if not keep:
        plain.unlink()
    return packed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five segments of 40 lines; the lines of the third are so large that it fills several frames."""
    folder = tmp_path / "journal"
    folder.mkdir()
    for number in range(1, 6):
        first = 40 * (number - 1) + 1
        content = b"".join(line_of(seq, 50_000 if number == 3 else 100) for seq in range(first, first + 40))
        (folder / f"{number:08d}.jsonl").write_bytes(content)
    return folder


def packed_too(folder: Path) -> None:
    for number in (1, 3, 4):
        pack_away(folder, number)


@pytest.mark.parametrize("packed", [False, True])
def test_every_line_is_where_it_says(folder: Path, packed: bool) -> None:
    plain = list(lines(folder))
    if packed:
        packed_too(folder)
    found = list(lines(folder))
    assert found == plain
    assert [line.seq for line in found] == list(range(1, 201))
    assert list(lines(folder, newest_first=True)) == found[::-1]
    for line in found[::7]:
        assert read_at(folder, line.segment, line.offset, len(line.line) + 1) == line.line + b"\n"
        assert read_at(folder, int(line.segment[:8]), line.offset, len(line.line)) == line.line


@pytest.mark.parametrize("after", [0, 1, 39, 40, 41, 119, 120, 121, 160, 199, 200, 900])
@pytest.mark.parametrize("packed", [False, True])
def test_lines_after_a_number_or_a_line(folder: Path, after: int, packed: bool) -> None:
    if packed:
        packed_too(folder)
    everything = list(lines(folder))
    assert list(lines(folder, after=after)) == everything[after:]
    assert list(lines(folder, after=after, newest_first=True)) == everything[after:][::-1]
    if 0 < after <= 200:
        assert list(lines(folder, after=everything[after - 1])) == everything[after:]
        assert list(lines(folder, after=everything[after - 1], newest_first=True)) == everything[after:][::-1]


def test_what_comes_before_is_not_read(folder: Path) -> None:
    for name in ("00000001.jsonl", "00000002.jsonl", "00000003.jsonl"):
        head, _, rest = (folder / name).read_bytes().partition(b"\n")
        (folder / name).write_bytes(head + b"\n" + b"x" * (len(rest) - 1) + b"\n")
    told: list[str] = []
    assert [line.seq for line in lines(folder, after=160, damaged=told.append)] == list(range(161, 201))
    assert [line.seq for line in lines(folder, after=125, damaged=told.append)] == list(range(126, 201))
    assert told == []


def test_segments_whose_first_lines_are_damaged_hide_nothing(folder: Path) -> None:
    for name in ("00000002.jsonl", "00000003.jsonl", "00000005.jsonl"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(b"x" * 10 + content[10:])
    everything = list(lines(folder))
    assert len(everything) == 197
    for after in range(0, 205, 3):
        assert list(lines(folder, after=after)) == [line for line in everything if line.seq > after]


def test_a_follower_goes_on_where_it_was(folder: Path) -> None:
    last = list(lines(folder))[-1]
    with (folder / "00000005.jsonl").open("ab") as file:
        file.write(line_of(201) + b'{"seq":202')
    (more,) = lines(folder, after=last)
    assert more.seq == 201
    (folder / "00000006.jsonl").write_bytes(line_of(202) + bytes(5000))
    assert [line.seq for line in lines(folder, after=more)] == [202]


def test_segments_that_expired_do_not_matter(folder: Path) -> None:
    gone = list(lines(folder))[50]
    for number in (1, 2):
        (folder / f"{number:08d}.jsonl").unlink()
    assert [line.seq for line in lines(folder, after=gone)] == list(range(81, 201))
    assert [line.seq for line in lines(folder, after=20)] == list(range(81, 201))


def test_the_plain_file_wins_until_it_is_gone(folder: Path) -> None:
    plain = list(lines(folder))
    pack_away(folder, 2, keep=True).write_bytes(b"half of what should be he")
    told: list[str] = []
    assert list(lines(folder, damaged=told.append)) == plain
    assert told == []
    assert [path.name for path in segments(folder)] == [f"{number:08d}.jsonl" for number in range(1, 6)]


@pytest.mark.parametrize("cut", [0, 1, 8, 17, 30, 1000])
def test_a_compressed_file_that_is_not_whole_is_told(folder: Path, cut: int) -> None:
    packed = pack_away(folder, 3)
    packed.write_bytes(packed.read_bytes()[: -cut or None] if cut else b"")
    for newest_first in (False, True):
        told: list[str] = []
        found = [line.seq for line in lines(folder, newest_first=newest_first, damaged=told.append)]
        assert sorted(found) == [*range(1, 81), *range(121, 201)]
        assert told == ["00000003.jsonl"]
    with pytest.raises(OSError, match="not whole"):
        open_segment(folder, 3)


def test_a_broken_frame_costs_no_line_of_another(folder: Path) -> None:
    everything = list(lines(folder))
    packed = pack_away(folder, 3)
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 4
    packed.write_bytes(content)
    for newest_first in (False, True):
        told: list[str] = []
        found = list(lines(folder, newest_first=newest_first, damaged=told.append))
        missing = [line for line in everything if line not in found]
        assert 0 < sum(len(line.line) + 1 for line in missing) < FRAME_BYTES + 60_000
        assert [line.seq for line in missing] == list(range(missing[0].seq, missing[-1].seq + 1))
        assert told == ["00000003.jsonl"]


def test_a_table_that_lies_about_its_frames_allocates_nothing(folder: Path) -> None:
    bomb = zstd.compress(bytes(64 << 20))
    table = len(bomb).to_bytes(4, "little") + (1000).to_bytes(4, "little")
    foot = (1).to_bytes(4, "little") + b"\0" + (0x8F92EAB1).to_bytes(4, "little")
    skip = (0x184D2A5E).to_bytes(4, "little") + len(table + foot).to_bytes(4, "little")
    (folder / "00000001.jsonl").unlink()
    (folder / "00000001.jsonl.zst").write_bytes(bomb + skip + table + foot)
    assert read_at(folder, 1, 0, 1 << 30) == bytes(999) + b"\n"


def test_other_tools_unpack_it(folder: Path) -> None:
    plain = (folder / "00000003.jsonl").read_bytes()
    packed = pack_away(folder, 3)
    assert zstd.decompress(packed.read_bytes()) == plain
    assert Packed(packed).size == len(plain)


def test_reading_one_line_unpacks_one_frame(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = list(lines(folder))[100]
    pack_away(folder, 3)
    asked: list[int] = []
    unpack = Packed._decompressed
    monkeypatch.setattr(Packed, "_decompressed", lambda self, at: asked.append(at) or unpack(self, at))
    assert read_at(folder, line.segment, line.offset, 100) == line.line[:100]
    assert len(asked) <= 2
    asked.clear()
    list(lines(folder, newest_first=True))
    assert sorted(asked) == [0, *range(max(asked) + 1)]  # each once, and the first for the segment's own line


@pytest.mark.parametrize("name", ["../00000001.jsonl", "lock", "1.jsonl", "00000001.jsonl\n"])
def test_what_is_no_segment_is_not_opened(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a segment"):
        open_segment(folder, name)


def test_a_segment_that_is_not_there(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_at(folder, 77, 0, 1)


@pytest.mark.parametrize(
    "length", [1, 7, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES]
)
def test_lines_from_the_end_are_those_from_the_start(tmp_path: Path, length: int) -> None:
    path = tmp_path / "lines"
    rows = [b"first", b"x" * length, b"", b"y" * (length - 1), b"last"]

    path.write_bytes(b"\n".join(rows) + b"\n")
    assert list(lines_from_the_end(path)) == rows[::-1]
    path.write_bytes(b"\n".join(rows) + b"\n" + bytes(BLOCK_BYTES + 5))
    assert list(lines_from_the_end(path)) == rows[::-1]
    path.write_bytes(b"\n".join(rows))
    assert list(lines_from_the_end(path)) == rows[-2::-1]
    path.write_bytes(b"")
    assert list(lines_from_the_end(path)) == []


def test_lines_that_were_refused_do_not_count_after_a_number_either(folder: Path) -> None:
    with (folder / "00000002.jsonl").open("ab") as file:
        file.write(line_of(81) + line_of(82))  # given anew by the third segment
    assert [line.seq for line in lines(folder, after=79)] == list(range(80, 201))
    line = Line(80, b"", b"", "00000003.jsonl", -1)
    assert next(lines(folder, after=line)).seq == 81


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_line_whose_crc_is_wrong_is_damaged_and_does_not_count(folder: Path, newest_first: bool) -> None:
    path = folder / "00000006.jsonl"
    header = Entry(seq=201, at="2026", kind=Kind.ADMIN, call="", change={"segment": 6, "format": 2})
    rows = [crc_added(encode_line(header)[:-1])] + [crc_added(line_of(seq, 50)[:-1]) for seq in range(202, 230)]
    whole = b"".join(rows)
    path.write_bytes(whole)
    assert [line.seq for line in lines(folder, after=200)] == list(range(201, 230))
    for at in range(len(rows[0]), len(whole), 13):  # 13 and the length of a line have no common divisor
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(changed)
        told: list[str] = []
        found = [line.line + b"\n" for line in lines(folder, after=200, newest_first=newest_first, damaged=told.append)]
        bad = [row for row in rows if row not in found]
        assert set(found) <= set(rows)
        if at == len(whole) - 1:  # the last newline: a line that may still be being written
            assert (len(bad), told) == (1, [])
        else:
            assert len(bad) == 1 + (changed[at] == ord(b"\n") ^ 1), at
            assert set(told) == {path.name}


def test_lines_of_a_format_that_had_no_crc_are_read(folder: Path) -> None:
    header = Entry(seq=201, at="2026", kind=Kind.ADMIN, call="", change={"segment": 6, "format": 1})
    (folder / "00000006.jsonl").write_bytes(encode_line(header) + line_of(202))
    assert [line.seq for line in lines(folder, after=200)] == [201, 202]


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_packed_file_that_is_not_there_leaves_nothing_to_close(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Packed(tmp_path / "missing.jsonl.zst")
    gc.collect()
