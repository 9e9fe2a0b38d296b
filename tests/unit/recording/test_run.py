"""Lines as one block and a table of them."""

from hashlib import sha256
from pathlib import Path

import pytest

from funcgate.core.crc import crc_added
from funcgate.core.entry import Entry, Kind, encode_line
from funcgate.core.native import half
from funcgate.recording import ahead
from funcgate.recording.folder import Line, lines
from funcgate.recording.run import ROW_BYTES, Run

AT = "2026-11-21T10:00:00.000000Z"
PROOF = half("funcgate.recording.proof._native")
pytestmark = pytest.mark.skipif(ahead._native is None, reason="not built, or FUNCGATE_PURE is set")


@pytest.fixture
def both(tmp_path: Path) -> tuple[Run, list[Line]]:
    made = [
        crc_added(encode_line(Entry(seq=n, at=AT, kind=Kind.DENIED, call=f"c{n}")).rstrip(b"\n")) for n in range(1, 8)
    ]
    (tmp_path / "00000001.jsonl").write_bytes(b"".join(made))
    first, *rest = lines(tmp_path)
    run, _ = ahead.lines_behind(tmp_path, first, 9, 100, 1 << 20)
    assert run is not None
    return run, rest


def test_it_is_a_sequence_of_its_lines(both: tuple[Run, list[Line]]) -> None:
    run, rest = both
    assert len(run) == len(rest) == 6
    assert run == rest
    assert [run[at] for at in range(-6, 6)] == rest * 2
    for begin in range(-7, 8):
        for end in range(-7, 8):
            assert run[begin:end] == rest[begin:end]
    assert run.size == sum(len(line.line) + 1 for line in rest) - 1
    assert (run[:0].size, bool(run[:0])) == (0, False)
    for place in (6, -7):
        with pytest.raises(IndexError):
            run[place]
    with pytest.raises(ValueError, match="left out"):
        run[::2]


@pytest.mark.skipif(PROOF is None or not PROOF.HASHES, reason="no such instructions")
def test_its_lines_are_hashed_where_they_lie(both: tuple[Run, list[Line]]) -> None:
    run, rest = both
    hashes = b"".join(sha256(b"\0" + line.line).digest() for line in rest)
    assert PROOF.hashes_of(run, 2) == PROOF.hashes_of(rest, 2) == hashes
    assert PROOF.hashes_of(run, 3) is PROOF.hashes_of(rest, 3) is None


@pytest.mark.skipif(PROOF is None, reason="not built")
@pytest.mark.parametrize("row", [(2, -1, 5), (2, 0, -1), (2, 0, 1 << 40), (2, 1 << 62, 1 << 62), (2, 10_000, 1)])
def test_a_table_of_another_block_reads_no_memory(both: tuple[Run, list[Line]], row: tuple[int, int, int]) -> None:
    run, _ = both
    table = b"".join(number.to_bytes(8, "little", signed=True) for number in row)
    assert len(table) == ROW_BYTES
    with pytest.raises(ValueError, match="not in its block"):
        PROOF.hashes_of(Run(run.block, table, run.segment, run.offset), 2)
