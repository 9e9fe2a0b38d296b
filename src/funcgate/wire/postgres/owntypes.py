"""Types of a database's own whose values in binary are those of a built-in one: enums, and arrays of enums and of domains.

It knows what it was told, by OID. Any other type is read as values.py does.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .values import ELEMENTS, array_reader, reader

_FIRST = 16384  # the server gives smaller OIDs to nothing that users make
_TEXT = 25
_MOST_STEPS = 16  # of a domain over a domain over …


class OwnTypes:
    """As of one moment, and never another."""

    __slots__ = ("_arrays", "_labels")

    def __init__(self, types: Iterable[tuple[int, int, int]] = ()) -> None:
        """Of each: its OID, that of the type that its values are sent as, and that of its array or 0."""
        # Attack: a database that calls bigint an enum, so that a card number in eight bytes is looked at as a text.
        own = [each for each in types if each[0] >= _FIRST]
        sent_as = {kind: other for kind, other, _ in own}
        plain = {kind: _resolved(kind, sent_as) for kind in sent_as}
        self._labels = frozenset([kind for kind, other in plain.items() if other == _TEXT])
        self._arrays: Mapping[int, Mapping[int, int]] = {
            array: {kind: plain[kind]} for kind, _, array in own if array >= _FIRST and plain[kind] in ELEMENTS
        }

    def read_as(self, kind: int) -> int:
        """The type that a column of this one is read as: text for an enum, any other is itself."""
        return _TEXT if kind in self._labels else kind

    def reader(self, kind: int, form: int) -> Callable[[bytes], Any]:
        """See `values.reader`."""
        elements = self._arrays.get(kind) if form == 1 else None
        return reader(self.read_as(kind), form) if elements is None else array_reader(elements)


def _resolved(kind: int, sent_as: Mapping[int, int]) -> int:
    """What is behind all domains; 0 where there is no end of them."""
    for _ in range(_MOST_STEPS):
        if kind not in sent_as:
            return kind
        kind = sent_as[kind]
    return 0
