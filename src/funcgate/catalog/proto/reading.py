"""Messages to JSON values: one reader per message type, made once; then only tables are looked up.

It is given messages that protobuf has parsed, and refuses what a judge could not see: see walk.py for the limits.
"""

from collections.abc import Callable
from threading import RLock
from typing import Any

from . import special
from .kinds import SUBMESSAGE, Convert, converter, is_always_there, is_map, key_text, name_in_json
from .pool import Pool
from .quick import Shape, Tables
from .restoring import Put, Restorer
from .upb import (
    DecodeError,
    Descriptor,
    EncodeError,
    Field,
    Message,
    byte_size,
    discard_unknown,
    list_fields,
    parse_into,
    serialized,
)
from .walk import MessageLimits, Unreadable, Walk

REDACTED = "[REDACTED:field]"


class Readers:
    """Every reader for one use of one set of descriptors. `judges`: for arguments, where fields without presence are there
    also when they have their default, and NaN is refused. Else for answers, where `debug_redact` hides fields."""

    def __init__(self, pool: Pool, *, judges: bool, pass_unknown: bool) -> None:
        self.judges = judges
        self.pass_unknown = pass_unknown
        self._pool = pool
        self._ready: dict[str, Reader] = {}
        self._making: dict[str, Reader] = {}
        self._lock = RLock()
        self._restorers: dict[str, Restorer] = {}
        self.tables = Tables(lambda descriptor: self.of(descriptor).shape)

    def of(self, descriptor: Descriptor) -> "Reader":
        """The reader of a type; it is whole, with those that it reaches, when this returns (to others than `fill`)."""
        ready = self._ready.get(descriptor.full_name)
        if ready is not None:
            return ready
        with self._lock:  # what an Any holds is met when calls are read, large ones in other threads
            if descriptor.full_name in self._making:
                return self._making[descriptor.full_name]
            self._make(descriptor)
            return self._ready[descriptor.full_name]

    def _make(self, descriptor: Descriptor) -> None:
        waiting = [descriptor]
        while waiting:  # a list, not a recursion: chains of types are longer than the stack
            type_ = waiting.pop()
            if type_.full_name not in self._ready and type_.full_name not in self._making:
                self._making[type_.full_name] = Reader(self, type_, self._pool.new(type_))
                fields = self.fields(type_)
                waiting += [field.message_type for field in fields if field.type in SUBMESSAGE]
        for reader in self._making.values():
            reader.fill()
        self._ready.update(self._making)
        self._making = {}

    def named(self, name: str) -> "Reader | None":
        """The reader of the type with this full name, None when nobody knows it."""
        ready = self._ready.get(name)
        if ready is not None:
            return ready
        descriptor = self._pool.type_named(name)
        return None if descriptor is None else self.of(descriptor)

    def fields(self, descriptor: Descriptor) -> list[Field]:
        """The fields of a type, and its extensions."""
        return [*descriptor.fields, *self._pool.extensions(descriptor)]

    def restorer(self, descriptor: Descriptor) -> Restorer:
        """How masked JSON is put back into messages of a type."""
        made = self._restorers.get(descriptor.full_name)
        if made is None:
            made = self._restorers[descriptor.full_name] = Restorer(self, descriptor)
        return made

    def nested(self, descriptor: Descriptor) -> Convert:
        """How a message of a type is read where it is a field's value."""
        make = special.NESTED.get(descriptor.full_name)
        return self.of(descriptor).read if make is None else make(self)


class Reader:
    """Reads messages of one type."""

    __slots__ = (
        "_cost", "_fields", "_is_object", "_lists", "_maps", "_readers", "_redacts", "_special", "_template", "descriptor",
        "new",
    )  # fmt: skip

    def __init__(self, readers: Readers, descriptor: Descriptor, new: type) -> None:
        self.new: Callable[[], Message] = new
        self._readers = readers
        self.descriptor = descriptor

    def __repr__(self) -> str:
        return f"Reader({self.descriptor.full_name})"

    def fill(self) -> None:
        """Make the tables. Apart from the constructor because types contain themselves."""
        readers, descriptor = self._readers, self.descriptor
        make = special.NESTED.get(descriptor.full_name)
        self._special = None if make is None else make(readers)
        self._is_object = descriptor.full_name in special.OBJECTS
        fields = readers.fields(descriptor)
        self._fields: dict[Field, tuple[str, Convert | None]] = {
            field: (name_in_json(field), self._convert(field)) for field in fields
        }
        plain = [field for field in fields if readers.judges and is_always_there(field)]
        self._template = {name_in_json(field): self._default(field) for field in plain if not field.is_repeated}
        self._lists = tuple(name_in_json(field) for field in plain if field.is_repeated and not is_map(field))
        self._maps = tuple(name_in_json(field) for field in plain if is_map(field))
        self._cost = 1 + len(plain)
        hides = [] if readers.judges else [field for field in fields if field.GetOptions().debug_redact]
        slots = readers.restorer(descriptor).slots if hides else {}
        self._redacts: dict[Field, Put] = {field: slots[name_in_json(field)] for field in hides}

    @property
    def shape(self) -> Shape:
        """What a compiled table of the type has to know."""
        return Shape(self._template, self._lists, self._maps, self._cost, bool(self._redacts))

    def read(self, message: Message, walk: Walk) -> dict[str, Any]:
        """The message by field names. Raises `Unreadable`."""
        walk.left -= self._cost
        walk.depth -= 1
        if walk.left < 0 or walk.depth < 0:
            walk.take(0)
            walk.depth += 1
            walk.down()
        out = self._template.copy()
        for name in self._lists:
            out[name] = []
        for name in self._maps:
            out[name] = {}
        found = list_fields(message)
        if self._redacts:
            found = self._redacted(message, found, walk)
        table = self._fields
        for field, value in found:
            name, convert = table[field]
            out[name] = value if convert is None else convert(value, walk)
        walk.depth += 1
        return out

    def table(self) -> Any:
        """The type's compiled table; None where there is none."""
        return self._readers.tables.of(self.descriptor)

    def whole(self, message: Message, walk: Walk) -> dict[str, Any]:
        """The message where it is no field's value: always an object, ``{"value": …}`` for what is none in JSON."""
        if self._special is not None and self._is_object:
            found: dict[str, Any] = self._special(message, walk)
            return found
        return self.wrapped(message, walk)

    def wrapped(self, message: Message, walk: Walk) -> dict[str, Any]:
        """The same in an Any, where an object of any names would hide the type that stands beside it."""
        return self.read(message, walk) if self._special is None else {"value": self._special(message, walk)}

    def restore(self, message: Message, before: Any, now: Any) -> None:
        """Put into the message what masking has made of what `whole` read. Raises `Unrestorable`."""
        restorer = self._readers.restorer(self.descriptor)
        if self._is_object:
            restorer.nested(message, before, now)
        else:
            restorer.wrapped(message, before, now)

    def parse(self, data: bytes) -> Message:
        """Raises `Unreadable` for what is not such a message, and for fields that are not declared unless they may pass."""
        message = self.new()
        try:
            parse_into(message, data)
            if not self._readers.pass_unknown:
                self.check_known(message)
        except DecodeError:
            raise Unreadable("not a message of the declared type") from None
        except EncodeError:
            raise Unreadable("a required field is missing") from None
        return message

    @staticmethod
    def check_known(message: Message) -> None:
        """Raises `Unreadable` for fields that are not declared, at any depth. Those in Any are looked at when it is opened."""
        size = byte_size(message)
        discard_unknown(message)
        # Attack: a field that the target knows and the judge does not, also in a map's entry or a closed enum.
        if byte_size(message) != size:
            raise Unreadable("a field that is not declared")

    def write(self, message: Message) -> bytes:
        """The one way to write it (map keys in order). Raises `Unreadable` when a required field is missing."""
        try:
            return bytes(serialized(message, deterministic=True))
        except EncodeError:
            raise Unreadable("a required field is missing") from None

    def _redacted(self, message: Message, found: list[tuple[Field, Any]], walk: Walk) -> list[tuple[Field, Any]]:
        hidden = [self._redacts[field] for field, _ in found if field in self._redacts]
        if not hidden:
            return found
        for put in hidden:
            put(message, None, REDACTED)
        walk.redacted += len(hidden)
        left: list[tuple[Field, Any]] = list_fields(message)
        return left

    def _convert(self, field: Field) -> Convert | None:
        if is_map(field):
            return self._map(field.message_type.fields_by_name["value"])
        one = self._one(field)
        if not field.is_repeated:
            return one
        if one is None:
            return _plain_list
        convert = one

        def many(values: Any, walk: Walk) -> list[Any]:
            walk.take(len(values))
            return [convert(value, walk) for value in values]

        return many

    def _map(self, of: Field) -> Convert:
        convert = self._one(of)

        def entries(values: Any, walk: Walk) -> dict[str, Any]:
            walk.take(len(values))
            if convert is None:
                return {key_text(key): value for key, value in values.items()}
            return {key_text(key): convert(value, walk) for key, value in values.items()}

        return entries

    def _one(self, field: Field) -> Convert | None:
        if field.type in SUBMESSAGE:
            return self._readers.nested(field.message_type)
        return converter(field, strict_numbers=self._readers.judges)

    def _default(self, field: Field) -> Any:
        convert = self._one(field)
        return field.default_value if convert is None else convert(field.default_value, Walk(MessageLimits()))


def _plain_list(values: Any, walk: Walk) -> list[Any]:
    walk.take(len(values))
    return list(values[:])
