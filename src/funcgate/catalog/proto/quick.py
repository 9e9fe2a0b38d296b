"""Tables for the compiled halves (`_native.pyx`, `_lines.pyx`): what one use of a set of descriptors makes of each type.

What they do not know is left out of a table, or the table stays empty: then the pure half reads the message.
"""

from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Any, NamedTuple, Protocol

from funcgate.core.native import half

from . import special
from .kinds import DOUBLE, ENUM, FLOAT, GROUP, MESSAGE, SUBMESSAGE, is_always_there, is_map, name_in_json, names_of
from .upb import Descriptor, Field
from .walk import MessageLimits

_native = half("funcgate.catalog.proto._native")
_lines = half("funcgate.catalog.proto._lines")
_MOST_CHOICES = 63

_WIRE: Mapping[int, int] = {
    DOUBLE: 1, 6: 1, 16: 1, FLOAT: 5, 7: 5, 15: 5, 3: 0, 4: 0, 5: 0, 8: 0, 13: 0, ENUM: 0, 17: 0, 18: 0, 9: 2, MESSAGE: 2, 12: 2,
}  # fmt: skip
Pure = Callable[[bytes, bytes, bytes], bytes]  # the message, its line, the masked line


class Line(Protocol):
    """A message that was read, as `Seen`."""

    @property
    def line(self) -> bytes: ...

    def restore(self, masked: bytes, /) -> bytes: ...


ArgsOf = Callable[[bytes], dict[str, Any] | None]
LineOf = Callable[[bytes], Line | None]


class Shape(NamedTuple):
    """What a pure reader has found out of its type, and a table needs too: what is always there, and what reading it counts.
    `redacts`: the description hides some of it."""

    template: Mapping[str, Any]
    lists: tuple[str, ...]
    maps: tuple[str, ...]
    cost: int
    redacts: bool


class Tables:
    """The tables of one `Readers`. `shape` is what the pure reader of a type knows."""

    def __init__(self, shape: Callable[[Descriptor], Shape]) -> None:
        self._shape = shape
        self._ready: dict[str, Any] = {}
        self._lock = Lock()

    def of(self, descriptor: Descriptor) -> Any:
        """The table of a type, whole; None where nothing is compiled."""
        if _native is None or _lines is None:
            return None
        found = self._ready.get(descriptor.full_name)
        if found is None:
            with self._lock:  # large messages are read in other threads
                found = self._make(descriptor)
        return found

    def _make(self, descriptor: Descriptor) -> Any:
        made: dict[str, Any] = dict(self._ready)
        waiting: list[Descriptor] = []

        def table(of: Descriptor) -> Any:
            if of.full_name not in made:
                made[of.full_name] = _native.Table()
                waiting.append(of)
            return made[of.full_name]

        found = table(descriptor)
        while waiting:  # a list, not a recursion: chains of types are longer than the stack
            self._fill(waiting.pop(), table)
        self._ready = made
        return found

    def _fill(self, descriptor: Descriptor, table: Callable[[Descriptor], Any]) -> None:
        made, name, shape = table(descriptor), descriptor.full_name, self._shape(descriptor)
        if name in special.TIMES:
            made.fill_time(special.TIMES[name])
        elif name in special.WRAPPERS:
            made.fill_wrapper(_field(descriptor.fields_by_name["value"], table), _zero(descriptor))
        elif name not in special.NESTED and not shape.redacts and _is_plain(descriptor):
            fields = sorted(
                [field for field in descriptor.fields if field.type != GROUP], key=lambda field: int(field.number)
            )
            made.fill(
                [_field(field, table) for field in fields], dict(shape.template), shape.lists, shape.maps, shape.cost
            )


def args_reader(table: Any, limits: MessageLimits) -> ArgsOf:
    """The arguments of a message that is written already as it would be written; None when others have to read it."""
    read: ArgsOf = _nobody if table is None else partial(table.args, limits.values, limits.depth)
    return read


def line_reader(table: Any, limits: MessageLimits, pure: Pure) -> LineOf:
    """The line of such a message. `pure` puts back what is more than a text."""
    read: LineOf = _nobody if table is None else partial(_lines.line_of, table, limits.values, limits.depth, pure)
    return read


def _nobody(data: bytes) -> None:
    return None


def _is_plain(descriptor: Descriptor) -> bool:
    """Whether a table can say what is right for the type."""
    return (
        not descriptor.GetOptions().message_set_wire_format
        and len(descriptor.oneofs) <= _MOST_CHOICES
        and not any(field.is_required for field in descriptor.fields)
    )


def _zero(descriptor: Descriptor) -> Any:
    value = descriptor.fields_by_name["value"].default_value
    return value.decode() if isinstance(value, bytes) else value


def _field(field: Field, table: Callable[[Descriptor], Any], *, within_map: bool = False) -> Any:
    is_message = field.type in SUBMESSAGE and not is_map(field)
    is_enum = field.type == ENUM
    told: dict[str, Any] = {}
    if is_map(field):
        entry = field.message_type.fields_by_name
        told = {part: _field(entry[part], table, within_map=True) for part in ("key", "value")}
    return _native.Field(
        name_in_json(field), b'"%b":' % name_in_json(field).encode(), field.number, field.type, _WIRE[field.type],
        repeated=field.is_repeated, packed=field.is_packed, implicit=is_always_there(field) and not within_map,
        closed=is_enum and field.enum_type.is_closed, names=names_of(field.enum_type) if is_enum else None,
        choice=0 if field.containing_oneof is None else field.containing_oneof.index + 1,
        table=table(field.message_type) if is_message else None, **told,
    )  # fmt: skip
