"""Calls put together from their entries: one record for each call, whatever became of it."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct

from funcgate.core.entry import Decided, Entry, Kind, Who


class CallRecord(Struct, kw_only=True, omit_defaults=True):
    """What the journal tells of one call.

    `at` is when it arrived (or was refused), `ended_at` when it ended, "" if the journal does not say so: RFC 3339, UTC.
    `decision` is ``allow``, ``ask`` (held for an approval), ``deny``, or ``none`` when the journal holds none. `code` and
    `detail` say why it was refused or failed. `count` above 0: the record stands for so many refusals of unknown callers.
    `entries` are all there are, in the order of the journal.
    """

    id: str
    at: str
    ended_at: str = ""
    principal: Who | None = None
    function: str = ""
    target: str = ""
    session: str = ""
    args: msgspec.Raw | None = None
    digest: str = ""
    client: str = ""
    trace: str = ""
    reason: str = ""
    decision: str = "none"
    policy: Decided | None = None
    code: str = ""
    detail: str = ""
    outcome: str = ""
    status: int = 0
    body: msgspec.Raw | str | None = None
    body_bytes: int = 0
    body_cut: bool = False
    masked: Mapping[str, int] = {}
    timing_us: Mapping[str, int] = {}
    count: int = 0
    entries: tuple[Entry, ...] = ()


_FIRST = ("principal", "function", "target", "session", "args", "digest", "client", "trace", "reason", "count")
_LAST = ("policy", "code", "detail", "outcome", "status", "body", "body_bytes", "body_cut", "masked", "timing_us")
_DECISIONS = ((Kind.ASKED, "ask"), (Kind.ALLOWED, "allow"), (Kind.DENIED, "deny"))


def record_of(entries: Iterable[Entry]) -> CallRecord:
    """The record of one call, from all its entries in the order of the journal. At least one entry."""
    entries = tuple(entries)
    record = CallRecord(id=entries[0].call, at=entries[0].at, entries=entries)
    for entry in entries:
        for name in _FIRST:
            if not getattr(record, name):
                setattr(record, name, getattr(entry, name))
        for name in _LAST:
            if value := getattr(entry, name):
                setattr(record, name, value)
        if entry.kind is Kind.ENDED:
            record.ended_at = entry.at
    kinds = {entry.kind for entry in entries}
    record.decision = next((decision for kind, decision in _DECISIONS if kind in kinds), "none")
    return record
