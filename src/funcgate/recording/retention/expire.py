"""What is due at a moment, and what of it is held. It only says so: nothing is deleted here."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import groupby
from typing import NamedTuple

from funcgate.recording.contents.keystore import KeyInfo

from .coverage import Coverage
from .orders import EXPIRED, Gone, Key, Order, merged
from .rules import Class, Rules, end_of, time_of
from .state import UNREADABLE, Named, State

UNHASHED = "not all of it is in the tree yet"


class Kept(NamedTuple):
    """Something that is due and kept all the same: its class, its name, and why (a hold's id, or an open call)."""

    cls: Class
    name: str
    why: str


class Plan(NamedTuple):
    """What is due, one order for each class and target, content first; and what is due but kept."""

    orders: tuple[Order, ...]
    kept: tuple[Kept, ...]

    @property
    def size(self) -> int:
        """How many things are due, kept or not."""
        return len(self.kept) + sum(len(order.keys + order.objects + order.segments) for order in self.orders)


def plan(
    state: State, rules: Rules, keys: Iterable[KeyInfo], now: float, coverage: Coverage, hashed: int,
    away: Callable[[str], str],
) -> Plan:  # fmt: skip
    """`now` is the time that counts (see clock.py), in Unix time; `hashed` the number of the last line in the tree. `away` says
    why nothing can be deleted in a place, "" if it can."""
    return _Planning(state, rules, now, coverage, hashed, away).planned(keys)


class _Planning:
    def __init__(
        self, state: State, rules: Rules, now: float, coverage: Coverage, hashed: int, away: Callable[[str], str]
    ) -> None:
        self._away = cache(away)
        self._hashed = hashed
        self._state = state
        self._rules = rules
        self._now = now
        self._coverage = coverage
        self._kept: list[Kept] = []
        self._ordered = [order for _, order in state.pending()]

    def planned(self, keys: Iterable[KeyInfo]) -> Plan:
        due: dict[tuple[Class, str], tuple[list[Key], list[str]]] = {}
        for key in self._keys(keys):
            due.setdefault((_class(key), key.target), ([], []))[0].append(Key(key.name, key.session, key.day))
        for target, digest in self._objects():
            due.setdefault(("content", target), ([], []))[1].append(digest)
        before = time_of(self._now)
        orders = [
            Order(what=EXPIRED, cls=cls, before=before, target=target, keys=tuple(names), objects=tuple(objects))
            for (cls, target), (names, objects) in sorted(due.items())
        ]
        if segments := tuple(self._segments()):
            gone = merged([*self._state.gone, *((one.first, one.last) for one in segments)])
            orders.append(Order(what=EXPIRED, cls="decisions", before=before, segments=segments, gone=gone))
        return Plan(tuple(orders), tuple(self._kept))

    def _keys(self, keys: Iterable[KeyInfo]) -> Iterator[KeyInfo]:
        ordered = {key.name for order in self._ordered for key in order.keys}
        for key in keys:
            written = max(end_of(key.day), self._state.last_use(key.name))
            due = self._rules.due_at(key.target, _class(key), written) <= self._now
            if due and key.name not in ordered:
                why = self._coverage.span(key.session, key.target)
                if not self._keeps(_class(key), f"key {key.name} of session {key.session}", why):
                    yield key

    def _objects(self) -> Iterator[tuple[str, str]]:
        ordered = {digest for order in self._ordered for digest in order.objects}
        for digest, named in groupby(self._state.objects(), key=lambda place: place.digest):
            places = list(named)
            if digest not in ordered and all(map(self._is_due, places)):
                spans = (self._coverage.span(one.session, one.target) for one in places)
                why = next(filter(None, spans), "") or next(filter(None, (self._away(one.place) for one in places)), "")
                if not self._keeps("content", f"object {digest}", why):
                    yield places[0].target, digest

    def _is_due(self, place: Named) -> bool:
        return self._rules.day_due_at(place.target, "content", place.day) <= self._now

    def _segments(self) -> Iterator[Gone]:
        ordered = {gone.segment for order in self._ordered for gone in order.segments}
        for gone, ages in self._state.sealed():
            if gone.segment in ordered or UNREADABLE in ages or not ages:
                continue
            if all(self._rules.due_at(target, "decisions", newest) <= self._now for target, newest in ages.items()):
                why = self._coverage.lines(gone.first, gone.last) or (UNHASHED if gone.last > self._hashed else "")
                if not self._keeps("decisions", f"segment {gone.segment}", why):
                    yield gone

    def _keeps(self, cls: Class, name: str, why: str) -> bool:
        if why:
            self._kept.append(Kept(cls, name, why))
        return bool(why)


def _class(key: KeyInfo) -> Class:
    return "metadata" if key.cls == "metadata" else "content"
