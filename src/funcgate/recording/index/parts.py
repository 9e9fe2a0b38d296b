"""What many calls have in common, made into keys once: a principal with its groups, a function, an address with its networks.

A part holds facts of some kinds, rising: a call's parts, in the order of the kinds, are its keys in order. Pure.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from sys import byteorder
from typing import TypeVar

from funcgate.core.entry import Kind

from .keys import Fact, Keys, fact_of, token
from .seen import keys_of_decided, keys_of_who

_REMEMBERED = 20_000
_DECISIONS = ((Kind.ASKED, "ask"), (Kind.ALLOWED, "allow"), (Kind.DENIED, "deny"))  # as in fold.py
_Value = TypeVar("_Value", str, bytes, tuple[str, ...])


class Part:
    """`keys` sorted, `packed` as the index keeps them, `said` as the words' index holds them (" " before each)."""

    __slots__ = ("keys", "packed", "said")
    keys: Sequence[int]

    def __init__(self, keys: Sequence[int]) -> None:
        if len(keys) == 1:
            [key] = self.keys = keys
            self.packed = key.to_bytes(8, byteorder)
            self.said = "" if fact_of(key) == Fact.KIND else f" {token(key)}"
            return
        self.keys = sorted(set(keys))
        self.packed = array("q", self.keys).tobytes()
        self.said = "".join([f" {token(key)}" for key in self.keys if fact_of(key) != Fact.KIND])


class Parts:
    """Parts by what they are of; a limited number of each kind is remembered."""

    def __init__(self, keys: Keys, part: type[Part] = Part) -> None:
        self._keys = keys
        key = keys.key
        self.names: dict[int, str] = {}  # of functions and codes; taken out by whoever has stored them
        self.who = _Known[bytes](part, lambda raw: keys_of_who(raw, keys.who))
        self.function = _Known[str](part, self._function)
        self.target = _Known[str](part, lambda name: (key(Fact.TARGET, name),))
        self.decision = _Known[tuple[str, ...]](part, self._decided)
        self.code = _Known[str](part, self._code)
        self.policy = _Known[bytes](part, lambda raw: keys_of_decided(raw, keys.policies))
        self.session = _Known[str](part, lambda name: (key(Fact.SESSION, name),))
        self.client = _Known[str](part, keys.client)
        self.kinds = _Known[tuple[str, ...]](part, lambda kinds: [key(Fact.KIND, kind) for kind in kinds])

    def note(self, function: str, code: str) -> None:
        """Remember the names for `names`, unless they are known."""
        if function:
            self.function[function]
        if code:
            self.code[code]

    def approver(self, raw: bytes) -> Iterable[int]:
        return keys_of_who(raw, self._keys.approver)

    def elsewhere(self, digests: Iterable[str], away: bool) -> Sequence[int]:
        """Objects beside the journal, and whether they are in another folder."""
        found = [self._keys.key(Fact.OBJECT, digest) for digest in digests]
        return [*found, self._keys.key(Fact.ELSEWHERE, "")] if away else found

    def _function(self, name: str) -> Iterable[int]:
        self.names[self._keys.key(Fact.FUNCTION, name)] = name
        return self._keys.function(name)

    def _code(self, name: str) -> Iterable[int]:
        key = self._keys.key(Fact.CODE, name)
        self.names[key] = name
        return (key,)

    def _decided(self, kinds: tuple[str, ...]) -> Iterable[int]:
        name = next((name for kind, name in _DECISIONS if kind.value in kinds), "none")
        return (self._keys.key(Fact.DECISION, name),)


class _Known(dict[_Value, Part]):
    """Made when it is first looked for."""

    def __init__(self, part: type[Part], make: Callable[[_Value], Iterable[int]]) -> None:
        super().__init__()
        self._part = part
        self._make: Callable[[_Value], Iterable[int]] = make

    def __missing__(self, value: _Value) -> Part:
        # Attack: a session, a client or a group of one's own with each call, until the memory is full of them.
        if len(self) >= _REMEMBERED:
            self.clear()
        part = self[value] = self._part(tuple(self._make(value)))
        return part
