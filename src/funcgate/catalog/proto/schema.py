"""The JSON Schema of a method's arguments, for the type checks of policies and for people. Protobuf does the validating."""

from collections.abc import Callable, Mapping
from typing import Any

from . import special
from .kinds import BOOL, BYTES, ENUM, FLOATS, STRING, SUBMESSAGE, bounds, is_always_there, is_map, name_in_json
from .upb import Descriptor, Field

Schema = dict[str, Any]
_OPEN = 1  # FeatureSet.EnumType

_SPECIAL: Mapping[str, Schema] = {
    special.TIMESTAMP: {"type": "string", "format": "date-time"},
    special.DURATION: {"type": "string"},
    special.STRUCT: {"type": "object", "additionalProperties": True},
    special.VALUE: {},
    special.LIST: {"type": "array"},
    special.ANY: {"type": "object", "properties": {"@type": {"type": "string"}}, "additionalProperties": True},
}


def args_schema(
    descriptor: Descriptor, fields_of: Callable[[Descriptor], list[Field]], known: dict[str, Schema] | None = None
) -> Schema:
    """`fields_of` gives the fields of a type, its extensions among them. `known` keeps what was made of each type,
    for other methods.

    Fields without presence are always there; the others only when they are sent."""
    if descriptor.full_name in special.NESTED:
        inner = _of_message(descriptor)
        if descriptor.full_name in special.OBJECTS:
            return inner
        return {"type": "object", "properties": {"value": inner}, "required": ["value"], "additionalProperties": False}
    made: dict[str, Schema] = {}
    known = {} if known is None else known
    waiting = [descriptor]
    while waiting:
        type_ = waiting.pop()
        if type_.full_name in made:
            continue
        fields = fields_of(type_)
        if type_.full_name not in known:
            known[type_.full_name] = _object(fields)
        made[type_.full_name] = known[type_.full_name]
        waiting += [field.message_type for field in map(_value_field, fields) if _has_own(field)]
    root = made.pop(descriptor.full_name)
    if _mentions(descriptor.full_name, [root, *made.values()]):
        made[descriptor.full_name] = root
    return {**root, "$defs": made} if made else root


def _object(fields: list[Field]) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {name_in_json(field): _of_field(field) for field in fields},
        "additionalProperties": False,
    }
    required = [name_in_json(field) for field in fields if field.is_required or is_always_there(field)]
    return {**schema, "required": required} if required else schema


def _value_field(field: Field) -> Field:
    return field.message_type.fields_by_name["value"] if is_map(field) else field


def _has_own(field: Field) -> bool:
    return field.type in SUBMESSAGE and field.message_type.full_name not in special.NESTED


def _of_field(field: Field) -> Schema:
    if is_map(field):
        return {"type": "object", "additionalProperties": _one(_value_field(field))}
    return {"type": "array", "items": _one(field)} if field.is_repeated else _one(field)


def _one(field: Field) -> Schema:
    if field.type in SUBMESSAGE:
        return _of_message(field.message_type)
    if field.type in (STRING, BYTES):
        return {"type": "string"}
    if field.type == BOOL:
        return {"type": "boolean"}
    if field.type in FLOATS:
        return {"type": "number"}
    if field.type == ENUM:
        named = {"type": "string", "enum": [*dict.fromkeys(value.name for value in field.enum_type.values)]}
        return named if field.enum_type.is_closed else {"anyOf": [named, {"type": "integer"}]}
    low, high = bounds(field)
    return {"type": "integer", "minimum": low, "maximum": high}


def _of_message(descriptor: Descriptor) -> Schema:
    name = descriptor.full_name
    if name in special.WRAPPERS:
        return _one(descriptor.fields_by_name["value"])
    found = _SPECIAL.get(name)
    return {"$ref": f"#/$defs/{name}"} if found is None else dict(found)


def _mentions(name: str, schemas: list[Schema]) -> bool:
    wanted = f"#/$defs/{name}"
    waiting: list[Any] = [*schemas]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get("$ref") == wanted:
                return True
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return False
