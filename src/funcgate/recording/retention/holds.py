"""Legal holds: a fold over the journal's `admin` entries, and which calls a hold covers. Pure.

A hold that cannot be understood (of a newer version, say) holds everything: nothing is deleted in doubt.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from funcgate.core.entry import Entry, Kind
from funcgate.core.session import answers_to
from funcgate.recording.calls import CallRecord
from funcgate.recording.filters import Filters, Test, matcher

HOLD, RELEASE = "hold", "release"
MAX_TEXT = 1000
_FILTERS = frozenset(Filters.__struct_fields__)


class Hold(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One hold, as it was placed. Exactly one of `session` (or the name of its run), `principal` and `query` says on what;
    a hold with none of them is one that could not be understood. `id` is the order's, `seq` and `at` are its entry's."""

    id: str
    seq: int = 0
    at: str = ""
    who: str = ""
    reason: str = ""
    session: str = ""
    principal: str = ""
    query: Mapping[str, str] = {}

    @property
    def on(self) -> str:
        """What it is on, for people."""
        if self.session:
            return f"session {self.session}"
        if self.principal:
            return f"principal {self.principal}"
        said = " ".join(f"{name}={value}" for name, value in self.query.items())
        return f"query {said}" if said else "everything (it cannot be understood)"


Holds = tuple[Hold, ...]


def after(holds: Holds, entry: Entry) -> Holds:
    """The holds once the entry has been read. Any entry will do."""
    what = entry.change.get("what") if entry.kind is Kind.ADMIN else None
    if what == HOLD:
        return (*holds, hold_of(entry))
    if what == RELEASE:
        # Everything placed under that name: an order that a crash repeated is one order.
        return tuple(hold for hold in holds if hold.id != entry.change.get("hold"))
    return holds


def held_now(entries: Iterable[Entry]) -> Holds:
    """The holds that stand after these entries, in the order of the journal."""
    holds: Holds = ()
    for entry in entries:
        holds = after(holds, entry)
    return holds


def hold_of(entry: Entry) -> Hold:
    """The hold that the entry places. What it is on is left empty if that cannot be understood."""
    change = entry.change
    known: dict[str, Any] = {"id": str(change.get("order") or entry.seq), "seq": entry.seq, "at": entry.at}
    known |= {"who": _who(change.get("by")), "reason": str(change.get("reason", ""))}
    try:
        return checked(msgspec.convert({**change, **known}, Hold))
    except (msgspec.ValidationError, ValueError):
        return Hold(**known)


def checked(hold: Hold) -> Hold:
    """The hold, if it is on exactly one thing that means something. Raises `ValueError` that says what is wrong."""
    if [bool(hold.session), bool(hold.principal), bool(hold.query)].count(True) != 1:
        raise ValueError("a hold is on one session, on one principal or on one query")
    if unknown := hold.query.keys() - _FILTERS:
        raise ValueError(f"a query knows no {sorted(unknown)[0]!r}: {', '.join(sorted(_FILTERS))}")
    if not any(hold.query.values()) and hold.query:
        raise ValueError("a query without values would hold everything")
    covering(hold)
    return hold


def order_to_hold(hold: Hold) -> dict[str, Any]:
    """What an administrator orders to place it. Raises `ValueError` as `checked`."""
    checked(hold)
    given = {"session": hold.session, "principal": hold.principal, "query": dict(hold.query)}
    return {"what": HOLD, **{name: value for name, value in given.items() if value}, "reason": reasoned(hold.reason)}


def order_to_release(hold: str, reason: str) -> dict[str, Any]:
    """What an administrator orders to end the hold of that id. Raises `ValueError`."""
    return {"what": RELEASE, "hold": hold, "reason": reasoned(reason)}


def reasoned(reason: str) -> str:
    """The reason, if it is one. Raises `ValueError`."""
    if not reason.strip() or len(reason) > MAX_TEXT:
        raise ValueError(f"say why, in at most {MAX_TEXT} characters: --reason")
    return reason.strip()


def covering(hold: Hold) -> Test:
    """Whether it covers a call. Raises `ValueError` for a query that means nothing."""
    if hold.session:
        return lambda record: answers_to(record.session, hold.session)
    if hold.principal:
        return matcher(Filters(principal=hold.principal))
    if hold.query:
        query = dict(hold.query)
        session = query.pop("session", "")
        rest = matcher(Filters(**query))
        return lambda record: (not session or answers_to(record.session, session)) and rest(record)
    return everything


def everything(record: CallRecord) -> bool:
    """The test of a hold that nobody understands."""
    return True


def by_session_alone(hold: Hold) -> bool:
    """Whether the name of a session is enough to tell what it covers."""
    return bool(hold.session)


def _who(by: Any) -> str:
    """Who ordered it, from the entry's `by`."""
    if not isinstance(by, Mapping):
        return ""
    return str(by.get("user") or by.get("principal") or by.get("via") or "")
