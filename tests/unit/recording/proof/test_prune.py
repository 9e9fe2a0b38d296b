"""Old checkpoints are thinned out, and everything that could be proved before still can."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

from funcgate.recording.proof.checkpoints import kept_lines, note_in
from funcgate.recording.proof.note import Checkpoint
from funcgate.recording.proof.pack import check_pack, encode_pack, make_pack
from funcgate.recording.proof.verify import verify
from support.prover import Prover

T0 = datetime(2026, 11, 21, 9, 59, tzinfo=UTC).timestamp()


def checkpoints(prover: Prover) -> list[Checkpoint]:
    texts = (note_in(line).decode().partition("\n\n")[0] + "\n" for _, line in kept_lines(prover.proof))
    return [Checkpoint.parse(text) for text in texts]


def grow(prover: Prover, count: int, *, every_s: float = 600.0, start: float = T0) -> float:
    """So many checkpoints, each of one entry more."""
    for number in range(count):
        prover.write(1)
        prover.prove(now=lambda number=number: start + number * every_s)  # type: ignore[misc]
    return start + count * every_s


def test_the_last_of_each_hour_stays_and_all_still_verifies(prover: Prover, tmp_path: Path) -> None:
    end = grow(prover, 20)
    every = shutil.copytree(prover.proof, tmp_path / "copy")
    before = checkpoints(prover)
    prover.write(1)
    ticking = prover.chore(now=lambda: end)
    ticking.take(prover.lines())
    ticking.tick()
    ticking.close()
    after = checkpoints(prover)
    at = [one.at[11:16] for one in after]
    # made at 9:59, 10:09 … 13:09, and by the tick at 13:19; from 12:19 on all are of the last hour
    assert at == ["09:59", "10:59", "11:59", "12:19", "12:29", "12:39", "12:49", "12:59", "13:09", "13:19"]
    assert {one.size for one in before} > {one.size for one in after[:-1]}
    verdict = verify(prover.data_dir, checkpoints=[every / "checkpoints.jsonl"], processes=1)
    assert (verdict.faults, verdict.outside) == ([], len(before))
    for line in prover.lines()[1:4]:
        call = line.line.split(b'"call":"')[1].split(b'"')[0].decode()
        assert check_pack(encode_pack(make_pack(prover.data_dir, call))).faults == []


def test_it_happens_once_an_hour(prover: Prover) -> None:
    end = grow(prover, 9)
    ticking = prover.chore(now=lambda: end + 7200)
    for count in (True, False):
        before = len(checkpoints(prover))
        prover.write(1)
        ticking.take(prover.lines()[-1:])
        ticking.tick()
        assert (len(checkpoints(prover)) < before) is count
    ticking.close()


def test_what_is_not_of_this_tree_is_never_dropped(prover: Prover) -> None:
    """Attack: another history, signed with the key of this host, and the hour goes by."""
    end = grow(prover, 8)
    path = prover.proof / "checkpoints.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"sync always", b"sync never!")  # not signed any more
    path.write_bytes(b"".join(lines))
    assert verify(prover.data_dir, processes=1).fault_count == 1
    ticking = prover.chore(now=lambda: end + 7200)
    ticking.tick()
    ticking.close()
    assert lines[2] in path.read_bytes()
    assert verify(prover.data_dir, processes=1).fault_count == 1


def test_a_checkpoint_of_another_history_stays(prover: Prover, tmp_path: Path) -> None:
    other = Prover(tmp_path / "other")
    other.write(3, code="another.past")
    (other.data_dir / "proof").mkdir()
    grow(prover, 1)
    for name in ("key", "public.vkey"):
        shutil.copy(prover.proof / name, other.proof / name)
    other.prove(now=lambda: T0 + 1200)
    (forged,) = (other.proof / "checkpoints.jsonl").read_bytes().splitlines(keepends=True)
    grow(prover, 7, start=T0 + 600)
    path = prover.proof / "checkpoints.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    sizes = [one.size for one in checkpoints(prover)]
    at = next(at for at, size in enumerate(sizes) if size >= 3)
    assert checkpoints(other)[0].size > sizes[0]
    path.write_bytes(
        b"".join([*lines[:1], forged, *(line for line, size in zip(lines, sizes, strict=True) if size > 4)])
    )
    assert at
    ticking = prover.chore(now=lambda: T0 + 90_000)
    ticking.tick()
    ticking.close()
    assert forged in path.read_bytes()
    assert not verify(prover.data_dir, processes=1).sound
