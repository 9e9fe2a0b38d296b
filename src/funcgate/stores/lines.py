"""Entries to lines, numbered and dated, whatever the entries hold. Shared by every journal adapter.

It never refuses an entry: what is not JSON is written as text, because a record in another form beats none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct

from funcgate.core.crc import crc_added
from funcgate.core.entry import Drawn, Entry, encode_line, whole
from funcgate.core.native import half

FORMAT = 2  # of the lines, told by the first of each segment; since 2 each line ends in a crc
_encode = msgspec.json.Encoder().encode
_native = half("funcgate.stores._native")


def _add_lines(buffer: bytearray, entries: Sequence[Entry | Drawn], seq: int, at: str) -> int:
    start = len(buffer)
    number = seq
    try:
        for entry in map(whole, entries):
            number += 1
            entry.seq = number
            entry.at = at
            line = _encode(entry)[:-1]
            # Attack: a raw newline inside spliced-in JSON forges a line of the journal.
            if b"\n" in line:
                break
            buffer += line
            buffer += b',"crc":"%08x"}\n' % crc32(line)  # as core/crc.py, without a call: three times a call
        else:
            return number
    except Exception:  # noqa: S110  # whatever it was, the slow way below writes the entries
        pass
    del buffer[start:]
    return _add_mended(buffer, entries, seq, at)


def _add_mended(buffer: bytearray, entries: Sequence[Entry | Drawn], seq: int, at: str) -> int:
    for number, entry in enumerate([*map(whole, entries)], seq + 1):
        entry.seq, entry.at = number, at
        buffer += crc_added(_mended_line(entry)[:-1])
    return seq + len(entries)


def _pack_lines(buffer: bytearray, entries: Sequence[Entry | Drawn], waits: bool) -> None:
    start = len(buffer)
    try:
        buffer += b"\1" if waits else b"\0"
        buffer += len(entries).to_bytes(4, "little")
        for entry in entries:
            _pack_line(buffer, entry)
    except BaseException:
        # Attack: entries for which there is no memory: a parcel with half of them in it ends this worker, and all its calls.
        del buffer[start:]
        raise


def _pack_line(buffer: bytearray, given: Entry | Drawn) -> None:
    entry = whole(given)
    entry.seq, entry.at = 0, ""
    try:
        line = _encode(entry)
    except Exception:  # whatever it was, it is written in another form
        line = b"\n"
    if b"\n" in line:
        line = _mended_line(entry)[:-1]
    buffer += len(line).to_bytes(4, "little")
    buffer += line


# The compiled ones, for compiled callers.
adding, packing = (
    (None, None) if _native is None else (_native.Lines(_encode, _add_mended), _native.Packing(_pack_line))
)

# Append a group of a parcel (parcels.py) to a buffer: each entry as JSON on one line without number, time, crc and newline.
# Whole or not at all.
pack_lines: Callable[[bytearray, Sequence[Entry | Drawn], bool], None] = (
    _pack_lines if packing is None else packing.pack
)


# Append one line for each entry to a buffer, numbered from the number given + 1; returns the last number used.
# Sets `seq` and `at` of the entries, which bring no `crc`. Whole or not at all: the buffer never ends inside a line.
add_lines: Callable[[bytearray, Sequence[Entry | Drawn], int, str], int] = _add_lines if adding is None else adding.add


def _mended_line(entry: Entry) -> bytes:
    """The line of an entry of which a part may not be JSON. Never raises."""
    try:
        line = encode_line(_mended(entry))
    except Exception:
        line = b""
    if line.count(b"\n") == 1:
        return line
    return encode_line(
        Entry(
            seq=entry.seq,
            at=entry.at,
            kind=entry.kind,
            call=_text(str(entry.call)),
            outcome=_text(str(entry.outcome)),
            detail="what else the entry held could not be written as JSON",
        )
    )


def _mended(value: Any) -> Any:
    """The same value with everything that JSON cannot hold turned into text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _text(value) if type(value) is str else value
    if isinstance(value, msgspec.Raw):
        return _mended_raw(bytes(value))
    if isinstance(value, Struct):
        return type(value)(**{name: _mended(getattr(value, name)) for name in value.__struct_fields__})
    if isinstance(value, Mapping):
        return {_text(str(name)): _mended(member) for name, member in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return tuple(_mended(member) for member in value)
    return f"({type(value).__name__})"


def _mended_raw(raw: bytes) -> msgspec.Raw | str:
    try:
        msgspec.json.decode(raw, type=msgspec.Raw)
        return msgspec.Raw(raw.replace(b"\n", b" "))  # valid JSON holds raw newlines only between its tokens
    except (msgspec.MsgspecError, RecursionError):
        return raw.decode("utf-8", "backslashreplace")


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
