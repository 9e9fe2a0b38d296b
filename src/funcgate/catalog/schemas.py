"""Schemas of an OpenAPI document to JSON Schema 2020-12, with every reference inside: ``#/$defs/NAME``.

Refuses references that leave the document: nothing is fetched, and no other file is read.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

Where = tuple[str | int, ...]
Complain = Callable[[Where, str], None]

_ONE = frozenset({"items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else",
                  "unevaluatedItems", "unevaluatedProperties", "contentSchema"})  # fmt: skip
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP = frozenset({"properties", "patternProperties", "dependentSchemas"})
_DROPPED = frozenset({"example", "examples", "xml", "externalDocs", "discriminator", "deprecated", "$comment", "nullable",
                      "$defs", "definitions"})  # fmt: skip
_UNREADABLE = frozenset({"$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"})
_BOUNDS = {"int32": (-(1 << 31), (1 << 31) - 1), "int64": (-(1 << 63), (1 << 63) - 1)}
_NAME = re.compile(r"#/(?:components/schemas|\$defs)/([A-Za-z0-9._-]+)")


class Definitions(dict[str, Any]):
    """The schemas that references name, by name; filled while loading, then only read."""

    def __init__(self) -> None:
        super().__init__()
        self._named_in: dict[str, tuple[str, ...]] = {}

    def reached_from(self, schema: Any) -> dict[str, Any]:
        """Those that the schema reaches, cycles and all. Each definition is searched once, however many schemas reach it."""
        reached: dict[str, Any] = {}
        open_ends = list(_names_in(schema))
        while open_ends:
            name = open_ends.pop()
            if name in self and name not in reached:
                reached[name] = self[name]
                if name not in self._named_in:
                    self._named_in[name] = tuple(_names_in(self[name]))
                open_ends += self._named_in[name]
        return reached


class Schemas:
    """The schemas of one document. `defs` fills as references are met; each is translated once."""

    def __init__(self, document: Mapping[str, Any], is_30: bool, complain: Complain) -> None:
        self.defs = Definitions()
        self._document = document
        self._is_30 = is_30
        self._complain = complain
        self._names: dict[str, str] = {}
        self._waiting: list[tuple[str, Where]] = []

    def translate(self, schema: Any, where: Where) -> dict[str, Any] | bool:
        """The schema in draft 2020-12. What is wrong with it is told to `complain`."""
        translated = self._translate(schema, where)
        while self._waiting:  # a list, not a recursion: the chains of a large description are longer than the stack
            name, path = self._waiting.pop()
            self.defs[name] = self._translate(self._at(path), path)
        return translated

    def _translate(self, schema: Any, where: Where) -> dict[str, Any] | bool:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            self._complain(where, "a schema is a mapping")
            return False
        if "$ref" in schema:
            name = self._define(schema["$ref"], where)
            if self._is_30:  # OpenAPI 3.0.4, Reference Object: whatever stands beside it is ignored
                return {"$ref": f"#/$defs/{name}"}
        translated = {key: self._keyword(key, value, where) for key, value in schema.items() if _is_kept(key)}
        if "$ref" in schema:
            translated["$ref"] = f"#/$defs/{name}"
        for key in _UNREADABLE & schema.keys():
            self._complain(
                (*where, key), f"{key} is not read; use $ref with a pointer such as #/components/schemas/NAME"
            )
            del translated[key]
        if self._is_30:
            _as_2020(schema, translated)
        _bound_integers(translated)
        return translated

    def resolve(self, node: Any, where: Where) -> tuple[Any, Where]:
        """What a chain of references ends at, and where that is. None, with a complaint, if it ends nowhere."""
        seen = set()
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            pointer = node["$ref"]
            if pointer in seen:
                self._complain(where, f"{pointer} refers to itself")
                return None, where
            seen.add(pointer)
            path = self._path(pointer, where)
            if path is None:
                return None, where
            node, where = self._at(path), path
        return node, where

    def _keyword(self, key: str, value: Any, where: Where) -> Any:
        place = (*where, key)
        if key in _ONE:
            return self._translate(value, place)
        if key in _LIST and isinstance(value, list):
            return [self._translate(item, (*place, at)) for at, item in enumerate(value)]
        if key in _MAP and isinstance(value, dict):
            return {name: self._translate(item, (*place, name)) for name, item in value.items()}
        return value

    def _define(self, pointer: Any, where: Where) -> str:
        """The name in `defs` of what the pointer points at."""
        known = self._names.get(pointer) if isinstance(pointer, str) else None
        if known is not None:
            return known
        path = self._path(pointer, where)
        found = _NAME.fullmatch(pointer) if path is not None else None
        name = found[1] if found is not None and found[1] not in self.defs else f"ref-{len(self.defs)}"
        if path is None:
            self.defs.setdefault("unresolved", True)
            return "unresolved"
        self._names[pointer] = name
        self.defs[name] = True  # taken; what it stands for comes when the schema at hand is done
        self._waiting.append((name, path))
        return name

    def _path(self, pointer: Any, where: Where) -> Where | None:
        """A local pointer (RFC 6901, section 6) as a path to something that is there, else None and a complaint."""
        # Attack: a reference to a URL or to another file makes the gateway fetch what the author of the file likes.
        if not isinstance(pointer, str) or not pointer.startswith("#"):
            self._complain(where, "$ref leaves this file; bundle the description into one file")
            return None
        if not pointer.startswith("#/"):
            self._complain(where, f"$ref {pointer} is not a pointer such as #/components/schemas/NAME")
            return None
        path = tuple(unquote(part).replace("~1", "/").replace("~0", "~") for part in pointer[2:].split("/"))
        if self._at(path) is None:
            self._complain(where, f"$ref {pointer} points at nothing")
            return None
        return path

    def _at(self, path: Where) -> Any:
        node: Any = self._document
        for part in path:
            if isinstance(node, list) and str(part).isdecimal() and int(part) < len(node):
                node = node[int(part)]
            elif isinstance(node, dict) and part in node:
                node = node[part]
            else:
                return None
        return node


def _is_kept(key: str) -> bool:
    return key not in _DROPPED and key != "$ref" and not key.startswith("x-")


def _as_2020(schema: Mapping[str, Any], translated: dict[str, Any]) -> None:
    """OpenAPI 3.0.4, Schema Object: `nullable` widens `type`; exclusive bounds are flags."""
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        translated["type"] = [schema["type"], "null"]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        flag = translated.get(exclusive)
        if isinstance(flag, bool):
            del translated[exclusive]
            if flag and bound in translated:
                translated[exclusive] = translated.pop(bound)


def _bound_integers(schema: dict[str, Any]) -> None:
    # Attack: 4294967297 is judged as it is written, and is 1 for a target that reads it into 32 bits.
    if schema.get("type") in ("integer", ["integer", "null"]) and schema.get("format") in _BOUNDS:
        low, high = _BOUNDS[schema["format"]]
        least, most = schema.get("minimum", low), schema.get("maximum", high)
        if isinstance(least, int | float) and isinstance(most, int | float):
            schema["minimum"], schema["maximum"] = max(least, low), min(most, high)


def name_of(pointer: Any) -> str:
    """The name in ``#/$defs/NAME``, or ""."""
    return pointer[8:] if isinstance(pointer, str) and pointer.startswith("#/$defs/") else ""


def _names_in(schema: Any) -> Iterator[str]:
    open_ends = [schema]
    while open_ends:
        node = open_ends.pop()
        if isinstance(node, list):
            open_ends += node
        elif isinstance(node, Mapping):
            open_ends += node.values()
            if name_of(node.get("$ref")):
                yield name_of(node["$ref"])
