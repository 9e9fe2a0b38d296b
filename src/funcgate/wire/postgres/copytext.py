"""COPY's text format, one line at a time: fields with their escapes undone, and back."""

import re

_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPED = re.compile(rb"\\(?:x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_SPECIAL = re.compile(rb"[\\\b\f\n\r\t\v]")
_BACK = {value[0]: b"\\" + letter for letter, value in _ESCAPES.items()} | {0x5C: b"\\\\"}


def read_line(line: bytes) -> list[bytes | None]:
    """The fields of one line, without its end; None for NULL (``\\N``)."""
    return [None if field == rb"\N" else _ESCAPED.sub(_undo, field) for field in line.split(b"\t")]


def line_of(fields: list[bytes | None]) -> bytes:
    """One line, without its end."""
    escaped = [rb"\N" if f is None else _SPECIAL.sub(lambda found: _BACK[found[0][0]], f) for f in fields]
    return b"\t".join(escaped)


def _undo(found: re.Match[bytes]) -> bytes:
    code = found[0][1:]
    if code[:1] == b"x" and len(code) > 1:
        return bytes([int(code[1:], 16)])
    if code[:1].isdigit() and code[:1] < b"8":
        return bytes([int(code, 8) & 0xFF])
    return _ESCAPES.get(code, code)
