"""How far an export has come: enough to go on after the process was killed at any moment."""

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from funcgate.recording.filters import Filters

FORMAT = 1


class Part(Struct, frozen=True):
    """One object of an output in parts."""

    name: str
    bytes: int
    rows: int
    sha256: str


class Cursor(Struct, kw_only=True):
    """`options` is the digest of what was asked for; `filters` are its times made absolute, `through` is its last line.

    Written is everything up to the unit `seq`, `nth`: `rows` rows, `bytes` bytes with the digest `sha256`, or the `parts`.
    What comes next can be had by reading from the line behind `low` on.
    """

    format: int = FORMAT
    options: str
    filters: Filters
    through: int
    seq: int = 0
    nth: int = -1
    low: int = 0
    rows: int = 0
    lost: dict[str, int] = {}
    bytes: int = 0
    sha256: str = ""
    parts: list[Part] = []


class Unfit(Exception):
    """An output or its cursor cannot be used. Its text says why, and what to do."""


def digest_of(options: Mapping[str, str]) -> str:
    """The digest of what was asked for, as it was asked."""
    return hashlib.sha256(msgspec.json.encode(options, order="sorted")).hexdigest()


def decode(text: bytes, name: str) -> Cursor:
    """Raises `Unfit`."""
    try:
        cursor = msgspec.json.decode(text, type=Cursor)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Unfit(f"{name} is no cursor of an export: remove it, and the output, to begin anew") from None
    if cursor.format != FORMAT:
        raise Unfit(f"{name} was written by another version of funcgate: finish with that one, or begin anew")
    return cursor
