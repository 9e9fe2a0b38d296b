"""What must not be deleted now: what a hold covers, and the calls that are still open.

A key is of a whole session at a target, a segment of many calls: one call that is held holds all of it.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol

from funcgate.core.session import answers_to
from funcgate.recording.calls import CallRecord, record_of
from funcgate.recording.chore import ChoreFailed
from funcgate.recording.contents.opener import Opener
from funcgate.recording.filters import Filters
from funcgate.recording.folder import lines
from funcgate.recording.reader import read_calls, read_line

from .holds import Holds, by_session_alone, covering
from .state import OpenCall

OPEN = "a call that is still open"


class Looked(NamedTuple):
    """A call, and whether some of it could not be opened although it has not expired: nobody can tell what it is then."""

    record: CallRecord
    unsure: bool


class Scan(Protocol):
    """The journal, read once from end to end."""

    def calls(self) -> Iterable[Looked]:
        """Every call, opened as far as it can be."""
        ...

    def answers(self) -> Iterable[tuple[str, int]]:
        """The entries that say who approved or rejected: the approval, and the number of the line."""
        ...


class Coverage:
    """For one moment: these holds, these open calls. Scans the journal at most once, and only if it has to."""

    def __init__(self, holds: Holds, open_calls: Sequence[OpenCall], scan: Scan) -> None:
        self.holds = holds
        self._scan = scan
        self._scanned = False
        self._open = {(call.session, call.target) for call in open_calls}
        self._oldest_open = min((call.seq for call in open_calls), default=0)
        self._spans: dict[tuple[str, str], str] = {}
        self._seqs: dict[str, array[int]] = {}
        self._all = next((hold for hold in holds if not (hold.session or hold.principal or hold.query)), None)

    def span(self, session: str, target: str) -> str:
        """Why what belongs to this session and target is kept: the id of a hold, or `OPEN`; "" if nothing keeps it."""
        if self._all is not None:
            return self._all.id
        for hold in self.holds:
            if by_session_alone(hold) and answers_to(session, hold.session):
                return hold.id
        if any(not by_session_alone(hold) for hold in self.holds):
            self._look()
            if found := self._spans.get((session, target)):
                return found
        return OPEN if (session, target) in self._open else ""

    def lines(self, first: int, last: int) -> str:
        """The same for the lines with these numbers, both included."""
        if self._all is not None:
            return self._all.id
        if self._oldest_open and self._oldest_open <= last:
            return OPEN
        for hold in self.holds:
            if first <= hold.seq <= last:  # the line that says so, too: whoever reads the journal must find the hold
                return hold.id
        if self.holds:
            self._look()
        for name, seqs in self._seqs.items():
            at = bisect_left(seqs, first)
            if at < len(seqs) and seqs[at] <= last:
                return name
        return ""

    def _look(self) -> None:
        if self._scanned:
            return
        tests = [(hold, covering(hold)) for hold in self.holds]
        found: dict[str, array[int]] = {hold.id: array("q") for hold in self.holds}
        approvals: dict[str, set[str]] = {}
        for record, unsure in self._scan.calls():
            for hold, covers in tests:
                if covers(record) or (unsure and not by_session_alone(hold)):
                    self._spans[record.session, record.target] = hold.id
                    found[hold.id].extend(entry.seq for entry in record.entries)
                    for approval in {entry.approval for entry in record.entries if entry.approval}:
                        approvals.setdefault(approval, set()).add(hold.id)
        for approval, seq in self._scan.answers() if approvals else ():
            for name in approvals.get(approval, ()):
                found[name].append(seq)
        self._seqs = {name: array("q", sorted(seqs)) for name, seqs in found.items()}
        self._scanned = True


class JournalScan:
    """`Scan` over a journal's folder. Raises `ChoreFailed` for a line that cannot be read."""

    def __init__(self, journal: Path, opener: Opener) -> None:
        self._journal = journal
        self._opener = opener

    def calls(self) -> Iterator[Looked]:
        damaged: list[str] = []
        for record in chain(read_calls(self._journal, Filters(), damaged=damaged.append), [None]):
            if damaged:
                # Attack: spoil the line that says whose call it was, and wait for the call to expire.
                raise ChoreFailed(f"a line of {damaged[0]} cannot be read: it may be of a call that is held")
            if record is not None:
                yield _looked(record, self._opener)

    def answers(self) -> Iterator[tuple[str, int]]:
        for line in lines(self._journal):
            if b'"kind":"answered"' in line.line and (entry := read_line(line)) is not None and entry.approval:
                yield entry.approval, entry.seq


def _looked(record: CallRecord, opener: Opener) -> Looked:
    if not any(entry.sealed or entry.object or entry.args_object for entry in record.entries):
        return Looked(record, False)
    opened = [opener.look(entry) for entry in record.entries]
    unsure = any(lost.why != "expired" for one in opened for lost in one.lost)
    return Looked(record_of(one.entry for one in opened), unsure)
