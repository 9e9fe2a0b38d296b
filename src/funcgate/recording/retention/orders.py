"""Expiry as the journal says it: the `admin` entry that is durable before anything is deleted, and the one that says what
was not deleted after all, because a hold covers it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from .rules import Class

EXPIRED, WITHHELD, CLOCK = "expired", "withheld", "clock"
CHORE = "retention"
MAX_NAMES = 400  # in one entry

Range = tuple[int, int]


class Key(NamedTuple):
    """A content key, and what it is for: its target is the order's."""

    name: str
    session: str
    day: str


class Gone(NamedTuple):
    """A segment, and the numbers of its first and last line."""

    segment: str
    first: int
    last: int


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"cls": "class"}):
    """What expires: of one class and one target ("" for segments: they hold lines of several), all of it written before
    `before`. `what` is ``expired``; in an entry that is ``withheld`` the same names are kept after all.

    `gone` are the numbers of all lines that have ever expired with their segments, this order's included: whoever verifies
    the journal needs no older entry than the last of these.
    """

    what: str
    cls: Class
    before: str
    target: str = ""
    keys: tuple[Key, ...] = ()
    objects: tuple[str, ...] = ()
    segments: tuple[Gone, ...] = ()
    gone: tuple[Range, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.keys or self.objects or self.segments)

    def less(self, other: "Order") -> "Order":
        """This order without what the other one names."""
        keys, objects, segments = (
            tuple(name for name in getattr(self, names) if name not in set(getattr(other, names)))
            for names in ("keys", "objects", "segments")
        )
        return msgspec.structs.replace(self, keys=keys, objects=objects, segments=segments)

    def change(self) -> dict[str, Any]:
        """The entry's `change`."""
        counts = {name: len(getattr(self, name)) for name in ("keys", "objects", "segments")}
        said = {name: count for name, count in counts.items() if count}
        return {**msgspec.to_builtins(self), "counts": said}


def order_in(change: Mapping[str, Any], what: str = EXPIRED) -> Order | None:
    """The order that an `admin` entry's change holds; None if it is none, or one that is not understood."""
    if change.get("what") != what:
        return None
    try:
        return msgspec.convert(change, Order)
    except msgspec.ValidationError:
        return None


def by_the_keeper(change: Mapping[str, Any]) -> bool:
    """Whether the retention itself asked for the entry."""
    # Attack: leave an order in the inbox that looks like this one, and have the record of one's own calls expire.
    by = change.get("by")
    return isinstance(by, Mapping) and by.get("via") == "keeper" and by.get("chore") == CHORE


def split(order: Order) -> Iterator[Order]:
    """The order in pieces that fit a line each."""
    for keys in _pieces(order.keys):
        yield msgspec.structs.replace(order, keys=keys, objects=(), segments=(), gone=())
    for objects in _pieces(order.objects):
        yield msgspec.structs.replace(order, keys=(), objects=objects, segments=(), gone=())
    gone: tuple[Range, ...] = order.gone
    for segments in _pieces(order.segments):
        gone = merged([*gone, *((one.first, one.last) for one in segments)])
        yield msgspec.structs.replace(order, keys=(), objects=(), segments=segments, gone=gone)


def merged(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Ranges of line numbers, both ends included, in order, joined where they touch."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)


def without(ranges: Iterable[Range], taken: Range) -> tuple[Range, ...]:
    """The ranges less one."""
    found: list[Range] = []
    for first, last in ranges:
        if first < taken[0]:
            found.append((first, min(last, taken[0] - 1)))
        if last > taken[1]:
            found.append((max(first, taken[1] + 1), last))
    return merged(one for one in found if one[0] <= one[1])


def _pieces(names: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    return (names[at : at + MAX_NAMES] for at in range(0, len(names), MAX_NAMES))
