"""Compiled JSON Schema validators (draft 2020-12, jsonschema-rs), and what is said of a value that fails.

A failure names the argument's path and the rule, never the value, and shows only names that the schema declares.
`format` is not asserted, but for the bounds of int32 and int64.
"""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from funcgate.core.refusal import Code, Refused

from .facts import Schema
from .schemas import Definitions

_BACKTRACK_LIMIT = 10_000


class Check:
    """One compiled schema. `is_valid` is the fast question; `explain` is asked when the answer was no."""

    __slots__ = ("_declared", "_schema", "_validator", "is_linear", "is_valid")

    def __init__(self, validator: jsonschema_rs.Validator, schema: Mapping[str, Any], is_linear: bool) -> None:
        self._validator = validator
        self._schema = schema
        self._declared: frozenset[str] | None = None
        self.is_linear = is_linear
        self.is_valid = validator.is_valid

    def explain(self, value: Any) -> Refused:
        """A refusal that names the first failing place and its rule."""
        error = next(iter(self._validator.iter_errors(value)), None)
        if error is None:
            return Refused(Code.REQUEST_INVALID, "The arguments do not fit the function.")
        if self._declared is None:
            self._declared = frozenset(_declared(self._schema))
        place = "".join(self._step(step, self._declared) for step in error.instance_path).removeprefix(".")
        rule = error.kind.name
        if rule == "required":
            place = f"{place}.{getattr(error.kind, 'property', '')}".removeprefix(".")
        return Refused(Code.REQUEST_INVALID, f"{place or 'The arguments'}: fails the rule {rule!r}.")

    def _step(self, step: str | int, declared: frozenset[str]) -> str:
        if isinstance(step, int):
            return f"[{step}]"
        # A name that the schema does not declare is the caller's own text, and may be as sensitive as a value.
        return f".{step}" if step in declared else ".*"


class Checks:
    """Compiles schemas over one set of definitions, each schema once: operations share their bodies."""

    def __init__(self, defs: Definitions) -> None:
        self._defs = defs
        self._made: dict[str, Check] = {}

    def compile(self, schema: Schema) -> Check:
        """The check. Raises `ValueError` that says what is wrong with the schema."""
        try:
            key = json.dumps(schema, sort_keys=True, allow_nan=False)
        except TypeError:
            raise ValueError("the schema holds a key or a value that JSON does not have, a date perhaps") from None
        if key not in self._made:
            self._made[key] = _compile(schema, self._defs)
        return self._made[key]


def _compile(schema: Schema, defs: Definitions) -> Check:
    whole: dict[str, Any] = dict(schema) if isinstance(schema, Mapping) else {"allOf": [schema]}
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    reached = defs.reached_from(schema)
    if reached:
        whole["$defs"] = reached
    try:
        try:
            # Attack: "aaaa…!" against (a+)+$ holds a backtracking engine for minutes.
            return Check(_validator(whole, jsonschema_rs.RegexOptions()), whole, True)
        except ValueError:
            # Look-around and back-references need the other engine: bounded, and what exceeds the bound does not match.
            return Check(
                _validator(whole, jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACK_LIMIT)), whole, False
            )
    except ValueError as error:
        text = _first_line(error)
        # The interpreter's own limit, where it is lower, ends the whole catalogue in the same words (http.py).
        raise ValueError("it is nested too deeply" if text == "Recursion limit reached" else text) from None


def _validator(
    schema: dict[str, Any], patterns: jsonschema_rs.FancyRegexOptions | jsonschema_rs.RegexOptions
) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(schema, pattern_options=patterns, offline=True, validate_formats=False)


def _declared(schema: Any) -> set[str]:
    names: set[str] = set()
    open_ends = [schema]
    while open_ends:
        node = open_ends.pop()
        if isinstance(node, Mapping):
            properties = node.get("properties")
            if isinstance(properties, Mapping):
                names.update(properties)
            open_ends.extend(node.values())
        elif isinstance(node, list):
            open_ends.extend(node)
    return names


def _first_line(error: ValueError) -> str:
    message = str(getattr(error, "message", error)).splitlines()[0]
    path = "/".join(str(step) for step in getattr(error, "instance_path", ()))
    return f"{message} (at {path})" if path else message
