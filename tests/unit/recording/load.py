"""A process that writes calls as fast as it can, for tests that kill it or break its disk.

    load.py FOLDER CALLERS SEGMENT_BYTES CALLS

Prints a line for each thing that it was promised: ``open CALL`` once arrived and allowed are acknowledged, ``refused CODE``
for a refusal, ``ready PID`` after the start, ``done`` at the end, when CALLS calls were promised (0: when it is killed).
Without arguments it reads such arguments from its input, a line each, and runs each in a child of its own; ``gone`` when
that has ended. It has imported everything by then, so that twenty lives and deaths take no twenty starts of Python.
"""

import asyncio
import os
import sys
from pathlib import Path

import uvloop

from funcgate.core.entry import Entry, Kind
from funcgate.core.ids import new_id
from funcgate.core.refusal import Refused
from funcgate.stores.journal_files import FileJournal


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


async def main(folder: Path, callers: int, segment_bytes: int, calls: int) -> None:
    journal = FileJournal(folder, segment_bytes=segment_bytes, min_free_bytes=0)
    await journal.start()
    say(f"ready {os.getpid()}")
    promised = 0

    async def caller() -> None:
        nonlocal promised
        while calls == 0 or promised < calls:
            call = new_id()
            try:
                await journal.append(
                    Entry(kind=Kind.ARRIVED, call=call, function="shop.buy", detail="x" * 300),
                    Entry(kind=Kind.ALLOWED, call=call),
                )
            except Refused as refused:
                say(f"refused {refused.code}")
                await asyncio.sleep(0.05)
                continue
            promised += 1
            say(f"open {call}")
            await asyncio.sleep(0)
            journal.note(Entry(kind=Kind.ENDED, call=call, outcome="complete"))

    await asyncio.gather(*[caller() for _ in range(callers)])
    await journal.close()
    say("done")


def live(arguments: list[str]) -> None:
    uvloop.run(main(Path(arguments[0]), *map(int, arguments[1:])))


if __name__ == "__main__":
    if sys.argv[1:]:
        live(sys.argv[1:])
    for line in sys.stdin if not sys.argv[1:] else ():
        child = os.fork()
        if child == 0:
            say(f"born {os.getpid()}")
            live(line.split())
            os._exit(0)
        os.waitpid(child, 0)
        say("gone")
