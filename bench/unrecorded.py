"""`funcgate serve` without a part of its record, so that it can be told what that part costs. For the harness only.

Run as `python -m bench.unrecorded nothing|memory|alone serve --config FILE`, always without a keeper: `nothing` makes no
lines, `memory` makes each and forgets it, `alone` has the journal as it is.
"""

import sys
from collections.abc import Awaitable, Generator
from typing import Any

from funcgate import cli
from funcgate.app import serving
from funcgate.app.keeping import Keeping
from funcgate.core.entry import Drawn, Entry
from funcgate.stores.journal_files import FileJournal
from funcgate.stores.lines import add_lines


class NoKeeper(Keeping):
    """No child beside the gateway."""

    def start(self) -> None:
        return


class _NextTurn:
    def __await__(self) -> Generator[None, None, None]:
        yield


_NEXT_TURN = _NextTurn()


class Nothing(FileJournal):
    """Says "written" and writes nothing, not even in memory."""

    def __init__(self, *about: Any, **settings: Any) -> None:
        super().__init__(*about, **settings)
        self.append, self.note = self._pass, self._forget
        self._made = 0

    def _pass(self, *entries: Entry | Drawn) -> Awaitable[None]:
        self.note(*entries)
        return _NEXT_TURN

    def _forget(self, *entries: Entry | Drawn) -> None:
        return


class Memory(Nothing):
    """Makes the lines and forgets them."""

    def _forget(self, *entries: Entry | Drawn) -> None:
        self._made = add_lines(bytearray(), entries, self._made, self._clock.stamp())


def main() -> None:
    kind = {"nothing": Nothing, "memory": Memory, "alone": FileJournal}[sys.argv.pop(1)]
    vars(serving).update(FileJournal=kind, Keeping=NoKeeper)  # the one place that makes either
    cli.main()


if __name__ == "__main__":
    main()
