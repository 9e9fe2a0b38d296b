"""The keeper: CPU a call of its chores over the journal of many calls, told at a pace of what is durable, and all at once.

The chores run as in the keeper, each in its thread, in this process: no gateway and no pipe. Nothing is sent anywhere.
"""

import gc
import time
from pathlib import Path

from funcgate.chores import plan
from funcgate.recording.follow import Recent
from funcgate.recording.keeper.process import GC_THRESHOLDS
from funcgate.recording.keeper.settings import KeeperSettings
from funcgate.recording.keeper.worker import Worker

from .bed import Bed, tell
from .history import Cast, write_history
from .processes import BenchError

CALLS, FEW_CALLS, SECONDS = 50_000, 5_000, 10
PACES = (0, 500, 2000)  # calls a second; 0: all are there from the beginning
LOOK_S, NEWS_S, LONGEST_S = 0.02, 0.1, 300.0


def run(bed: Bed) -> None:
    """Print CPU a call of proof and index alone and together, at each pace."""
    calls = CALLS if bed.options.effort.rounds > 4 else FEW_CALLS
    tell(f"keeper: writing a journal of {calls} calls")
    journal = bed.folder / "keeper" / "journal"
    entries = write_history(journal, calls, Cast())
    print(f"{'CPU µs a call':20}" + "".join(f"{f'{pace}/s' if pace else 'at once':>10}" for pace in PACES))
    for chores in (("proof",), ("index",), ("proof", "index")):
        taken = [_measure(bed.folder, journal, entries, calls, chores, pace) for pace in PACES]
        bed.results[f"keeper {' '.join(chores)}"] = taken
        print(f"{' and '.join(chores):20}" + "".join(f"{one:10.1f}" for one in taken), flush=True)


def _measure(folder: Path, journal: Path, entries: int, calls: int, chores: tuple[str, ...], pace: int) -> float:
    data_dir = folder / f"keeper-{'-'.join(chores)}-{pace}"
    data_dir.mkdir()
    (data_dir / "journal").symlink_to(journal)
    gc.set_threshold(*GC_THRESHOLDS)
    recent = Recent()
    settings = KeeperSettings(data_dir=str(data_dir), keep_free_bytes=0)
    planned = [one for one in plan(settings, lambda _: lambda _: None) if one.name in chores]
    workers = [Worker(one, data_dir / "journal", 0, recent) for one in planned]
    for worker in workers:
        worker.start()
    time.sleep(1.0)  # they import what they need, which is not counted
    last = min(entries, pace * SECONDS * entries // calls) if pace else entries
    before = time.process_time()
    _feed(workers, last, pace * entries / calls)
    cpu = time.process_time() - before
    for worker in workers:
        worker.stop(time.monotonic() + 5)
    if troubles := [worker.trouble for worker in workers if not worker.join() or worker.trouble]:
        raise BenchError(f"the keeper's chores: {troubles}")
    return cpu / (last * calls / entries) * 1e6


def _feed(workers: list[Worker], last: int, entries_per_s: float) -> None:
    began, told = time.monotonic(), 0
    while any(worker.position < last for worker in workers):
        if time.monotonic() - began > LONGEST_S or any(worker.trouble for worker in workers):
            raise BenchError(f"the keeper's chores do not get on: {[worker.trouble for worker in workers]}")
        if told < last:
            told = min(last, int((time.monotonic() - began) * entries_per_s)) if entries_per_s else last
            for worker in workers:
                worker.durable(told)
        time.sleep(NEWS_S if told < last else LOOK_S)
