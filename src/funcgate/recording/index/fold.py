"""The entries of a call, seen one by one or in batches, folded into what it can be found by. Keeps nothing itself."""

from array import array
from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Raw

from funcgate.core.entry import Kind
from funcgate.recording.folder import Line

from .keys import Fact, Keys, fact_of
from .seen import Seen, add_words, keys_of_decided, keys_of_who

_REMEMBERED = 20_000
_DECISIONS = (
    (Kind.ASKED, "ask"),
    (Kind.ALLOWED, "allow"),
    (Kind.DENIED, "deny"),
)  # the first that there is, as in calls.py
_Name = TypeVar("_Name")
pack, _unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(list[int]).decode


class Row:
    """One call. `old` are the keys that the index holds for it, `keys` those that it is to hold."""

    __slots__ = ("at", "call", "facts", "keys", "n", "old", "places", "seq", "text", "was_text")

    def __init__(self, n: int, call: str, seq: int, at: str) -> None:
        self.n, self.call, self.seq, self.at = n, call, seq, at
        self.keys: set[int] = set()
        self.old: frozenset[int] = frozenset()
        self.facts: set[int] = set()
        self.places: list[int] = []
        self.text = self.was_text = b""

    @classmethod
    def stored(cls, n: int, call: str, keys: bytes, places: bytes) -> "Row":
        """A call that the index has already."""
        row = cls(n, call, 0, "")
        held = array("q")
        held.frombytes(keys)
        row.keys, row.old = set(held), frozenset(held)
        row.facts = {fact_of(key) for key in held}
        row.places = _unpack(places)
        return row

    def packed_keys(self) -> bytes:
        return array("q", sorted(self.keys)).tobytes()

    def packed_places(self) -> bytes:
        return pack(self.places)


def places_of(packed: bytes) -> list[tuple[int, int]]:
    """Segment (its number) and byte of each line of a call, in order."""
    flat = _unpack(packed)
    return list(zip(flat[::2], flat[1::2], strict=True))


def microseconds(at: str) -> int:
    """A time as the journal writes it, as Unix time; 0 for what is none."""
    try:
        return round(datetime.fromisoformat(at).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return 0


class Fold:
    """Folds entries into rows, in the way that `record_of` puts a call together. `text` says whether words are kept."""

    def __init__(self, keys: Keys, *, text: bool) -> None:
        self._keys = keys
        self._text = text
        self._people: dict[bytes, frozenset[int]] = {}
        self._policies: dict[bytes, frozenset[int]] = {}
        self._functions: dict[str, frozenset[int]] = {}
        self._clients: dict[str, frozenset[int]] = {}
        self._answered = Kind.ANSWERED.value
        self._kinds = {kind.value: keys.key(Fact.KIND, kind.value) for kind in Kind}
        self._decisions = [(self._kinds[kind.value], keys.key(Fact.DECISION, name)) for kind, name in _DECISIONS]
        self._elsewhere = keys.key(Fact.ELSEWHERE, "")
        self._undecided = keys.key(Fact.DECISION, "none")

    def add(self, row: Row, seen: Seen, line: Line) -> None:
        """One entry more, the next one of its call."""
        facts, keys = row.facts, row.keys
        row.places += (int(line.segment[:8]), line.offset)
        keys.add(self._kinds.get(seen.kind) or self._keys.key(Fact.KIND, seen.kind))
        if seen.principal:
            if seen.kind == self._answered:
                keys.update(keys_of_who(seen.principal, self._keys.approver))
            if Fact.WHO not in facts:
                facts.add(Fact.WHO)
                keys |= self._who(seen.principal)
        if seen.function and Fact.FUNCTION not in facts:
            facts.add(Fact.FUNCTION)
            keys |= self._function(seen.function)
        if seen.target and Fact.TARGET not in facts:
            facts.add(Fact.TARGET)
            keys.add(self._keys.key(Fact.TARGET, seen.target))
        if seen.session and Fact.SESSION not in facts:
            facts.add(Fact.SESSION)
            keys.add(self._keys.key(Fact.SESSION, seen.session))
        if seen.client and Fact.CLIENT not in facts:
            facts.add(Fact.CLIENT)
            keys |= self._client(seen.client)
        if seen.policy:
            self._replace(row, Fact.POLICY, self._decided(seen.policy))
        if seen.code:
            self._replace(row, Fact.CODE, (self._keys.key(Fact.CODE, seen.code),))
        for digest in filter(None, (seen.object, seen.args_object)):
            keys.add(self._keys.key(Fact.OBJECT, digest))
        if seen.where:
            keys.add(self._elsewhere)
        if self._text:
            row.text = add_words(row.text, seen)

    def finish(self, row: Row) -> None:
        """After the last entry of a batch."""
        decision = next((key for kind, key in self._decisions if kind in row.keys), self._undecided)
        self._replace(row, Fact.DECISION, (decision,))

    def _replace(self, row: Row, fact: Fact, keys: Iterable[int]) -> None:
        if fact in row.facts:
            row.keys = {key for key in row.keys if fact_of(key) != fact}
        row.facts.add(fact)
        row.keys.update(keys)

    def _who(self, raw: Raw) -> frozenset[int]:
        spelled = bytes(raw)
        return self._people.get(spelled) or _remember(self._people, spelled, keys_of_who(spelled, self._keys.who))

    def _decided(self, raw: Raw) -> frozenset[int]:
        spelled = bytes(raw)
        known = self._policies.get(spelled)
        return known or _remember(self._policies, spelled, keys_of_decided(spelled, self._keys.policies))

    def _function(self, name: str) -> frozenset[int]:
        return self._functions.get(name) or _remember(self._functions, name, self._keys.function(name))

    def _client(self, client: str) -> frozenset[int]:
        return self._clients.get(client) or _remember(self._clients, client, self._keys.client(client))


def _remember(known: dict[_Name, frozenset[int]], name: _Name, keys: Iterable[int]) -> frozenset[int]:
    if len(known) >= _REMEMBERED:
        known.clear()
    made = known[name] = frozenset(keys)
    return made
