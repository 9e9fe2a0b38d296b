"""A head's fields, sorted in one pass: by name, and those that cross. It refuses nothing; it says what is odd."""

from collections.abc import Callable, Mapping

from funcgate.core.native import half

Fields = list[tuple[bytes, bytes]]
Sort = Callable[[Fields, dict[bytes, bytes], Fields, dict[bytes, int]], int]

ONCE = 1  # a role: may come once
WITHHELD = 2  # a role: stays on its side
TWICE = 1  # said of a head: a field that may come once came twice
UNDERSCORED = 2  # said of a head: a name that crosses has an underscore

_OF_THE_PROTOCOL = (b":", b"grpc-", b"funcgate-")


def roles_of(once: frozenset[bytes], withheld: frozenset[bytes]) -> dict[bytes, int]:
    """The roles of names, for `sort_head`. Names that begin as the protocol's own do are withheld besides."""
    return {
        name: (name in once) * ONCE | (name in withheld or name.startswith(_OF_THE_PROTOCOL)) * WITHHELD
        for name in once | withheld
    }


def pure_sort_head(fields: Fields, known: dict[bytes, bytes], crossing: Fields, roles: Mapping[bytes, int]) -> int:
    """Fills `known` (the last value of each name) and `crossing`; `TWICE` and `UNDERSCORED`, if so."""
    flags = 0
    for field in fields:
        name, value = field
        role = roles.get(name)
        if role is None:
            role = WITHHELD if name.startswith(_OF_THE_PROTOCOL) else 0
        if role & ONCE and name in known:
            flags |= TWICE
        known[name] = value
        if role & WITHHELD:
            continue
        if b"_" in name:
            flags |= UNDERSCORED
        if b"," in value and name.endswith(b"-bin"):
            # Attack: several values in one field, which one reader takes apart and another one refuses or reads as one.
            crossing += [(name, part.strip(b" \t")) for part in value.split(b",")]
        else:
            crossing.append(field)
    return flags


_native = half("funcgate.wire.grpc._native")
sort_head: Sort = pure_sort_head if _native is None else _native.sort_head
