"""What happens in a session, beat by beat: when, of which call, and what. Pure; it neither waits nor prints."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from funcgate.core.entry import Entry, Kind
from funcgate.recording.calls import CallRecord, record_of


class Beat(Struct, frozen=True, kw_only=True):
    """One entry of a session. `offset_s` counts from the session's first entry, `call_s` from the call's own; `call` numbers
    the calls of the session from 1 (0: of none)."""

    offset_s: float
    call: int
    call_s: float
    entry: Entry


class Played(Struct, kw_only=True):
    """One call of a session, whole. `offset_s` as in `Beat`."""

    number: int
    offset_s: float
    record: CallRecord


def beats(entries: Iterable[Entry]) -> Iterator[Beat]:
    """The beats of a session's entries, which are in the order of the journal."""
    began: float | None = None
    calls: dict[str, tuple[int, float]] = {}
    numbered = 0
    approvals: dict[str, str] = {}
    for entry in entries:
        at = datetime.fromisoformat(entry.at).timestamp()
        began = at if began is None else began
        if entry.approval and entry.call:
            approvals.setdefault(entry.approval, entry.call)
        name = entry.call or approvals.get(entry.approval, "")
        if name and name not in calls:
            numbered += 1
            calls[name] = (numbered, at)
        number, arrived = calls.get(name, (0, at))
        if entry.kind is Kind.ENDED:
            calls.pop(name, None)
        yield Beat(offset_s=at - began, call=number, call_s=at - arrived, entry=entry)


def played(entries: Iterable[Entry]) -> list[Played]:
    """The calls of a session, whole, in the order in which they arrived."""
    of_call: dict[int, list[Beat]] = {}
    for beat in beats(entries):
        if beat.call:
            of_call.setdefault(beat.call, []).append(beat)
    return [
        Played(number=number, offset_s=found[0].offset_s, record=record_of(beat.entry for beat in found))
        for number, found in of_call.items()
    ]
