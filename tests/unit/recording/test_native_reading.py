"""Compiled and pure: the same lines behind one that was read, wherever the file is cut or spoilt."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from funcgate.core.crc import crc_added
from funcgate.core.entry import Entry, Kind, encode_line
from funcgate.recording import ahead
from funcgate.recording import follow as follow_module
from funcgate.recording.archive.seekable import pack
from funcgate.recording.folder import Line, lines
from funcgate.recording.follow import Follow

pytestmark = pytest.mark.skipif(ahead._native is None, reason="not built, or FUNCGATE_PURE is set")
AT = "2026-11-22T00:00:00.000000Z"


def made(seq: int, detail: str = "d") -> bytes:
    return crc_added(encode_line(Entry(seq=seq, at=AT, kind=Kind.DENIED, call=f"c{seq}", detail=detail)).rstrip(b"\n"))


def both(folder: Path, monkeypatch: pytest.MonkeyPatch, up_to: int, most: int = 100, room: int = 4 << 20) -> list[int]:
    """What follows the first line, one read after the other, by the compiled reader; the pure one has to find the same."""
    found = []
    for native in (ahead._native, None):
        with monkeypatch.context() as patched:
            patched.setattr(ahead, "_native", native)
            damaged: list[str] = []
            follow = Follow(folder, damaged=damaged.append)
            assert [line.seq for line in follow.read(1)] == [1]
            reads: list[Line] = []
            while one := follow.read(up_to, max_lines=most, max_bytes=room):
                reads += one
            found.append((reads, damaged[:1]))
    assert found[0] == found[1]
    return [line.seq for line in found[0][0]]


def test_the_compiled_reader_is_the_one_that_reads(tmp_path: Path) -> None:
    (tmp_path / "00000001.jsonl").write_bytes(made(1) + made(2) + made(3))
    first, *rest = lines(tmp_path)
    assert ahead.lines_behind(tmp_path, first, 9, 100, 1 << 20) == (rest, sum(len(line.line) for line in rest))
    assert len(ahead.lines_behind(tmp_path, first, 2, 100, 1 << 20)[0]) == 1
    assert ahead.lines_behind(tmp_path, first, 9, 100, len(rest[0].line))[0] == rest[:1]


def test_every_cut_and_every_spoilt_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, rest = made(1), made(2) + made(3)
    path = tmp_path / "00000001.jsonl"
    for at in range(len(rest) + 1):
        path.write_bytes(first + rest[:at])
        assert len(both(tmp_path, monkeypatch, 9)) == rest[:at].count(b"\n")
        path.write_bytes(first + rest[:at] + b"\0" * 5000)
        both(tmp_path, monkeypatch, 9)
    for at in range(len(rest)):
        for byte in (b"\n", b"\0", b"}", b"9", b"\xff"):
            path.write_bytes(first + rest[:at] + byte + rest[at + 1 :])
            both(tmp_path, monkeypatch, 9)


def test_numbers_that_do_not_rise_and_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seqs = [1, 2, 3, 3, 2, 7, 8, 1, 10**17, 10**18, 10**19]
    (tmp_path / "00000001.jsonl").write_bytes(b"".join(made(seq) for seq in seqs))
    for up_to in (2, 3, 5, 8, 10**18):
        for most in (1, 2, 100):
            for room in (1, 200, 4 << 20):
                both(tmp_path, monkeypatch, up_to, most, room)
    assert both(tmp_path, monkeypatch, 8) == [2, 3, 3, 2, 7, 8]


def test_numbers_that_the_next_segment_gives_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "00000001.jsonl").write_bytes(b"".join(made(seq, "refused") for seq in range(1, 9)))
    (tmp_path / "00000002.jsonl").write_bytes(b"".join(made(seq) for seq in range(4, 12)))
    assert both(tmp_path, monkeypatch, 10) == list(range(2, 11))


def test_lines_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [10, 300_000, 10, 262_000, 5, 600_000, 7]
    (tmp_path / "00000001.jsonl").write_bytes(b"".join(made(seq, "x" * size) for seq, size in enumerate(sizes, 1)))
    assert both(tmp_path, monkeypatch, 7) == list(range(2, 8))


def test_what_is_no_line_of_this_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = made(2).partition(b',"crc"')[0] + b"}\n"  # of a segment that has no checksums
    odd = [b"\n", b"{}\n", b'{"seq":2}\n', b"x" * 100 + b"\n", bare, made(2)[:-12] + b"00000000" + made(2)[-4:]]
    for line in odd:
        (tmp_path / "00000001.jsonl").write_bytes(made(1) + line + made(3))
        assert both(tmp_path, monkeypatch, 9)[-1] == 3


def pack_away(plain: Path, frame: int | None = None) -> None:
    """Compressed, as the keeper leaves it; with a byte of one frame spoilt, if a frame is named."""
    packed = plain.with_name(plain.name + ".zst")
    with plain.open("rb") as source, packed.open("wb") as target:
        pack(source, target)
    plain.unlink()
    if frame is not None:
        raw = bytearray(packed.read_bytes())
        raw[frame * len(raw) // 4 + 40] ^= 255
        packed.write_bytes(raw)


@pytest.mark.parametrize("frame", [None, 0, 1, 2])
def test_segments_one_behind_the_other_compressed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame: int | None
) -> None:
    seq, details = 0, ["x" * size for size in (10, 900, 40_000)]
    for segment in range(1, 5):
        whole = b"".join(made(seq + at, details[at % 3]) for at in range(1, 61))
        (tmp_path / f"{segment:08d}.jsonl").write_bytes(whole + (b"what a crash left\n" if segment == 3 else b""))
        seq += 60
    for segment in (1, 2):
        pack_away(tmp_path / f"{segment:08d}.jsonl", frame if segment == 2 else None)
    for most in (1, 7, 1000):
        found = both(tmp_path, monkeypatch, seq, most)
        assert found == list(range(2, seq + 1)) if frame is None else found[-1] == seq and 100 < len(found) < seq
    (tmp_path / "00000002.jsonl.zst").write_bytes(b"not whole")
    assert both(tmp_path, monkeypatch, seq) == [*range(2, 61), *range(121, seq + 1)]


def test_no_line_of_a_new_or_compressed_segment_but_the_first_is_read_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for segment in range(3):
        whole = b"".join(made(segment * 50 + at) for at in range(1, 51))
        (tmp_path / f"{segment + 1:08d}.jsonl").write_bytes(whole)
    pack_away(tmp_path / "00000001.jsonl")
    slowly = []

    def counted(*given: Any, **more: Any) -> Iterator[Line]:
        for line in lines(*given, **more):
            slowly.append(line.seq)
            yield line

    monkeypatch.setattr(follow_module, "lines", counted)
    assert [line.seq for line in Follow(tmp_path).read(150)] == list(range(1, 151))
    assert slowly == [1, 51, 101]
