"""The types that the checker knows, and how a JSON Schema becomes one.

A schema that says little becomes `dyn`: judged when the call comes. Nothing here judges a value.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from weakref import WeakValueDictionary

MAX_SCHEMA_DEPTH = 24


class Type:
    """`inner` is (element,) of a list, (key, value) of a map. `fields` are the members of a map whose members are
    declared; `open` says that it may have others, of the map's value type. `nullable` allows null besides.

    There is one object for each type, so that comparing and hashing cost the same however large the schema is."""

    __slots__ = ("__weakref__", "fields", "inner", "name", "nullable", "open")
    _known: ClassVar["WeakValueDictionary[Any, Type]"] = WeakValueDictionary()

    name: str
    inner: tuple["Type", ...]
    fields: tuple[tuple[str, "Type"], ...] | None
    open: bool
    nullable: bool

    def __new__(
        cls,
        name: str,
        inner: tuple["Type", ...] = (),
        fields: tuple[tuple[str, "Type"], ...] | None = None,
        open: bool = False,
        nullable: bool = False,
    ) -> "Type":
        key = (name, inner, fields, open, nullable)
        found = cls._known.get(key)
        if found is None:
            found = super().__new__(cls)
            found.name, found.inner, found.fields, found.open, found.nullable = key
            cls._known[key] = found
        return found

    def __str__(self) -> str:
        if self.fields is not None:
            return "object"
        name = self.name.removeprefix("google.protobuf.").lower() if "." in self.name else self.name
        inner = f"({', '.join(map(str, self.inner))})" if self.inner else ""
        return f"{'null' if name == 'null_type' else name}{inner}{' or null' if self.nullable else ''}"


DYN = Type("dyn")
BOOL, INT, UINT, DOUBLE = Type("bool"), Type("int"), Type("uint"), Type("double")
STRING, BYTES, NULL, TYPE = Type("string"), Type("bytes"), Type("null_type"), Type("type")
TIMESTAMP, DURATION = Type("google.protobuf.Timestamp"), Type("google.protobuf.Duration")
NUMBERS = frozenset({"int", "uint", "double"})
BY_NAME = {kind.name: kind for kind in (BOOL, INT, UINT, DOUBLE, STRING, BYTES, NULL, TYPE, TIMESTAMP, DURATION, DYN)}


def list_of(element: Type) -> Type:
    return Type("list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", (key, value))


BY_NAME |= {"list": list_of(DYN), "map": map_of(DYN, DYN)}


def comparable(left: Type, right: Type) -> bool:
    """Whether the two can be equal: numbers with numbers, null with what may be null, else the same type."""
    if "dyn" in (left.name, right.name):
        return True
    if "null_type" in (left.name, right.name):
        return left.name == right.name or left.nullable or right.nullable
    if left.name in NUMBERS and right.name in NUMBERS:
        return True
    if left.name != right.name:
        return False
    return all(comparable(a, b) for a, b in zip(left.inner, right.inner, strict=False))


def join(left: Type, right: Type) -> Type:
    """The narrowest type that holds both."""
    if left == right:
        return left
    if left.name == "null_type" and right.name != "dyn":
        return nullable(right)
    if right.name == "null_type" and left.name != "dyn":
        return nullable(left)
    if left.name != right.name or left.name == "dyn" or left.fields is not None or right.fields is not None:
        return DYN
    inner = tuple(join(a, b) for a, b in zip(left.inner, right.inner, strict=False))
    return Type(left.name, inner, nullable=left.nullable or right.nullable)


def nullable(kind: Type) -> Type:
    if kind.name in ("dyn", "null_type") or kind.nullable:
        return kind
    return Type(kind.name, kind.inner, kind.fields, kind.open, nullable=True)


def accepts(wanted: Type, given: Type) -> bool:
    """Whether an operand of type `given` may stand where a function wants `wanted`. No implicit conversion."""
    return given.name == "dyn" or wanted.name == "dyn" or given.name == wanted.name


def from_schema(schema: Mapping[str, Any]) -> Type:
    """The type of the values that a JSON Schema (draft 2020-12) describes."""
    return _Reading(schema).read(schema, 0)


class _Reading:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        # Published schemas name themselves, and each other, in so many ways that following each would never end:
        # every part is read once, and is dyn inside itself.
        self._done: dict[int, tuple[Any, Type]] = {}

    def read(self, schema: Any, depth: int) -> Type:
        if not isinstance(schema, Mapping) or depth > MAX_SCHEMA_DEPTH:
            return DYN
        if id(schema) in self._done:
            return self._done[id(schema)][1]
        self._done[id(schema)] = (schema, DYN)
        kind = self._read(schema, depth)
        self._done[id(schema)] = (schema, kind)
        return kind

    def _read(self, schema: Mapping[str, Any], depth: int) -> Type:
        if "$ref" in schema:
            return self.read(self._follow(schema["$ref"]), depth + 1)
        for word in ("oneOf", "anyOf"):
            if word in schema:
                return self._any(schema[word], depth) if "type" not in schema else DYN
        if "allOf" in schema:
            return self._all(schema, depth)
        kind = self._by_type(schema, depth)
        return nullable(kind) if schema.get("nullable") is True else kind

    def _follow(self, ref: Any) -> Any:
        if not isinstance(ref, str) or not ref.startswith("#"):
            return None
        found: Any = self._root
        for step in ref[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def _any(self, options: Any, depth: int) -> Type:
        kinds = [self.read(option, depth + 1) for option in options] if isinstance(options, list) else []
        return joined(kinds)

    def _all(self, schema: Mapping[str, Any], depth: int) -> Type:
        rest = {word: value for word, value in schema.items() if word != "allOf"}
        parts = [self.read(part, depth + 1) for part in [*schema["allOf"], rest] if part]
        if len(parts) == 1:
            return parts[0]
        if not parts or any(part.fields is None for part in parts):
            return DYN
        fields: dict[str, Type] = {}
        for part in parts:
            for name, kind in part.fields or ():
                fields[name] = kind if name not in fields or fields[name] == kind else DYN
        opened = all(part.open for part in parts)
        return Type("map", (STRING, DYN), tuple(fields.items()), opened, any(part.nullable for part in parts))

    def _by_type(self, schema: Mapping[str, Any], depth: int) -> Type:
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return joined([self._single(kind, schema, depth) for kind in kinds])
        if kinds is None:
            values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema.get("const", ...)]
            if all(type(value) in _OF_VALUE for value in values):
                return joined([_OF_VALUE[type(value)] for value in values])
            return self._object(schema, depth) if "properties" in schema else DYN
        return self._single(kinds, schema, depth)

    def _single(self, kind: Any, schema: Mapping[str, Any], depth: int) -> Type:
        if kind == "array":
            return list_of(self.read(schema.get("items"), depth + 1))
        if kind == "object":
            return self._object(schema, depth)
        return _SIMPLE.get(kind, DYN) if isinstance(kind, str) else DYN

    def _object(self, schema: Mapping[str, Any], depth: int) -> Type:
        more = schema.get("additionalProperties")
        others = self.read(more, depth + 1) if isinstance(more, Mapping) else DYN
        properties = schema.get("properties")
        if not isinstance(properties, Mapping):
            return map_of(STRING, others)
        fields = tuple((str(name), self.read(part, depth + 1)) for name, part in properties.items())
        opened = more is True or isinstance(more, Mapping) or "patternProperties" in schema
        return Type("map", (STRING, DYN if "patternProperties" in schema else others), fields, opened)


_SIMPLE = {"integer": INT, "number": DOUBLE, "string": STRING, "boolean": BOOL, "null": NULL}
_OF_VALUE: dict[type, Type] = {str: STRING, bool: BOOL, type(None): NULL}


def joined(kinds: Sequence[Type]) -> Type:
    """The type that values of all these types have together."""
    if not kinds:
        return DYN
    result = kinds[0]
    for kind in kinds[1:]:
        result = join(result, kind)
    return result
