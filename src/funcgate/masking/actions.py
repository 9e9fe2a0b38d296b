"""What is written in place of a value: a label, a part of it, or a keyed hash. It refuses to write anything reversible.

Replacements hold no double quote, backslash or control character, so they stand in JSON and headers as they are.
"""

import hmac
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from .detector import Detector, as_is

Action = Literal["redact", "partial", "hash"]
Replace = Callable[[bytes], bytes]
CREDENTIAL = b"[CREDENTIAL]"
_HASH_DIGITS = 16


class Label(Struct, frozen=True):
    """Replaces every value by the same text."""

    text: bytes

    def __call__(self, value: bytes) -> bytes:
        return self.text


def replacement(action: Action, detector: Detector, hash_key: bytes) -> Replace:
    """How this detector's values are replaced under this action."""
    name = detector.name.encode()
    if action == "partial":
        return lambda value: safe(detector.partial(value), b"[REDACTED:" + name + b"]")
    if action == "hash":
        return hashed(name, detector.normal, hash_key)
    return Label(b"[REDACTED:" + name + b"]")


def field_replacement(action: Action, hash_key: bytes) -> Replace:
    """How a field's whole value is replaced. Nothing of it is kept: `partial` is `redact` here."""
    if action == "hash":
        return hashed(b"field", as_is, hash_key)
    return Label(b"[REDACTED:field]")


def hashed(name: bytes, normal: Replace, hash_key: bytes) -> Replace:
    # Attack: an unkeyed hash of a card or SSN is found by trying all of them.
    def replace(value: bytes) -> bytes:
        digest = hmac.digest(hash_key, name + b"\0" + normal(value), "sha256").hex()[:_HASH_DIGITS]
        return b"[" + name + b":" + digest.encode() + b"]"

    return replace


def safe(shown: bytes, otherwise: bytes) -> bytes:
    """`shown`, when it can stand anywhere."""
    if b'"' in shown or b"\\" in shown or not shown.isascii() or not shown.decode().isprintable():
        return otherwise
    return shown


__all__ = ["CREDENTIAL", "Action", "Replace", "field_replacement", "replacement"]
