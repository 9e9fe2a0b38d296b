"""Entries on their way from a worker to the process that keeps the journal: a parcel of groups of lines.

The worker's lines have no number, no time and no crc; the journal's process gives them, once it has looked at every byte: a
worker reads what attackers send, and may have been taken over. Here is how a parcel looks, and the whole of that look.
"""

import re
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec

from funcgate.core.entry import Entry, Kind, decode_line, encode_line
from funcgate.core.ids import MARK_AT, MARK_LETTERS

# A parcel is its number and whether anybody waits for any of it; then groups: whether somebody waits, and how many lines; then
# each line: its size, and itself, in braces. All little-endian, as in _parcels.pyx.
HEAD, GROUP, SIZE = struct.Struct("<QB"), struct.Struct("<BI"), struct.Struct("<I")
MOST_LINES = 10_000  # of a parcel
MOST_BYTES = 8 << 20  # of a parcel, but for content that stays in its lines: far more than any worker of ours sends

# Attack: a worker that was taken over makes itself administrator or approver in the record: neither comes from workers.
KINDS = frozenset({Kind.ARRIVED, Kind.ASKED, Kind.ALLOWED, Kind.DENIED, Kind.CHUNK, Kind.ENDED})
# Attack: a line with a number, a time or a crc of its own, or with a name twice: each reader takes another. So names come once,
# in the order of `Entry`.
_OWN = frozenset({"seq", "at", "crc", "change"})
NAMES = tuple(name.encode() for name in Entry.__struct_fields__ if name not in _OWN)
_START = re.compile(r'\{"kind":"([a-z]{1,20})","call":')
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_WORD = re.compile(r"true|false|null")
_BLANK = re.compile(r"[ \t]*+")
UNREADABLE = "what else the entry held was no JSON"


class Forged(ValueError):
    """A worker said what no worker of ours says. The text names no content."""


class Group(NamedTuple):
    """What one `append` (then somebody may wait) or one `note` brought."""

    waits: bool
    lines: list[bytes]


class Head(NamedTuple):
    number: int
    waits: bool


def head_of(payload: bytes) -> Head:
    """Raises `Forged`."""
    try:
        number, waits = HEAD.unpack_from(payload)
    except struct.error:
        raise Forged("a parcel without a head") from None
    return Head(number, bool(waits))


def groups_of(payload: bytes) -> list[Group]:
    """The groups of a parcel. Raises `Forged` for sizes that do not fit; looks at nothing else."""
    groups: list[Group] = []
    at, end, left = HEAD.size, len(payload), MOST_LINES
    try:
        while at < end:
            waits, count = GROUP.unpack_from(payload, at)
            at += GROUP.size
            left -= count
            # Attack: parcels of next to nothing, by the million: what they are taken apart into is larger by far.
            if left < 0 or (not count and at < end):
                raise Forged("more lines than a parcel has, or less than a group")
            lines: list[bytes] = []
            # Attack: a count or a size of gigabytes. Nothing is read or reserved but what has come.
            for _ in range(count):
                (size,) = SIZE.unpack_from(payload, at)
                at += SIZE.size
                if size > end - at:
                    raise Forged("a line that is longer than its parcel")
                lines.append(payload[at : at + size])
                at += size
            groups.append(Group(bool(waits), lines))
    except struct.error:
        raise Forged("a parcel that was cut") from None
    return groups


def packed(head: Head, groups: Sequence[Group]) -> bytes:
    """The parcel of these groups."""
    parcel = bytearray(HEAD.pack(head.number, head.waits))
    for group in groups:
        parcel += GROUP.pack(group.waits, len(group.lines))
        for line in group.lines:
            parcel += SIZE.pack(len(line))
            parcel += line
    return bytes(parcel)


def judged(payload: bytes, mark: str, holds: Callable[[bytes], bool] | None = None) -> bytes:
    """The parcel, looked at whole, as it may be stamped; a line that is no JSON is replaced by one that says so.

    `mark` is what the names of the worker's calls have in their middle, "" if they may be any. `holds` looks at a line, quicker
    than it is done here. Raises `Forged`.
    """
    groups = groups_of(payload)
    holds = holds or _holds
    changed = False
    for group in groups:
        for place, line in enumerate(group.lines):
            told = start_of(line, mark)
            if not holds(line):
                group.lines[place] = encode_line(Entry(kind=Kind(told[0]), call=told[1], detail=UNREADABLE))[:-1]
                changed = True
    return packed(head_of(payload), groups) if changed else payload


def start_of(line: bytes, mark: str) -> tuple[str, str]:
    """Kind and call of a line. Raises `Forged` for a kind that does not come from workers, or a call of somebody else."""
    text = line[:4096].decode("latin-1")
    start = _START.match(text)
    string = None if start is None else _STRING.match(text, start.end())
    if start is None or string is None or start[1] not in KINDS:
        raise Forged("a line of a kind that no worker writes")
    try:
        call: str = msgspec.json.decode(string[0].encode("latin-1"), type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Forged("a call without a name") from None
    # Attack: write lines of a call that another worker carries, or that is long over.
    if mark and not (call.isascii() and len(call) == 26 and call[MARK_AT : MARK_AT + MARK_LETTERS] == mark):
        raise Forged("a line of another's call")
    return start[1], call


def _holds(line: bytes) -> bool:
    """Whether the line is one JSON object on one line, names and all. Raises `Forged` for names that may not be there."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return False
    names: list[str] = []
    if not text.startswith("{") or _json_end(text, names) != len(text):
        return False
    place = 0
    for name in names:
        encoded = name.encode()
        while place < len(NAMES) and NAMES[place] != encoded:
            place += 1
        if place == len(NAMES):
            raise Forged("a line with a name that it may not have")
        place += 1
    return True


def _json_end(text: str, names: list[str]) -> int:
    """Where the JSON value at the start of `text` ends (RFC 8259, on one line), -1 if there is none. `names` gets those of the
    outermost object, as they are spelled. Goes as deep as the text does: nothing here calls itself."""
    at = 0
    inside: list[str] = []  # the brackets that are open
    while True:
        at = _blank(text, at)
        if text.startswith(("{", "["), at):
            inside.append(text[at])
            at = _blank(text, at + 1)
            if not text.startswith("]" if inside[-1] == "[" else "}", at):
                if inside[-1] == "{" and (at := _name(text, at, names, len(inside))) < 0:
                    return -1
                continue
        else:
            found = (_STRING.match(text, at) or _NUMBER.match(text, at) or _WORD.match(text, at)) if inside else None
            if found is None:
                return -1
            at = _blank(text, found.end())
        while True:  # after a value, or where an empty one ends
            closing = "]" if inside[-1] == "[" else "}"
            if text.startswith(closing, at):
                inside.pop()
                at += 1
                if not inside:
                    return at
                at = _blank(text, at)
            elif text.startswith(",", at):
                at = _blank(text, at + 1)
                if inside[-1] == "{" and (at := _name(text, at, names, len(inside))) < 0:
                    return -1
                break
            else:
                return -1


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _name(text: str, at: int, names: list[str], depth: int) -> int:
    """After the name of a member and its colon; -1 if there is none."""
    found = _STRING.match(text, at)
    if found is None:
        return -1
    if depth == 1:
        names.append(found[0][1:-1])
    at = _blank(text, found.end())
    return at + 1 if text.startswith(":", at) else -1


def entries_of(lines: Sequence[bytes]) -> tuple[Entry, ...]:
    """Lines that were judged, as entries again."""
    return tuple(map(_entry, lines))


def _entry(line: bytes) -> Entry:
    try:
        return decode_line(line)
    except (msgspec.MsgspecError, RecursionError):
        kind, call = start_of(line, "")  # a member of another type than ours: worth no more than that it came
        return Entry(kind=Kind(kind), call=call, detail=UNREADABLE)


def stamp(
    buffer: bytearray, payload: bytes, mark: str, seq: int, at: str, open_: set[str], mine: set[str], left: list[int]
) -> int:
    """Append the lines of a parcel to a buffer, with numbers from `seq` + 1 on, the time `at`, and their crc; returns the last
    number, or -1, with nothing changed, for a parcel that needs `judged` first.

    Calls that begin come into `open_` and `mine`, those that end leave both; the end of a call that is not in `mine` is left
    out, and its place among the parcel's lines comes into `left`. Raises `Forged`, with nothing changed.
    """
    if judged(payload, mark) is not payload:
        return -1
    return stamp_judged(buffer, payload, seq, at, open_, mine, left)


def stamp_judged(
    buffer: bytearray, payload: bytes, seq: int, at: str, open_: set[str], mine: set[str], left: list[int]
) -> int:
    """`stamp`, for what `judged` gave."""
    place = -1
    for group in groups_of(payload):
        for line in group.lines:
            place += 1
            kind, call = start_of(line, "")
            if kind == Kind.ARRIVED or kind == Kind.ASKED:
                open_.add(call)
                mine.add(call)
            elif kind == Kind.ENDED:
                if call not in mine:
                    left.append(place)
                    continue
                open_.discard(call)
                mine.discard(call)
            seq += 1
            stamped = b'{"seq":%d,"at":"%b",%b' % (seq, at.encode(), line[1:-1])
            buffer += b'%b,"crc":"%08x"}\n' % (stamped, crc32(stamped))
    return seq
