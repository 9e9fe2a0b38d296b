"""Functions that the configuration lists by hand, to operations."""

import re
from collections.abc import Iterator
from typing import Any

from funcgate.core.problem import Problem

from .operation import METHODS, Body, Operation, Parameter, Reader, Where
from .routes import parse_template
from .schemas import Definitions
from .specs import FunctionSpec

_HTTP = re.compile(r"([A-Za-z]+) +(/\S*)")
_SHORT = frozenset({"string", "integer", "number", "boolean", "array", "object"})
_PLACES = ("path", "query", "header", "body")
_MEDIA = {"json": "application/json", "form": "application/x-www-form-urlencoded", "raw": "*/*"}
_READERS: dict[str, Reader] = {"json": "json", "form": "form", "raw": "opaque"}


def read_listed(specs: list[FunctionSpec], where: Where) -> tuple[list[Operation], list[Problem]]:
    """The operations, and all problems."""
    problems: list[Problem] = []
    operations = []
    defs = Definitions()  # a listed schema stands for itself: no reference in it leads anywhere
    for at, spec in enumerate(specs):
        operation = _read(spec, (*where, at), problems, defs)
        if operation is not None:
            operations.append(operation)
    return operations, problems


def _read(spec: FunctionSpec, where: Where, problems: list[Problem], defs: Definitions) -> Operation | None:
    found = _HTTP.fullmatch(spec.http)
    method = found[1].upper() if found is not None else ""
    if found is None or method not in METHODS:
        text = f'write the method and the path, as in "POST /transfers/{{account}}"; methods are {", ".join(METHODS)}'
        problems.append(Problem(where=(*where, "http"), text=text))
        return None
    try:
        names = parse_template(found[2]).names
    except ValueError as error:
        problems.append(Problem(where=(*where, "http"), text=str(error)))
        return None
    arguments = list(_arguments(spec, method, names, where, problems))
    params = tuple(made for made in arguments if isinstance(made, Parameter))
    members = {name: schema for name, schema, _ in (made for made in arguments if isinstance(made, tuple))}
    required = [name for name, _, needed in (made for made in arguments if isinstance(made, tuple)) if needed]
    kind = spec.body or ("json" if members else "")
    if members and kind == "raw":
        problems.append(Problem(where=(*where, "body"), text="a raw body has no arguments; say json or form"))
    schema: dict[str, Any] = {"type": "object", "properties": members}
    if required:
        schema["required"] = required
    if spec.unknown_params == "refuse":
        schema["additionalProperties"] = False
    bodies = (
        (Body(media=_MEDIA[kind], reader=_READERS[kind], schema=True if kind == "raw" else schema),) if kind else ()
    )
    return Operation(
        name=spec.name, method=method, path=found[2], params=params, bodies=bodies, body_required=bool(required),
        defs=defs,
        unknown_params=spec.unknown_params, summary=spec.summary, risk=spec.risk, owner=spec.owner, where=where,
    )  # fmt: skip


def _arguments(
    spec: FunctionSpec, method: str, in_path: tuple[str, ...], where: Where, problems: list[Problem]
) -> Iterator[Parameter | tuple[str, Any, bool]]:
    """Parameters, and members of the body as (name, schema, required)."""
    for name in in_path:
        if name not in spec.args:
            yield Parameter(name=name, place="path", schema={"type": "string"}, required=True, where=where)
    usual = "query" if method in ("GET", "HEAD", "DELETE") and spec.body == "" else "body"
    for name, written in spec.args.items():
        place_of = (*where, "args", name)
        given = {"type": written} if isinstance(written, str) and written in _SHORT else written
        if not isinstance(given, dict):
            text = f"write a type ({', '.join(sorted(_SHORT))}) or a JSON Schema"
            problems.append(Problem(where=place_of, text=text))
            continue
        flag = given.get("required")
        schema = {
            key: value
            for key, value in given.items()
            if key != "in" and not (key == "required" and flag in (True, False))
        }
        place = given.get("in", "path" if name in in_path else usual)
        if place not in _PLACES or (place == "path") != (name in in_path):
            text = f"{name!r} cannot be in {place!r}: say path for a name in the path, else query, header or body"
            problems.append(Problem(where=(*place_of, "in"), text=text))
        elif place == "body":
            yield name, schema, flag is True
        else:
            yield Parameter(
                name=name, place=place, schema=schema, required=flag is True or place == "path", where=place_of
            )
