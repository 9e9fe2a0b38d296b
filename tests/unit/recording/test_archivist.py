"""Finished segments become compressed ones: which, in what steps, and what a crash or a full disk leaves."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from funcgate.core.crc import crc_added
from funcgate.core.entry import Entry, Kind, encode_line
from funcgate.recording.archive import archivist as module
from funcgate.recording.archive.archivist import Archivist
from funcgate.recording.archive.chore import ArchiveChore
from funcgate.recording.archive.seekable import Packed
from funcgate.recording.chore import ChoreFailed
from funcgate.recording.folder import lines

ALL = 1000


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five segments of 40 lines."""
    folder = tmp_path / "journal"
    folder.mkdir()
    for number in range(1, 6):
        first = 40 * (number - 1) + 1
        rows = [Entry(kind=Kind.ADMIN, call="", change={"segment": number, "format": 2})]
        rows += [Entry(kind=Kind.DENIED, call=f"c{seq}", detail=os.urandom(2000).hex()) for seq in range(39)]
        for seq, row in enumerate(rows, first):
            row.seq, row.at = seq, "2026-11-21T00:00:00.000000Z"
        path = folder / f"{number:08d}.jsonl"
        path.write_bytes(b"".join(crc_added(encode_line(row)[:-1]) for row in rows))
        path.chmod(0o400)
    return folder


@pytest.fixture
def archivist() -> Archivist:
    return Archivist(min_free_bytes=0)


def test_all_but_the_newest_two_are_compressed_and_read_as_before(folder: Path, archivist: Archivist) -> None:
    before = list(lines(folder))
    done = archivist.compress_due(folder, ALL)
    assert [one.segment for one in done] == ["00000001.jsonl", "00000002.jsonl", "00000003.jsonl"]
    assert all(0 < one.packed_bytes < one.plain_bytes for one in done)
    assert names(folder) == [
        "00000001.jsonl.zst", "00000002.jsonl.zst", "00000003.jsonl.zst", "00000004.jsonl", "00000005.jsonl",
    ]  # fmt: skip
    assert (folder / "00000001.jsonl.zst").stat().st_mode & 0o777 == 0o400
    assert list(lines(folder)) == before
    assert archivist.compress_due(folder, ALL) == []


def test_at_most_so_many_at_a_time_the_oldest_first(folder: Path, archivist: Archivist) -> None:
    assert [one.segment for one in archivist.compress_due(folder)] == ["00000001.jsonl"]
    assert [one.segment for one in archivist.compress_due(folder, 5)] == ["00000002.jsonl", "00000003.jsonl"]


def test_segments_without_a_whole_first_line_are_no_reason_to_compress_others(
    folder: Path, archivist: Archivist
) -> None:
    (folder / "00000006.jsonl").touch()
    (folder / "00000007.jsonl").write_bytes(b'{"seq":201,"at":"2026-11-21T00:00')
    done = archivist.compress_due(folder, ALL)
    assert [one.segment for one in done] == ["00000001.jsonl", "00000002.jsonl", "00000003.jsonl"]


def test_what_a_crash_left_behind_harms_nothing(folder: Path, archivist: Archivist) -> None:
    before = list(lines(folder))
    whole = (folder / "00000001.jsonl").read_bytes()
    archivist.compress_due(folder, ALL)
    (folder / "00000001.jsonl").write_bytes(whole)  # killed before it was removed
    (folder / "00000002.jsonl.zst").chmod(0o600)
    (folder / "00000003.jsonl.zst.part").write_bytes(b"half of one")
    assert list(lines(folder)) == before
    assert [one.segment for one in archivist.compress_due(folder, ALL)] == ["00000001.jsonl"]
    assert list(lines(folder)) == before
    assert "00000001.jsonl" not in names(folder)


@pytest.mark.parametrize("left", [b"", b"nonsense", None])
def test_a_compressed_file_that_is_not_the_same_is_made_anew(
    folder: Path, archivist: Archivist, left: bytes | None
) -> None:
    before = list(lines(folder))
    whole = (folder / "00000001.jsonl").read_bytes()
    archivist.compress_due(folder, ALL)
    (folder / "00000001.jsonl").write_bytes(whole)
    packed = folder / "00000001.jsonl.zst"
    other = (folder / "00000002.jsonl.zst").read_bytes()
    packed.unlink()
    packed.write_bytes(other if left is None else left)
    assert list(lines(folder)) == before
    archivist.compress_due(folder, ALL)
    assert list(lines(folder)) == before
    assert Packed(packed).size == len(whole)


def test_what_does_not_read_back_the_same_is_not_put_in_place(
    folder: Path, archivist: Archivist, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rotting(source: object, target: object) -> None:
        write(source, target)  # type: ignore[arg-type]
        target.seek(50)  # type: ignore[attr-defined]
        target.write(b"rot")  # type: ignore[attr-defined]

    write = module.pack
    monkeypatch.setattr(module, "pack", rotting)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OSError, match="something else"):
        archivist.compress_due(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(ChoreFailed, match="cannot be compressed"):
        ArchiveChore(folder, archivist).tick()


def test_the_space_that_is_kept_free_is_left_alone(folder: Path) -> None:
    assert Archivist(min_free_bytes=1 << 60).compress_due(folder) == []
    assert "00000001.jsonl" in names(folder)


def test_a_link_in_the_way_is_not_followed(folder: Path, archivist: Archivist, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    (folder / "00000001.jsonl.zst.part").symlink_to(precious)
    with pytest.raises(OSError, match=r"\.part"):
        archivist.compress_due(folder)
    assert precious.read_bytes() == b"mine"
    assert archivist.compress_due(folder)  # the link is out of the way now


def test_a_segment_that_expires_meanwhile_does_not_come_back(
    folder: Path, archivist: Archivist, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expiring(part: Path, plain: Path) -> bool:
        same = reads_as(part, plain)
        plain.unlink()
        return same

    reads_as = module._reads_as
    monkeypatch.setattr(module, "_reads_as", expiring)
    with pytest.raises(FileNotFoundError):
        archivist.compress_due(folder)
    assert [name for name in names(folder) if name.startswith("00000001")] == []


_KILLED = """
import os, signal, sys
from pathlib import Path
from funcgate.recording.archive.archivist import Archivist
left = int(sys.argv[2])
def look(event, arguments):
    global left
    if event in ("open", "os.rename", "os.remove", "os.chmod"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(look)
Archivist(min_free_bytes=0).compress_due(Path(sys.argv[1]), 1)
"""


def test_killed_at_each_step_every_line_is_still_there(folder: Path, archivist: Archivist) -> None:
    before = list(lines(folder))
    fates = set()
    for steps in range(100):
        killed = subprocess.run([sys.executable, "-c", _KILLED, str(folder), str(steps)], timeout=60).returncode
        fates.add(tuple(name for name in names(folder) if name.startswith("00000001")))
        assert list(lines(folder)) == before
        if killed == 0:
            break
    assert killed == 0
    assert fates >= {
        ("00000001.jsonl",),
        ("00000001.jsonl", "00000001.jsonl.zst.part"),
        ("00000001.jsonl", "00000001.jsonl.zst"),
        ("00000001.jsonl.zst",),
    }


def test_the_chore_compresses_one_at_a_tick_and_reads_no_lines(folder: Path, archivist: Archivist) -> None:
    chore = ArchiveChore(folder, archivist)
    assert chore.position == 200
    chore.tick()
    assert "00000001.jsonl.zst" in names(folder)
    assert "00000002.jsonl" in names(folder)
    for _ in range(5):
        chore.tick()
    assert [name for name in names(folder) if name.endswith(".jsonl")] == ["00000004.jsonl", "00000005.jsonl"]
    chore.close()


def test_a_running_journal_and_its_repair_know_compressed_segments(
    folder: Path, archivist: Archivist, journal_in: Callable[..., object], entries_of: Callable[[Path], list[Entry]]
) -> None:
    import asyncio

    archivist.compress_due(folder, ALL)

    async def play() -> None:
        journal = journal_in(folder, segment_bytes=30_000)
        repaired = await journal.start()  # type: ignore[attr-defined]
        assert (repaired.last_seq, repaired.damaged, repaired.foreign) == (200, (), ())
        for number in range(40):
            await journal.append(Entry(kind=Kind.DENIED, call=f"n{number}", detail="x" * 3000))  # type: ignore[attr-defined]
            archivist.compress_due(folder)
        await journal.close()  # type: ignore[attr-defined]

    asyncio.run(play())
    assert len([name for name in names(folder) if name.endswith(".zst")]) > 5
    assert [one.call for one in entries_of(folder)][-1] == "n39"
