"""A process that records calls through the journal in this process, and tells how much memory it holds meanwhile.

    million.py FOLDER CALLS SAMPLES SYNC

A line for each sample: how many calls so far, and the resident memory in KiB. Segments that are ended are compressed, and
then removed, as the keeper and retention do it: the disk need not hold them all.
"""

import asyncio
import os
import sys
import threading
from pathlib import Path

import msgspec
import uvloop

from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.recording.archive.archivist import Archivist
from funcgate.stores.journal_files import FileJournal

CALLERS = 256
WHO = Who("corp", "ada", ("agents",))
ARGS, BODY = msgspec.Raw(b'{"amount":12345}'), msgspec.Raw(b'{"ok":true,"items":[1,2,3]}')


def rss_kib() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def main(folder: Path, calls: int, samples: int, sync: str) -> None:
    journal = FileJournal(folder, sync=sync, segment_bytes=8 << 20, min_free_bytes=0)  # type: ignore[arg-type]
    await journal.start()
    done = 0

    async def caller() -> None:
        nonlocal done
        while done < calls:
            done += 1
            if done % (calls // samples) == 0:
                os.write(1, f"{done} {rss_kib()}\n".encode())
            call, function = new_id(), "shop.buy"
            arrived = Entry(
                kind=Kind.ARRIVED, call=call, function=function, target="shop", principal=WHO, session="s", args=ARGS
            )
            await journal.append(
                arrived, Entry(kind=Kind.ALLOWED, call=call, function=function, policy=Decided(("p",), "v"))
            )
            await journal.append(Entry(kind=Kind.CHUNK, call=call, function=function, body=BODY, body_bytes=27))
            journal.note(Entry(kind=Kind.ENDED, call=call, function=function, outcome="complete", status=200))

    ended = threading.Event()
    keeping = threading.Thread(target=keep, args=(folder, ended))
    keeping.start()
    await asyncio.gather(*[caller() for _ in range(CALLERS)])
    await journal.close()
    ended.set()
    keeping.join()


def keep(folder: Path, ended: threading.Event) -> None:
    archivist = Archivist(min_free_bytes=0)
    while not ended.wait(0.1):
        archivist.compress_due(folder, 1)
        for packed in sorted(folder.glob("*.zst"))[:-1]:
            packed.unlink()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
