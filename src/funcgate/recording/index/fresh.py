"""Calls that the index does not hold yet, from their entries: nearly all calls, and the quick way for them.

What it gives is what `fold.Fold` makes of the same entries, which does it for calls that the index holds already. All of it
exists a second time, compiled (`_native.pyx`): `half` is the one that is used.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from funcgate.core.entry import Kind
from funcgate.core.native import half
from funcgate.recording.folder import Line

from .bits import CHUNK, appended
from .fold import microseconds, pack
from .parts import Part, Parts
from .seen import Seen, add_words

NATIVE = half("funcgate.recording.index._native")
_ARRIVED, _ANSWERED = Kind.ARRIVED.value, Kind.ANSWERED.value


class Fresh:
    """One call. `n` and its `parts`, which are its facts, are there once it is finished."""

    __slots__ = (
        "_approvers", "_away", "_kinds", "_objects", "at", "call", "client", "code", "function", "n", "parts", "places",
        "policy", "principal", "seq", "session", "target", "text",
    )  # fmt: skip

    def __init__(self, seen: Seen, seq: int) -> None:
        self.n = 0
        self.call, self.seq, self.at = seen.call, seq, seen.at
        self.principal = self.policy = b""
        self.code = ""
        self.function, self.target, self.session, self.client = seen.function, seen.target, seen.session, seen.client
        self.text = b""
        self.places: list[int] = []
        self.parts: list[Part] = []
        self._kinds: list[str] = []
        self._approvers: list[bytes] = []
        self._objects: list[str] = []
        self._away = False

    def add(self, seen: Seen, segment: int, offset: int, text: bool) -> None:
        """One entry, the next one of its call, at that place. `text`: keep its words."""
        self.places += (segment, offset)
        self._kinds.append(seen.kind)
        if seen.policy:
            self.policy = bytes(seen.policy)
        if seen.principal:
            self._add_who(bytes(seen.principal), seen.kind)
        if seen.code:
            self.code = seen.code
        if text and (seen.body or seen.args):
            self.text = add_words(self.text, seen)
        if seen.object or seen.args_object or seen.where:
            self._objects += filter(None, (seen.object, seen.args_object))
            self._away = self._away or bool(seen.where)
        if not (self.function and self.target and self.session and self.client):  # an arrival says all four
            self.function = self.function or seen.function
            self.target = self.target or seen.target
            self.session = self.session or seen.session
            self.client = self.client or seen.client

    def _add_who(self, principal: bytes, kind: str) -> None:
        if kind == _ANSWERED:
            self._approvers.append(principal)
        self.principal = self.principal or principal

    def finish(self, n: int, parts: Parts) -> None:
        """After its last entry in this batch."""
        self.n = n
        kinds = tuple(self._kinds)
        # In the order of the facts' numbers, so that the keys rise.
        found = [parts.who[self.principal]] if self.principal else []
        if self.function:
            found.append(parts.function[self.function])
        if self.target:
            found.append(parts.target[self.target])
        found.append(parts.decision[kinds])
        if self.code:
            found.append(parts.code[self.code])
        if self.policy:
            found.append(parts.policy[self.policy])
        if self.session:
            found.append(parts.session[self.session])
        if self.client:
            found.append(parts.client[self.client])
        if self._approvers:
            found.append(Part([key for raw in self._approvers for key in parts.approver(raw)]))
        found.append(parts.kinds[kinds])
        if self._objects or self._away:
            found.append(Part(parts.elsewhere(self._objects, self._away)))
        self.parts = found


def gather(
    lines: Iterable[Line],
    read: Callable[[Line], Seen | None],
    doubting: bool,
    text: bool,
    fresh: dict[str, Fresh],
    doubted: set[str],
    later: list[tuple[Seen, Line]],
) -> None:
    """Put the lines into `fresh`, by the names of calls; into `later` those of calls that the index may hold. `read` gives
    None for a line of no call. `doubting`: it may hold any call."""
    name, segment = "", 0
    for line in lines:
        seen = read(line)
        if seen is None:
            continue
        call = seen.call
        one = fresh.get(call)
        if one is None:
            if seen.kind != _ARRIVED or doubting or call in doubted:
                doubted.add(call)
                later.append((seen, line))
                continue
            one = fresh[call] = Fresh(seen, line.seq)
        if line.segment is not name:
            name, segment = line.segment, int(line.segment[:8])
        one.add(seen, segment, line.offset, text)


def finished(fresh: Mapping[str, Fresh], n: int, parts: Parts) -> list[Fresh]:
    """The calls in the order of their first lines, numbered from `n` on."""
    ordered = sorted(fresh.values(), key=attrgetter("seq"))  # numbers rise with lines: times are found by halving
    for number, one in enumerate(ordered, n):
        one.finish(number, parts)
    return ordered


def rows(fresh: Iterable[Fresh]) -> Iterator[tuple[Any, ...]]:
    """Rows of the table of calls, each made when it is asked for: what is stored at once is still at hand."""
    times: dict[str, int] = {}
    for one in fresh:
        at = times.get(one.at)
        if at is None:
            at = times[one.at] = microseconds(one.at)
        yield one.n, one.call, one.seq, at, b"".join([part.packed for part in one.parts]), pack(one.places)


def said(fresh: Iterable[Fresh], words: Callable[[str], str] | None) -> Iterator[tuple[int, str]]:
    """What the words' index is to hold, as `Keys.said` tells it: number and text. `words` hashes them; None: as they are."""
    for one in fresh:
        if one.text:
            text = one.text.decode("utf-8", "ignore")
            yield one.n, (text if words is None else words(text)) + "".join([part.said for part in one.parts])


def extended(
    fresh: Sequence[Fresh], held: Callable[[list[int]], Mapping[int, bytes]]
) -> list[tuple[int, bytes]] | None:
    """The sets of calls of one chunk with these more, by their keys, which rise. `held` gives what there is of many keys."""
    adding = _members(fresh)
    keys = sorted(adding)
    there = held(keys)
    return [(key, appended(there.get(key, b""), adding[key])) for key in keys]


def _members(fresh: Iterable[Fresh]) -> dict[int, list[int]]:
    """For each key the calls that have it, by their place in the chunk, rising."""
    by_part: defaultdict[Part, list[int]] = defaultdict(list)
    for one in fresh:
        member = one.n & CHUNK - 1
        for part in one.parts:
            by_part[part].append(member)
    found: dict[int, list[int]] = {}
    shared: set[int] = set()
    for part, members in by_part.items():
        for key in part.keys:
            if key in found:
                found[key] = found[key] + members
                shared.add(key)
            else:
                found[key] = members
    for key in shared:
        found[key].sort()
    return found
