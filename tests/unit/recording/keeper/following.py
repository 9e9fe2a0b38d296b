"""The keeper's chores over a journal that is there already, told of it bit by bit; prints the memory after each sample.

following.py DATA_DIR ENTRIES SAMPLES
"""

import os
import sys
import time
from pathlib import Path

from funcgate.chores import plan
from funcgate.recording.keeper.settings import KeeperSettings, ProofSettings
from funcgate.recording.keeper.worker import Worker

STEP = 2000


def rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def follow(data_dir: Path, entries: int, samples: int) -> None:
    settings = KeeperSettings(data_dir=str(data_dir), keep_free_bytes=0, proof=ProofSettings(every_s=1.0))
    workers = [Worker(planned, data_dir / "journal", 0) for planned in plan(settings, lambda name: lambda change: None)]
    for worker in workers:
        worker.start()
    for durable in range(STEP, entries + 1, STEP):
        for worker in workers:
            worker.durable(durable)
        while any(worker.position < durable for worker in workers):
            time.sleep(0.002)
        if durable // STEP % (entries // STEP // samples) == 0:
            print(f"{rss_mib():.1f}", flush=True)
    for worker in workers:
        worker.stop(time.monotonic() + 60)
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    follow(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
