"""Refusals of callers that nobody identified: some get an entry each, a flood is counted, one line a second and code.

It refuses to let whoever can reach the port fill the disk.
"""

import asyncio
import time
from collections.abc import Callable

from funcgate.core.entry import Entry, Kind
from funcgate.core.ids import new_id
from funcgate.core.ports import Journal
from funcgate.core.refusal import Code


class Unknowns:
    """Lets `per_second` refusals of each code through in a second, and counts the others.

    What was counted is noted as one `denied` entry with `count` for each code, once a second by `run` and at its end.
    `clock` is monotonic, in seconds.
    """

    def __init__(self, journal: Journal, per_second: int = 10, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._per_second = per_second
        self._clock = clock
        self._second = int(clock())
        self._admitted: dict[Code, int] = {}
        self._counted: dict[Code, int] = {}

    def admit(self, code: Code) -> bool:
        """Whether this refusal gets an entry of its own."""
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._admitted.clear()
        # Attack: refusals of strangers by the thousand, each one a line and a sync, until the disk is full.
        admitted = self._admitted.get(code, 0)
        if admitted < self._per_second:
            self._admitted[code] = admitted + 1
            return True
        self._counted[code] = self._counted.get(code, 0) + 1
        return False

    def flush(self) -> None:
        """Note what was counted so far. At shutdown: before the journal is closed."""
        counted, self._counted = self._counted, {}
        for code, count in counted.items():
            detail = "refusals of unknown callers beyond those with an entry of their own"
            self._journal.note(Entry(kind=Kind.DENIED, call=new_id(), code=code, detail=detail, count=count))

    async def run(self) -> None:
        """Flush every second until cancelled."""
        try:
            while True:
                await asyncio.sleep(1.0)
                if self._counted:
                    self.flush()
        finally:
            self.flush()
