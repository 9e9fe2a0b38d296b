"""Object schemas that are flat and plain, as tables for the compiled quick way (_native.pyx).

It refuses (None) schemas with anything that it does not know: those are the validator's alone.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from funcgate.core.native import half

from .facts import Defs, Schema
from .schemas import name_of

native = half("funcgate.catalog._native")
OTHERS, STRING, INTEGER, BOOLEAN, NUMBER, LIST = range(6)
_MOST = 64
_INF = float("inf")
_HUGE = (1 << 63) - 1
_EXACT = 1 << 53
_SAYS_NOTHING = frozenset({
    "description", "title", "default", "example", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "format",
})  # fmt: skip
_OBJECT = _SAYS_NOTHING | {"type", "properties", "required", "additionalProperties"}
_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_KNOWN: Mapping[str, tuple[int, frozenset[str]]] = {
    "string": (STRING, _SAYS_NOTHING | {"type", "enum", "const", "minLength", "maxLength"}),
    "integer": (INTEGER, _SAYS_NOTHING | {"type", "enum", "const", *_BOUNDS}),
    "number": (NUMBER, _SAYS_NOTHING | {"type", *_BOUNDS}),
    "boolean": (BOOLEAN, _SAYS_NOTHING | {"type"}),
    "array": (LIST, _SAYS_NOTHING | {"type", "items", "minItems", "maxItems"}),
}
_LIMITS = {STRING: ("minLength", "maxLength"), LIST: ("minItems", "maxItems")}


class Plain(Struct, frozen=True):
    """One member. `least` and `most` are of a length or an integer, `low` and `high` of a number; with `above` and `below` the
    bounds are outside. Of kind `OTHERS`: not plain."""

    name: str
    kind: int = OTHERS
    least: int = 0
    most: int = _HUGE
    low: float = -_INF
    high: float = _INF
    above: bool = False
    below: bool = False
    enum: frozenset[Any] | None = None
    item: "Plain | None" = None


def quick(schema: Schema, defs: Defs) -> Any:
    """The compiled `Flat` of a schema, None where there is none."""
    found = flat(schema, defs)
    return None if native is None or found is None else native.Flat(*found)


def flat(schema: Schema, defs: Defs) -> tuple[Sequence[Plain], Collection[str]] | None:
    """The members of an object schema and those that are required; None for schemas that say more."""
    schema = _meant(schema, defs)
    if not isinstance(schema, Mapping) or schema.get("type") != "object" or not schema.keys() <= _OBJECT:
        return None
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(schema.get("additionalProperties", True), bool | Mapping):
        return None
    if not 0 < len(properties) <= _MOST or not properties.keys() >= set(required):
        return None
    if any('"' in name or "\\" in name or not name.isprintable() for name in properties):
        return None
    return [plain(name, _meant(member, defs)) for name, member in properties.items()], required


def _meant(schema: Schema, defs: Defs) -> Schema:
    """What a schema that is a reference and nothing else refers to."""
    for _ in range(_MOST):
        if not isinstance(schema, Mapping) or schema.keys() != {"$ref"} or name_of(schema["$ref"]) not in defs:
            break
        schema = defs[name_of(schema["$ref"])]
    return schema


def plain(name: str, schema: Schema, deep: bool = True) -> Plain:
    """One member."""
    named = schema.get("type") if isinstance(schema, Mapping) else None
    if not isinstance(schema, Mapping) or not isinstance(named, str) or named not in _KNOWN:
        return Plain(name)
    kind, words = _KNOWN[named]
    if not schema.keys() <= words:
        return Plain(name)
    if kind in (INTEGER, NUMBER):
        return _number(name, kind, schema)
    item = None
    if kind == LIST:
        item = plain("", schema.get("items", True), deep=False)
        if not deep or item.kind == OTHERS:
            return Plain(name)
    low, high = _LIMITS.get(kind, ("", ""))
    least, most = schema.get(low, 0), schema.get(high, _HUGE)
    enum = _enum(schema, str)
    if (
        type(least) is not int
        or type(most) is not int
        or not 0 <= least <= _HUGE
        or not 0 <= most <= _HUGE
        or enum == ()
    ):
        return Plain(name)
    return Plain(name, kind, least, most, enum=enum or None, item=item)


def _number(name: str, kind: int, schema: Mapping[str, Any]) -> Plain:
    bounds = {word: schema[word] for word in _BOUNDS if word in schema}
    enum = _enum(schema, int)
    if any(type(bound) is not int or abs(bound) >= _HUGE for bound in bounds.values()) or enum == ():
        # A bound that is a fraction, `true` as OpenAPI 3.0 has it, or one whose neighbour C cannot hold.
        return Plain(name)
    least = max(bounds.get("minimum", -_HUGE), bounds.get("exclusiveMinimum", -_HUGE - 1) + 1)
    most = min(bounds.get("maximum", _HUGE), bounds.get("exclusiveMaximum", _HUGE + 1) - 1)
    if kind == INTEGER:
        return Plain(name, kind, least, most, enum=enum or None)
    low = max(bounds.get("minimum", -_INF), bounds.get("exclusiveMinimum", -_INF))
    high = min(bounds.get("maximum", _INF), bounds.get("exclusiveMaximum", _INF))
    if any(abs(bound) > _EXACT for bound in bounds.values()):
        return Plain(name)
    above, below = low == bounds.get("exclusiveMinimum"), high == bounds.get("exclusiveMaximum")
    return Plain(name, kind, low=float(low), high=float(high), above=above, below=below)


def _enum(schema: Mapping[str, Any], kind: type) -> frozenset[Any] | tuple[()] | None:
    """The values that are let through, None for any; () for a list that is not all of this type."""
    if "enum" not in schema and "const" not in schema:
        return None
    lists = [schema["enum"]] if "enum" in schema else []
    lists += [[schema["const"]]] if "const" in schema else []
    if not all(isinstance(values, list) and values and all(type(one) is kind for one in values) for values in lists):
        return ()
    return frozenset.intersection(*(frozenset(values) for values in lists)) or ()
