"""Proof: how fast lines become leaves, and how fast a journal is verified, in one process and in all, plain and compressed.

The journal is written by the real one. Rates are of the journal's own bytes, from a file cache that was emptied before.
"""

import asyncio
import os
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.recording.archive.seekable import pack
from funcgate.recording.folder import lines, segments
from funcgate.recording.proof.chore import ProofChore
from funcgate.recording.proof.verify import Verdict, verify
from funcgate.stores.journal_files import FileJournal

from .bed import Bed, tell
from .workload import sensitive_answer

FULL_BYTES, QUICK_BYTES = 256 << 20, 64 << 20
SEGMENT_BYTES = 16 << 20
AT_ONCE = 600
EVERY = 20_000  # entries between checkpoints: 10 s of a busy gateway


def run(bed: Bed) -> None:
    """Print the rates in MB/s."""
    size = FULL_BYTES if bed.options.effort.rounds > 4 else QUICK_BYTES
    bed.results["verify"] = results = measure(bed.folder / "verify", size)
    print("\n".join(f"{name:44} {value}" for name, value in results.items()), end="\n\n")


def measure(data_dir: Path, size: int) -> dict[str, Any]:
    tell(f"a journal of {size >> 20} MiB is written")
    asyncio.run(_write(data_dir / "journal", size))
    total = sum(path.stat().st_size for path in segments(data_dir / "journal"))
    tell("it is proved and verified")
    took_s = _proved(data_dir)
    cores = len(os.sched_getaffinity(0))
    results: dict[str, Any] = {"journal, MB": round(total / 1e6), "entries": 0, "cores": cores}
    results["read only, MB/s"] = _rate(total, _timed(data_dir, lambda: _read(data_dir)))
    results["hashed and signed by the chore, MB/s"] = _rate(total, took_s)
    for kind in ("plain", "compressed"):
        for count in sorted({1, cores}):
            since = time.process_time()
            verdict = _verified(data_dir, count)
            cpu_s = time.process_time() - since
            results["entries"] = verdict.entries
            results[f"verified, {kind}, {count} process(es), MB/s"] = verdict.mb_per_s
            if count == 1:
                results[f"verified, {kind}, MB for a second of CPU"] = _rate(verdict.bytes, cpu_s)
        if kind == "plain":
            _compress(data_dir / "journal")
    results["checkpoints"] = verdict.checkpoints
    return results


def _verified(data_dir: Path, processes: int) -> Verdict:
    _forget(data_dir)
    verdict = verify(data_dir, processes=processes)
    assert verdict.sound, verdict.faults
    return verdict


async def _write(folder: Path, size: int) -> None:
    journal = FileJournal(folder, sync="interval", segment_bytes=SEGMENT_BYTES, min_free_bytes=0)
    await journal.start()
    who = Who("bench", "agent-7", ("agents", "payments"), token="a1b2c3d4e5f60718")
    body = Raw(sensitive_answer().body.replace(b"\n", b" "))
    policy = Decided(("transfers",), "5f1d0c7a" * 8)
    written = 0
    while written < size:
        entries: list[Entry] = []
        for _ in range(AT_ONCE // 4):
            base: dict[str, Any] = {"call": new_id(), "function": "payments.createTransfer", "target": "payments"}
            args = Raw(b'{"account":"DE-1002","amount":25,"currency":"EUR","note":"an invoice"}')
            entries += (
                Entry(kind=Kind.ARRIVED, principal=who, args=args, client="10.0.0.7:51234", **base),
                Entry(kind=Kind.ALLOWED, policy=policy, **base),
                Entry(kind=Kind.CHUNK, body=body, body_bytes=len(bytes(body)), **base),
                Entry(kind=Kind.ENDED, outcome="complete", status=200, timing_us={"decide": 12, "send": 900}, **base),
            )
        await journal.append(*entries)
        await journal.flush()
        written += AT_ONCE * 250 + len(bytes(body)) * AT_ONCE // 4
    await journal.close()


def _proved(data_dir: Path) -> float:
    _forget(data_dir)
    since = time.perf_counter()
    chore = ProofChore(data_dir, every_s=0.0)
    found = lines(data_dir / "journal", after=chore.position)
    while piece := list(islice(found, EVERY)):
        chore.take(piece)
        chore.tick()
    chore.close()
    return time.perf_counter() - since


def _compress(journal: Path) -> None:
    for path in segments(journal):
        with path.open("rb") as source, path.with_name(f"{path.name}.zst").open("wb") as target:
            pack(source, target)
        path.unlink()


def _timed(data_dir: Path, work: Callable[[], None]) -> float:
    _forget(data_dir)
    since = time.perf_counter()
    work()
    return time.perf_counter() - since


def _read(data_dir: Path) -> None:
    for path in segments(data_dir / "journal"):
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def _forget(data_dir: Path) -> None:
    """The kernel's cache of these files, as far as it lets go of them."""
    for path in (path for path in data_dir.rglob("*") if path.is_file()):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _rate(size: int, took_s: float) -> float:
    return round(size / 1e6 / took_s, 1)
