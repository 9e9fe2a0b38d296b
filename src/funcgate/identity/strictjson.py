"""JSON that means one thing: the documents of an identity provider and the parts of a token.

Refuses what two readers could read differently: duplicate names, NaN and infinities, text that is no Unicode.
"""

import json
import math
from typing import Any, NoReturn


class NotJson(ValueError):
    """Bytes that are no JSON, or JSON that could be read in two ways. Its text never quotes the bytes."""


def read_object(data: bytes) -> dict[str, Any]:
    """The JSON object (RFC 8259) in `data`. Raises `NotJson`."""
    try:
        value = _read(data.decode("utf-8"))
    except NotJson:
        raise
    except RecursionError:
        # Attack: a few kilobytes of "[" exhaust the stack of a careless parser.
        raise NotJson("is nested too deeply") from None
    except ValueError:
        raise NotJson("is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise NotJson("is not a JSON object")
    return value


def _read(text: str) -> Any:
    value = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse)
    if "\\u" in text:
        # Attack: half a surrogate pair passes the checks and breaks whatever writes it down later.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Attack: {"sub": "alice", "sub": "root"}: one reader checks the first, another uses the last.
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NotJson("has a name twice")
    return value


def _finite(text: str) -> float:
    # Attack: "exp": 1e999 reads as infinity and never ends.
    value = float(text)
    if not math.isfinite(value):
        raise NotJson("has a number that is too large")
    return value


def _refuse(_: str) -> NoReturn:
    raise NotJson("has a number that JSON does not have")
