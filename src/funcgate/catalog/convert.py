"""The text of a path, query, header or form value to the JSON value that its schema speaks of.

One spelling for one value: what a target could read as another number or another truth value is refused.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from .facts import Schema, plain, types

Convert = Callable[[str], Any]
ReadJson = Callable[[bytes], Any]

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,127})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_TRUTH = {"true": True, "false": False}


def integer(text: str) -> int:
    """Raises `ValueError` for ``+1``, ``01``, ``1_0``, `` 1``, digits of other scripts, and more than 128 digits."""
    # Attack: "010" is ten here and eight there; int() also takes "1_0", " 1" and Arabic digits.
    if _INTEGER.fullmatch(text) is None:
        raise ValueError("not an integer")
    return int(text)


def boolean(text: str) -> bool:
    """``true`` or ``false``, nothing else. Raises `ValueError`."""
    if text not in _TRUTH:
        raise ValueError("not a boolean")
    return _TRUTH[text]


def number_with(read_json: ReadJson) -> Convert:
    """Numbers as JSON writes and bounds them."""

    def number(text: str) -> int | float:
        if _NUMBER.fullmatch(text) is None:
            raise ValueError("not a number")
        value: int | float = read_json(text.encode())
        return value

    return number


def json_with(read_json: ReadJson) -> Convert:
    return lambda text: read_json(text.encode())


def for_schema(schema: Schema, defs: Mapping[str, Any], read_json: ReadJson) -> tuple[Convert | None, bool]:
    """How to convert one value, None for "leave it text", and whether the schema is of a list of such values.

    Raises `ValueError` for a schema that text cannot be converted to in one way only.
    """
    found = types(schema, defs) - {"null"}
    if found == {"array"}:
        items = [part["items"] for part, _ in plain(schema, defs) if "items" in part]
        if any(types(item, defs) - {"null"} == {"array"} for item in items):
            raise ValueError("a list of lists has no spelling outside of a JSON body")
        convert, _ = for_schema(items[0] if len(items) == 1 else {"allOf": items}, defs, read_json)
        return convert, True
    return _scalar(found, read_json), False


def _scalar(found: frozenset[str], read_json: ReadJson) -> Convert | None:
    if "string" in found:
        return None
    if found == {"integer"}:
        return integer
    if found and found <= {"integer", "number"}:
        return number_with(read_json)
    if found == {"boolean"}:
        return boolean
    if not found:
        raise ValueError("the schema lets no value through")
    raise ValueError(f"text is not converted to {' or '.join(sorted(found))}; give the schema one type")
