"""What a schema says about the value's outer form: its types, its members, and the names that look like them.

It looks through $ref, allOf, anyOf and oneOf. It validates nothing: the validator does.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from .schemas import name_of

Schema = Mapping[str, Any] | bool
Defs = Mapping[str, Any]

_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_SAME_VALUE = ("allOf", "anyOf", "oneOf")
_BELOW = frozenset({"properties", "items", "contains", "prefixItems", "additionalProperties", "patternProperties",
                    "unevaluatedItems", "unevaluatedProperties"})  # fmt: skip
_ALSO_SAME = ("not", "if", "then", "else")


def types(schema: Schema, defs: Defs) -> frozenset[str]:
    """The JSON types that the schema lets through, as far as its outer form tells."""
    if isinstance(schema, bool):
        return _TYPES if schema else frozenset()
    found = _own_types(schema)
    if name_of(schema.get("$ref")):
        found &= types(defs[name_of(schema["$ref"])], defs)
    for part in schema.get("allOf", ()):
        found &= types(part, defs)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            found &= frozenset().union(*(types(part, defs) for part in schema[word]))
    return found


def _own_types(schema: Mapping[str, Any]) -> frozenset[str]:
    named = schema.get("type")
    if isinstance(named, str | list):
        chosen = frozenset([named] if isinstance(named, str) else named)
        return chosen | {"integer"} if "number" in chosen else chosen
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(values, list):
        return frozenset(_type_of(value) for value in values)
    return _TYPES


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return names.get(type(value), "object")


def says_object(schema: Schema, defs: Defs) -> bool:
    """Whether the value is an object, or null: by its type, or by naming properties without naming a type."""
    found = types(schema, defs) - {"null"}
    names_some = any("properties" in part for part, _ in plain(schema, defs))
    return found == {"object"} or (names_some and found == _TYPES - {"null"})


def plain(schema: Schema, defs: Defs) -> list[tuple[Mapping[str, Any], bool]]:
    """The schemas that judge the very same value, and whether each of them always does (not in anyOf or oneOf)."""
    found: dict[int, tuple[Mapping[str, Any], bool]] = {}
    open_ends: list[tuple[Any, bool]] = [(schema, True)]
    while open_ends:
        part, always = open_ends.pop()
        if not isinstance(part, Mapping) or (id(part) in found and found[id(part)][1] >= always):
            continue
        found[id(part)] = part, always
        name = name_of(part.get("$ref"))
        if name in defs:
            open_ends.append((defs[name], always))
        for word in _SAME_VALUE:
            open_ends.extend((branch, always and word == "allOf") for branch in part.get(word, ()))
        open_ends.extend((part[word], False) for word in ("then", "else") if word in part)
    return list(found.values())


class Members(Struct, frozen=True):
    """The members that an object schema declares. `closed` means that no others are let through."""

    schemas: Mapping[str, Schema]
    required: frozenset[str]
    closed: bool


def members(schema: Schema, defs: Defs) -> Members:
    """A member that several parts declare must fit all of them, or any of them where they are alternatives."""
    certain: dict[str, list[Schema]] = {}
    possible: dict[str, list[Schema]] = {}
    required: set[str] = set()
    closed = False
    for part, always in plain(schema, defs):
        for name, member in part.get("properties", {}).items():
            (certain if always else possible).setdefault(name, []).append(member)
        if always:
            required.update(part.get("required", ()))
            closed = closed or part.get("additionalProperties") is False or part.get("unevaluatedProperties") is False
    declared: dict[str, Schema] = {}
    for name in {**certain, **possible}:
        all_of = list(certain.get(name, []))
        if not all_of:
            all_of = [_one_or(possible[name], "anyOf")]
        declared[name] = _one_or(all_of, "allOf")
    return Members(declared, frozenset(required), closed)


def _one_or(schemas: list[Schema], word: str) -> Schema:
    return schemas[0] if len(schemas) == 1 else {word: schemas}


def endless(defs: Defs) -> str:
    """The name of a definition that, to judge a value, must first judge the same value by itself; "" if there is none."""
    state: dict[str, bool] = {}  # False while its references are followed, True when they are done

    def follow(name: str) -> str:
        if name in state:
            return "" if state[name] else name
        state[name] = False
        for other in _judges_same(defs[name]):
            found = follow(other) if other in defs else ""
            if found:
                return found
        state[name] = True
        return ""

    return next((found for name in defs if (found := follow(name))), "")


def _judges_same(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if name_of(schema.get("$ref")):
            yield name_of(schema["$ref"])
        for word in _SAME_VALUE:
            parts = schema.get(word)
            for part in parts if isinstance(parts, list) else ():
                yield from _judges_same(part)
        for word in _ALSO_SAME:
            yield from _judges_same(schema.get(word))


class Shape:
    """The declared names at every level of a value, to find names that only look like one of them."""

    __slots__ = ("folded", "items", "names", "others", "plain")

    def __init__(self) -> None:
        self.names: dict[str, Shape | None] = {}
        self.folded: frozenset[str] = frozenset()
        self.plain: frozenset[str] = frozenset()  # the names with nothing to look at below them
        self.items: Shape | None = None
        self.others: Shape | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no name at any level is declared, so that nothing can look like one."""
        return not self.names and self.items is None and self.others is None

    @property
    def is_deep(self) -> bool:
        """Whether there are names below the first level."""
        return self.items is not None or self.others is not None or any(self.names.values())

    def lookalike(self, value: Any) -> bool:
        """Whether a member at any level is named as a declared one is, but for the case of its letters."""
        if isinstance(value, dict):
            if value.keys() <= self.plain:
                return False
            for name, item in value.items():
                if name in self.names:
                    below = self.names[name]
                elif name.casefold() in self.folded:
                    return True
                else:
                    below = self.others
                if below is not None and below.lookalike(item):
                    return True
        elif isinstance(value, list) and self.items is not None:
            return any(map(self.items.lookalike, value))
        return False


class Shapes:
    """Makes shapes, each once for one load: the schemas of a large description reach one another in many ways."""

    def __init__(self, defs: Defs) -> None:
        self._defs = defs
        self._known: dict[frozenset[int], Shape | None] = {}
        self._waiting: list[tuple[Shape, list[Mapping[str, Any]]]] = []

    def of(self, schema: Schema) -> Shape | None:
        """The shape of the values that the schema judges; None if it declares no names at any level."""
        made = self._get([schema])
        filled: list[Shape] = []
        while self._waiting:  # a list, not a recursion: the chains of a large description are longer than the stack
            shape, parts = self._waiting.pop()
            self._fill(shape, parts)
            filled.append(shape)
        for shape in filled:
            shape.plain = frozenset(name for name, below in shape.names.items() if below is None or below.is_empty)
        return made

    def _get(self, schemas: Sequence[Schema]) -> Shape | None:
        parts = {id(part): part for schema in schemas for part, _ in plain(schema, self._defs)}
        key = frozenset(parts)
        if key not in self._known:
            says_something = any(_BELOW & part.keys() for part in parts.values())
            self._known[key] = made = Shape() if says_something else None
            if made is not None:
                self._waiting.append((made, list(parts.values())))
        return self._known[key]

    def _fill(self, made: Shape, parts: list[Mapping[str, Any]]) -> None:
        names: dict[str, list[Schema]] = {}
        items: list[Schema] = []
        others: list[Schema] = []
        for part in parts:
            for name, member in part.get("properties", {}).items():
                names.setdefault(name, []).append(member)
            items += [part[word] for word in ("items", "contains", "unevaluatedItems") if word in part]
            items += part.get("prefixItems", ())
            others += [part[word] for word in ("additionalProperties", "unevaluatedProperties") if word in part]
            others += part.get("patternProperties", {}).values()
        made.names = {name: self._get(of_name) for name, of_name in names.items()}
        made.folded = frozenset(name.casefold() for name in names)
        made.items = self._get(items)
        made.others = self._get(others)
