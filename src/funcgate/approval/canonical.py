"""One name for one call: whoever sends the same call again means the same approval. RFC 8785 over what was judged.

The digest of the forwarded bytes is part of it, so that nothing which the target would notice can differ.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import rfc8785

from funcgate.core.call import Call

_EXACT = (1 << 53) - 1  # the largest integer that RFC 8785 carries as a number


def canonical(call: Call, also: str = "") -> bytes:
    """The call in the JSON Canonicalization Scheme: who, what, with which arguments, as which bytes.

    Raises `ValueError` for arguments that have no canonical form; such a call cannot be held, only refused.
    """
    who = call.principal
    said = {
        "issuer": who.issuer, "subject": who.subject, "acts_for": who.acts_for, "actor": who.actor,
        "target": call.target, "function": call.function, "digest": call.digest, "also": also,
    }  # fmt: skip
    try:
        return rfc8785.dumps({**said, "args": _exact(call.args)})
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise ValueError(f"no canonical form: {type(error).__name__}") from None


def key_of(call: Call, also: str = "") -> str:
    """``sha256:HEX`` of the canonical call. Raises `ValueError`."""
    return "sha256:" + hashlib.sha256(canonical(call, also)).hexdigest()


def schema_of(schema: Mapping[str, Any]) -> str:
    """A short name for a function's argument schema: 32 hexadecimal digits that change when it does."""
    return hashlib.sha256(msgspec.json.encode(schema, order="sorted")).hexdigest()[:32]


def _exact(value: Any) -> Any:
    """Integers beyond 2^53 and what JSON has no number for as text (RFC 8785, appendix D): no two values become one."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -_EXACT <= value <= _EXACT else f"integer {value}"
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else f"number {value}"
    if isinstance(value, Mapping):
        return {str(name): _exact(member) for name, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return [_exact(member) for member in value]
    return value if isinstance(value, str) else f"{type(value).__name__} {value!r}"
