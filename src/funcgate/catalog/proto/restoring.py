"""Masked JSON back into the message that it was read from. Only what masking has changed is changed.

Strings take the mask's text, bytes too; what cannot hold a text becomes its default, a message an empty one. Whatever is not
one of these is refused: nothing is ever passed on unmasked.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import special
from .kinds import BOOL, BYTES, ENUM, FLOATS, STRING, SUBMESSAGE, is_map, key_of, name_in_json
from .texts import bytes_of
from .upb import Descriptor, Field, Message, clear, copy_from, set_in_parent, which

if TYPE_CHECKING:
    from .reading import Readers

Put = Callable[[Message, Any, Any], None]  # the message, what was read of one of its fields, what masking made of that
Change = Callable[[Any, Any, Any, Any], None]  # the list or map, the index or key, what was read there, what it is now
_TEXT = frozenset({STRING, BYTES})


class Unrestorable(Exception):
    """What masking made cannot be put back. The text holds no value."""


class Restorer:
    """Changes messages of one type."""

    __slots__ = ("_descriptor", "_readers", "_slots", "_special")

    def __init__(self, readers: "Readers", descriptor: Descriptor) -> None:
        self._readers = readers
        self._descriptor = descriptor
        self._special = _SPECIAL.get(descriptor.full_name)
        self._slots: dict[str, Put] | None = None

    @property
    def slots(self) -> dict[str, Put]:
        """By the names that the fields have in JSON. Made when first used: types contain themselves."""
        if self._slots is None:
            fields = self._readers.fields(self._descriptor)
            self._slots = {name_in_json(field): _slot(self._readers, field) for field in fields}
        return self._slots

    def nested(self, message: Message, before: Any, now: Any) -> None:
        """The message as a field's value."""
        if self._special is not None:
            self._special(self._readers, message, before, now)
        elif type(now) is str:
            emptied(message, self._descriptor)
        else:
            self.members(message, before, now)

    def wrapped(self, message: Message, before: Any, now: Any) -> None:
        """The message where a type that is no object in JSON stands under ``value``."""
        if self._special is None:
            self.members(message, before, now)
        else:
            _same_names(before, now)
            self.nested(message, before["value"], now["value"])

    def members(self, message: Message, before: Any, now: Any) -> None:
        if type(before) is not dict or type(now) is not dict or len(before) != len(now):
            raise Unrestorable(_RENAMED)
        slots = self._slots or self.slots
        for name, old in before.items():
            new = now.get(name, _NOT_THERE)
            if new != old:
                if new is _NOT_THERE:
                    raise Unrestorable(_RENAMED)
                slots[name](message, old, new)


_NOT_THERE: Any = object()
_NO_TEXT = "a masked value that is no text"
_RENAMED = "masking changed the names of fields"


def emptied(message: Message, descriptor: Descriptor) -> None:
    """Without content, but with the fields that a reader requires."""
    clear(message)
    for field in descriptor.fields:
        if field.is_required and field.type in SUBMESSAGE:
            inner = getattr(message, field.name)
            set_in_parent(inner)
            emptied(inner, field.message_type)
        elif field.is_required:
            setattr(message, field.name, field.default_value)


def _same_names(before: Any, now: Any) -> None:
    if type(before) is not dict or type(now) is not dict or before.keys() != now.keys():
        raise Unrestorable(_RENAMED)


def _slot(readers: "Readers", field: Field) -> Put:
    """How one field is changed."""
    name, default = field.name, field.default_value

    def held(message: Message) -> Any:
        return message.Extensions[field] if field.is_extension else getattr(message, name)

    def put_map(message: Message, before: Any, now: Any) -> None:
        entries(held(message), before, now, key, change)

    def put_list(message: Message, before: Any, now: Any) -> None:
        elements(held(message), before, now, change)

    def put_message(message: Message, before: Any, now: Any) -> None:
        nested(held(message), before, now)

    def put_text(message: Message, before: Any, now: Any) -> None:
        if type(now) is not str:
            raise Unrestorable(_NO_TEXT)
        setattr(message, name, now)

    def put_other(message: Message, before: Any, now: Any) -> None:
        value = new_value(field, now, default)
        if field.is_extension:
            message.Extensions[field] = value
        else:
            setattr(message, name, value)

    if is_map(field):
        key = key_of(field.message_type.fields_by_name["key"])
        change = _inside(readers, field.message_type.fields_by_name["value"])
        return put_map
    if field.is_repeated:
        change = _inside(readers, field)
        return put_list
    if field.type in SUBMESSAGE:
        nested = readers.restorer(field.message_type).nested
        return put_message
    return put_text if field.type == STRING and not field.is_extension else put_other


def _inside(readers: "Readers", field: Field) -> Change:
    """How one element of a list or one value of a map is changed."""

    def message(container: Any, at: Any, before: Any, now: Any) -> None:
        nested(container[at], before, now)

    def scalar(container: Any, at: Any, before: Any, now: Any) -> None:
        container[at] = new_value(field, now, _zero(field))

    if field.type not in SUBMESSAGE:
        return scalar
    nested = readers.restorer(field.message_type).nested
    return message


def new_value(field: Field, now: Any, default: Any) -> Any:
    # Masking writes texts and nothing else; whatever comes otherwise was not made by it.
    if type(now) is not str:
        raise Unrestorable(_NO_TEXT)
    if field.type == BYTES:
        return bytes_of(now)
    return now if field.type == STRING else default


def _zero(field: Field) -> Any:
    if field.type == ENUM:
        return field.enum_type.values[0].number
    return False if field.type == BOOL else 0.0 if field.type in FLOATS else 0


def elements(container: Any, before: Any, now: Any, change: Change) -> None:
    """The elements of a list."""
    if type(now) is str:
        del container[:]
        return
    if type(before) is not list or type(now) is not list or len(before) != len(now):
        raise Unrestorable("masking changed the length of a list")
    for at, old in enumerate(before):
        new = now[at]
        if new != old:
            change(container, at, old, new)


def entries(container: Any, before: Any, now: Any, key_of: Callable[[str], Any], change: Change) -> None:
    """The entries of a map, of which masking may have renamed some. Where a key is a number, such an entry goes."""
    if type(now) is str:
        container.clear()
        return
    # Attack: two entries that masking gives one name are one entry to the reader, and the other's value is lost.
    if type(before) is not dict or type(now) is not dict or len(before) != len(now):
        raise Unrestorable("masking changed the size of a map")
    renamed: list[tuple[Any, str]] = []
    for (old_name, old), (name, new) in zip(before.items(), now.items(), strict=True):
        key = key_of(old_name)
        if old != new:
            change(container, key, old, new)
        if name != old_name:
            renamed.append((key, name))
    moved = [(name, _taken(container, key)) for key, name in renamed]
    for name, value in moved if key_of is str else ():
        if hasattr(value, "DESCRIPTOR"):
            copy_from(container[name], value)
        else:
            container[name] = value


def _taken(container: Any, key: Any) -> Any:
    value = container[key]
    if hasattr(value, "DESCRIPTOR"):
        kept = type(value)()
        copy_from(kept, value)
        value = kept
    del container[key]
    return value


# The well-known types: what undoes special.py.

Special = Callable[["Readers", Message, Any, Any], None]


def _cleared(readers: "Readers", message: Message, before: Any, now: Any) -> None:
    clear(message)


def _wrapper(readers: "Readers", message: Message, before: Any, now: Any) -> None:
    field = message.DESCRIPTOR.fields_by_name["value"]
    message.value = new_value(field, now, field.default_value)


def _struct(readers: "Readers", message: Message, before: Any, now: Any) -> None:
    entries(message.fields, before, now, str, _value_in)


def _list(readers: "Readers", message: Message, before: Any, now: Any) -> None:
    elements(message.values, before, now, _value_in)


def _value_in(container: Any, at: Any, before: Any, now: Any) -> None:
    _value(None, container[at], before, now)


def _value(readers: Any, message: Message, before: Any, now: Any) -> None:
    kind = which(message, "kind")
    if type(now) is str:
        message.string_value = now  # a Value holds a text whatever it held before
    elif kind == "struct_value":
        _struct(readers, message.struct_value, before, now)
    elif kind == "list_value":
        _list(readers, message.list_value, before, now)
    else:
        raise Unrestorable(_NO_TEXT)


def _any(readers: "Readers", message: Message, before: Any, now: Any) -> None:
    if type(now) is str:
        clear(message)
        return
    _same_names(before, now)
    url = message.type_url
    if before.get("@type") != url or now.get("@type") != url:
        raise Unrestorable("masking changed the type of an Any")
    reader = readers.named(url.rpartition("/")[2]) if "/" in url else None
    if reader is None:
        message.value = bytes_of(now["value"])
        return
    inner = reader.parse(message.value)
    without = [{name: value for name, value in of.items() if name != "@type"} for of in (before, now)]
    readers.restorer(reader.descriptor).wrapped(inner, *without)
    message.value = reader.write(inner)


_SPECIAL: dict[str, Special] = {
    special.TIMESTAMP: _cleared,
    special.DURATION: _cleared,
    special.STRUCT: _struct,
    special.VALUE: _value,
    special.LIST: _list,
    special.ANY: _any,
    **dict.fromkeys(special.WRAPPERS, _wrapper),
}
