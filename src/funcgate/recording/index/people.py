"""Who made calls, how many, and how they were decided: counted from sets of calls, or one by one. Only counts."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from funcgate.core.entry import Who
from funcgate.recording.calls import CallRecord
from funcgate.recording.filters import Filters

from .bits import SHIFT
from .keys import Fact, Keys, keys_of
from .search import Search
from .sets import all_between, any_of


class Caller(Struct, kw_only=True, omit_defaults=True):
    """One principal, None for callers that nobody identified: their calls, by decision, and the first and last of them.

    `who` is as of the last call: groups change.
    """

    who: Who | None
    calls: int
    allowed: int = 0
    denied: int = 0
    held: int = 0
    first: str = ""
    last: str = ""
    last_call: str = ""


_COUNTED = {"allow": "allowed", "deny": "denied", "ask": "held"}


def callers_in(records: Iterable[CallRecord]) -> list[Caller]:
    """Of calls, newest first: their callers, most calls first."""
    found: dict[tuple[str, str] | None, Caller] = {}
    for record in records:
        who = record.principal
        name = None if who is None else (who.issuer, who.subject)
        caller = found.get(name)
        if caller is None:
            caller = found[name] = Caller(who=who, calls=0, last=record.at, last_call=record.id)
        caller.calls += 1
        caller.first = record.at
        if counted := _COUNTED.get(record.decision):
            setattr(caller, counted, getattr(caller, counted) + 1)
    return most_first(found.values())


class Tally:
    """Counts of one principal's calls; `newest` and `oldest` are numbers of calls."""

    __slots__ = ("calls", "decided", "newest", "oldest")

    def __init__(self, newest: int) -> None:
        self.newest = self.oldest = newest
        self.calls = 0
        self.decided = dict.fromkeys(_COUNTED, 0)

    def caller(self, first: CallRecord | None, last: CallRecord | None) -> Caller:
        decided = {_COUNTED[name]: count for name, count in self.decided.items()}
        who, at, call = (None, "", "") if last is None else (last.principal, last.at, last.id)
        return Caller(who=who, calls=self.calls, first=first.at if first else "", last=at, last_call=call, **decided)


def tallies(search: Search, keys: Keys, filters: Filters) -> list[Tally]:
    """Of each principal that made calls which match; the calls of nobody are one of them."""
    found: dict[int, Tally] = {}
    decisions = {name: [keys.key(Fact.DECISION, name)] for name in _COUNTED}
    for chunk, bits in search.sets(filters):
        decided = {name: any_of(search.db, chunk, wanted) for name, wanted in decisions.items()}
        left = bits
        for key, members in all_between(search.db, chunk, *keys_of(Fact.WHO)):
            if mine := members & bits:
                left &= ~mine
                _count(found, key, chunk << SHIFT, mine, decided)
        if left:
            _count(found, 0, chunk << SHIFT, left, decided)
    return list(found.values())


def _count(found: dict[int, Tally], key: int, start: int, bits: int, decided: Mapping[str, int]) -> None:
    tally = found.get(key)
    if tally is None:
        tally = found[key] = Tally(start + bits.bit_length() - 1)
    tally.oldest = start + (bits & -bits).bit_length() - 1
    tally.calls += bits.bit_count()
    for name, members in decided.items():
        tally.decided[name] += (bits & members).bit_count()


def most_first(callers: Iterable[Caller]) -> list[Caller]:
    return sorted(callers, key=lambda caller: (-caller.calls, caller.who is None, caller.last_call))
