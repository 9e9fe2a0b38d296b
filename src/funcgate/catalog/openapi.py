"""An OpenAPI 3.0 or 3.1 document to operations. `servers`, `security`, answers, callbacks and webhooks are not its business.

What it cannot read exactly is a problem, not a guess: deepObject, matrix and label styles, references out of the file.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from funcgate.core.problem import Problem

from .facts import endless
from .operation import METHODS, Body, Operation, Parameter, Place, Reader, Where
from .schemas import Schemas
from .specs import OpenApiSpec

_VERSION = re.compile(r"3\.([01])(?:\.[0-9]+)?")
_STYLES = {"path": "simple", "query": "form", "header": "simple"}
_NOT_ARGUMENTS = frozenset({"accept", "content-type", "authorization"})  # OpenAPI 3.0.4 and 3.1.1, Parameter Object
_DIALECTS = ("https://spec.openapis.org/oas/3.1/dialect/", "https://json-schema.org/draft/2020-12/schema")


def read_openapi(document: Mapping[str, Any], spec: OpenApiSpec) -> tuple[list[Operation], list[Problem]]:
    """The operations, and all problems (warnings among them). A problem's `where` is the path in the description."""
    reader = _Reader(document, spec)
    return list(reader.operations()), reader.problems


class _Reader:
    def __init__(self, document: Mapping[str, Any], spec: OpenApiSpec) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._spec = spec
        self._is_30 = self._version() == "0"
        self._schemas = Schemas(document, self._is_30, self._complain)

    def _complain(self, where: Where, text: str, warning: bool = False) -> None:
        self.problems.append(Problem(where=where, text=text, file=self._spec.openapi, warning=warning))

    def _version(self) -> str:
        found = _VERSION.fullmatch(str(self._document.get("openapi", "")))
        if found is None:
            self._complain(("openapi",), "this is not an OpenAPI 3.0 or 3.1 description; convert it to one of these")
            return "1"
        dialect = self._document.get("jsonSchemaDialect")
        if dialect is not None and not str(dialect).startswith(_DIALECTS):
            self._complain(("jsonSchemaDialect",), "only the dialect of OpenAPI 3.1 and JSON Schema 2020-12 are read")
        return found[1]

    def operations(self) -> Iterator[Operation]:
        paths = self._document.get("paths")
        if not isinstance(paths, dict):
            self._complain(("paths",), "there are no paths, so there are no functions")
            return
        found = []
        for path, written in paths.items():
            if path.startswith("x-"):
                continue
            where: Where = ("paths", path)
            item, place = self._schemas.resolve(written, where)
            if not isinstance(item, dict):
                self._complain(where, "a path holds a mapping of methods")
                continue
            for method in METHODS:
                if isinstance(item.get(method.lower()), dict):
                    found.append(self._operation(method, path, item, (*place, method.lower())))
        loop = endless(self._schemas.defs)
        if loop:
            self._complain(("components", "schemas", loop), "the schema refers to itself without going into the value")
        yield from found

    def _operation(self, method: str, path: str, item: Mapping[str, Any], where: Where) -> Operation:
        node = item[method.lower()]
        body, body_where = self._schemas.resolve(node.get("requestBody"), (*where, "requestBody"))
        name = node.get("operationId")
        if name is not None and not isinstance(name, str):
            self._complain((*where, "operationId"), "an operationId is text; put it in quotes")
        return Operation(
            name=name if isinstance(name, str) else _name(method, path),
            method=method,
            path=path,
            params=tuple(self._parameters(item, node, where)),
            bodies=tuple(self._bodies(body, body_where)),
            body_required=isinstance(body, dict) and body.get("required") is True,
            defs=self._schemas.defs,
            unknown_params=self._spec.unknown_params,
            summary=_text(node, "summary") or _text(item, "summary"),
            risk=_text(node, "x-funcgate-risk"),
            owner=_text(node, "x-funcgate-owner"),
            where=where,
            file=self._spec.openapi,
        )

    def _parameters(self, item: Mapping[str, Any], node: Mapping[str, Any], where: Where) -> Iterator[Parameter]:
        """The operation's own replace those of the path, by name and place."""
        merged: dict[tuple[str, str], tuple[Mapping[str, Any], Where]] = {}
        for holder, place in ((item, where[:-1]), (node, where)):
            own: set[tuple[str, str]] = set()
            listed = holder.get("parameters") or []
            for at, entry in enumerate(listed if isinstance(listed, list) else [None]):
                found, found_at = self._schemas.resolve(entry, (*place, "parameters", at))
                if not isinstance(found, dict) or not isinstance(found.get("name"), str):
                    self._complain((*place, "parameters", at), "a parameter is a mapping with a name")
                    continue
                key = found["name"], str(found.get("in"))
                if key in own:
                    self._complain((*place, "parameters", at), f"the parameter {key[0]!r} occurs twice in the {key[1]}")
                own.add(key)
                merged[key] = found, found_at
        for found, found_at in merged.values():
            parameter = self._parameter(found, found_at)
            if parameter is not None:
                yield parameter

    def _parameter(self, node: Mapping[str, Any], where: Where) -> Parameter | None:
        name, place = node["name"], str(node.get("in"))
        if place == "cookie":
            text = f"the cookie {name!r} is no argument: cookies are not forwarded"
            self._complain(where, text, warning=True)
            return None
        if place not in _STYLES:
            self._complain(
                where, f"the parameter {name!r} is in {place!r}; it must be in path, query, header or cookie"
            )
            return None
        if place == "header" and name.lower() in _NOT_ARGUMENTS:
            return None
        style = node.get("style", _STYLES[place])
        if style != _STYLES[place]:
            self._complain(where, f"the style {style!r} of the parameter {name!r} is not read; use {_STYLES[place]!r}")
            return None
        schema, as_json = self._parameter_schema(node, where)
        return Parameter(
            name=name,
            place=_place(place),
            schema=schema,
            required=node.get("required") is True or place == "path",
            explode=node.get("explode", place == "query") is True and place == "query",
            as_json=as_json,
            where=where,
        )

    def _parameter_schema(self, node: Mapping[str, Any], where: Where) -> tuple[Mapping[str, Any] | bool, bool]:
        content = node.get("content")
        if isinstance(content, dict) and len(content) == 1:
            media, holder = next(iter(content.items()))
            if _reader(_bare(media)) == "json" and isinstance(holder, dict):
                return self._schemas.translate(holder.get("schema", True), (*where, "content", media, "schema")), True
        if content is not None:
            self._complain((*where, "content"), f"the parameter {node['name']!r} must have one JSON media type")
            return True, False
        if "schema" not in node:
            self._complain(where, f"the parameter {node['name']!r} has no schema")
            return True, False
        return self._schemas.translate(node["schema"], (*where, "schema")), False

    def _bodies(self, body: Any, where: Where) -> Iterator[Body]:
        if body is None:
            return
        content = body.get("content") if isinstance(body, dict) else None
        if not isinstance(content, dict) or not content:
            self._complain(where, "a requestBody has a content with at least one media type")
            return
        seen = set()
        for media, holder in content.items():
            bare = _bare(media)
            if bare in seen:
                self._complain((*where, "content", media), f"the media type {bare} occurs twice")
            seen.add(bare)
            schema: Any = True
            if isinstance(holder, dict) and "schema" in holder:
                schema = self._schemas.translate(holder["schema"], (*where, "content", media, "schema"))
            for concrete, reader in _concrete(bare, schema):
                if concrete == bare or concrete not in {_bare(other) for other in content}:
                    yield Body(media=concrete, reader=reader, schema=schema)


def _concrete(media: str, schema: Any) -> list[tuple[str, Reader]]:
    """A wildcard with a schema means the two media types that are read; without one it means bytes."""
    if "*" not in media:
        return [(media, _reader(media))]
    if schema is True or (isinstance(schema, dict) and schema.get("type") in (None, "string") and "$ref" not in schema):
        return [(media, "opaque")]
    return [("application/json", "json"), ("application/x-www-form-urlencoded", "form")]


def _reader(media: str) -> Reader:
    if media in ("application/json", "text/json") or media.endswith("+json"):
        return "json"
    return "form" if media == "application/x-www-form-urlencoded" else "opaque"


def _bare(media: str) -> str:
    return media.partition(";")[0].strip().lower()


def _place(text: str) -> Place:
    return "path" if text == "path" else "query" if text == "query" else "header"


def _text(node: Mapping[str, Any], key: str) -> str:
    value = node.get(key)
    return value if isinstance(value, str) else ""


def _name(method: str, path: str) -> str:
    """The name of an operation without operationId: ``GET /users/{id}`` is ``get_users_id``."""
    words = re.findall(r"[A-Za-z0-9]+", path)
    return "_".join([method.lower(), *words])
