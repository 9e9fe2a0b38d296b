"""Which fields of a method's arguments the description marks `debug_redact`, as paths for masking.

Where a type contains itself or an Any, there are paths without end: from there on they are written with ``**``, which hides
fields of the same name too.
"""

from collections.abc import Callable, Iterable, Iterator

from . import special
from .kinds import SUBMESSAGE, is_map, name_in_json
from .upb import Descriptor, Field

_MOST_STEPS = 2000
_MOST_STEPS_IN_ALL = 50_000  # of all methods of one target
Fields = Callable[[Descriptor], list[Field]]


class Known:
    """What was found for one method and holds for others: the names `below` each type. `steps_left` is for all of them."""

    def __init__(self) -> None:
        self.below: dict[str, list[str]] = {}
        self.steps_left = _MOST_STEPS_IN_ALL


def redacted_paths(
    descriptor: Descriptor,
    fields: Fields,
    types: Callable[[], Iterable[Descriptor]],
    known: "Known | None" = None,
) -> tuple[str, ...]:
    """The paths. `fields` gives those of a type, `types` all that an Any may hold. `known` is for all methods of one target."""
    known = Known() if known is None else known
    names = _names(descriptor, fields, types, known)
    if not names:
        return ()
    if descriptor.full_name == special.ANY:
        return tuple(f"**.{name}" for name in names)
    paths: list[str] = []
    try:
        for step, found in enumerate(_Paths(fields, types, known).of(descriptor, "", frozenset())):
            # Attack: a description whose types reach one another in so many ways that the paths never end.
            known.steps_left -= 1
            if step > _MOST_STEPS or known.steps_left < 0:
                return tuple(f"**.{name}" for name in names)
            paths += found
    except RecursionError:
        return tuple(f"**.{name}" for name in names)
    return tuple(dict.fromkeys(paths))


def hides(field: Field) -> bool:
    return bool(field.GetOptions().debug_redact)


class _Paths:
    def __init__(self, fields: Fields, types: Callable[[], Iterable[Descriptor]], known: "Known") -> None:
        self._known = known
        self._fields = fields
        self._types = types

    def of(self, type_: Descriptor, before: str, within: frozenset[str]) -> Iterator[list[str]]:
        """The paths, a few at each step. `within` are the types that are being followed."""
        within |= {type_.full_name}
        for field in self._fields(type_):
            path = before + name_in_json(field)
            if hides(field):
                yield [path]
                continue
            value = field.message_type.fields_by_name["value"] if is_map(field) else field
            path += ".*" if is_map(field) else "[*]" if field.is_repeated else ""
            if value.type not in SUBMESSAGE or value.message_type.full_name in special.NESTED.keys() - {special.ANY}:
                yield []
            elif value.message_type.full_name in within | {special.ANY}:
                yield [f"{path}.**.{name}" for name in self._below(value.message_type)]
            else:
                yield from self.of(value.message_type, f"{path}.", within)

    def _below(self, type_: Descriptor) -> list[str]:
        return _names(type_, self._fields, self._types, self._known)


def _names(
    descriptor: Descriptor, fields: Fields, types: Callable[[], Iterable[Descriptor]], known: "Known"
) -> list[str]:
    """The names of all hidden fields that messages of the type may hold, at any depth."""
    ready = known.below.get(descriptor.full_name)
    if ready is not None:
        return ready
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [descriptor]
    while waiting:
        type_ = waiting.pop()
        if type_.full_name in seen:
            continue
        seen.add(type_.full_name)
        if type_.full_name == special.ANY:
            waiting += types()
        for field in fields(type_):
            if hides(field):
                found[name_in_json(field)] = None
            elif field.type in SUBMESSAGE:
                waiting.append(field.message_type)
    known.below[descriptor.full_name] = [*found]
    return known.below[descriptor.full_name]
