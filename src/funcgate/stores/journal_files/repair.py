"""What a start finds in the folder: where the journal ends, what a crash tore, which calls it left open.

It removes nothing: what is cut off is saved beside first, and damage that no crash explains stays where it is. Compressed
segments it need not read: the newest two are never compressed.
"""

import os
import re
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from funcgate.core.crc import crc_holds
from funcgate.core.entry import Kind
from funcgate.stores.lines import FORMAT

from .folder import PACKED, listing, segment_name, sync_folder, write_all
from .segment import CHUNK_BYTES

FORMAT_WITH_CRC = 2
_HEAD = re.compile(
    rb'\{"seq":(\d{1,18}),"at":"([0-9A-Za-z:.+-]{0,40})","kind":"([a-z_]{1,40})","call":("[^"\\]*(?:\\.[^"\\]*)*")'
)
_OPENS: frozenset[str] = frozenset({Kind.ARRIVED, Kind.ASKED, Kind.ALLOWED})


class NewerFormat(Exception):
    """The journal was written by another version of funcgate. The text names the segment."""


class OnlyPacked(Exception):
    """What has to be read is compressed. The text names the file."""


class EndsTooSoon(Exception):
    """Entries that are known to have been there are missing. `last_seq` is the last that is left."""

    def __init__(self, last_seq: int) -> None:
        super().__init__(last_seq)
        self.last_seq = last_seq


class Mark(Struct):
    """The head of one line."""

    seq: int
    at: str
    kind: str
    call: str


class _Header(Struct):
    change: Mapping[str, Any] = {}


class Found(Struct):
    """The state of the folder, after the torn tail (if any) was cut. `length` is that of the last segment; 0 with
    `number` 0 for a new journal. `dated`: its lines have an older format, and it gets no more of them. `damaged` are
    ``SEGMENT:BYTE`` of lines that cannot be read."""

    number: int = 0
    length: int = 0
    sealed: bool = False
    dated: bool = False
    last_seq: int = 0
    last_at: str = ""
    open: set[str] = msgspec.field(default_factory=set)
    cut_bytes: int = 0
    saved_as: str = ""
    damaged: list[str] = msgspec.field(default_factory=list)
    foreign: tuple[str, ...] = ()


def examine(folder: Path, at_least: int = 0) -> Found:
    """Read as much of the journal's end as is needed, and cut a torn tail.

    `at_least` is an entry that is known to be durable. Raises `OSError`, and with nothing touched `NewerFormat`,
    `OnlyPacked` and `EndsTooSoon`.
    """
    segments, packed, foreign = listing(folder)
    found = Found(foreign=tuple(foreign))
    begin = _begin(folder, segments)
    if packed and (begin is None or packed[-1] > segments[-1]):
        raise OnlyPacked(segment_name(packed[-1]) + PACKED)
    if segments:
        last = folder / segment_name(segments[-1])
        found.number = segments[-1]
        # Read-only is sealed. The mode counts, not whether we could write: root can always.
        found.sealed = not last.stat().st_mode & 0o200
        _find_end(last, at_least, found)
        for at in range(begin or 0, len(segments)):
            below = _first_seq(folder, segments[at + 1]) if at + 1 < len(segments) else None
            _follow(folder, segments[at], below, found)
    # Attack: cut the journal's end off, or put an older copy in its place, and have the numbers given anew.
    if found.last_seq < at_least:
        raise EndsTooSoon(found.last_seq)
    if found.cut_bytes:
        _cut(last, found)
    return found


def _begin(folder: Path, segments: list[int]) -> int | None:
    """The place in `segments` from which on every open call is known: the last with a first line that names them."""
    for at in reversed(range(len(segments))):
        if _header(folder, segments[at]) is not None:
            return at
    return None


def _header(folder: Path, number: int) -> Mapping[str, Any] | None:
    """What the segment's first line tells; None if that line is not whole."""
    with (folder / segment_name(number)).open("rb") as file:
        line = file.readline()
    mark = _head(line)
    if mark is None or mark.kind != Kind.ADMIN:
        return None  # unread: what a caller or a target wrote may nest deeper than can be followed
    try:
        change = msgspec.json.decode(line, type=_Header).change
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if change.get("format", FORMAT) not in range(1, FORMAT + 1):
        raise NewerFormat(segment_name(number))  # before its crc is judged, which may be another sum there
    return change if "segment" in change and crc_holds(line[:-1]) is not False else None


def _format(header: Mapping[str, Any] | None) -> int:
    """Of a segment's lines, as its first line tells; 1 where it tells nothing."""
    return 1 if header is None else int(header.get("format", 1))


def _first_seq(folder: Path, number: int) -> int | None:
    with (folder / segment_name(number)).open("rb") as file:
        mark = _mark(file.readline(), checked=False)
    return None if mark is None else mark.seq


def _mark(line: bytes, *, checked: bool) -> Mark | None:
    """The head of a whole line; None if the line is not whole: a crc has to be right, with `checked` it has to be there."""
    mark = _head(line)
    holds = None if mark is None else crc_holds(line[:-1])
    return None if holds is False or (checked and holds is None) else mark


def _head(line: bytes) -> Mark | None:
    """The head of a line; None if it is not one. Looks at no content: deep nesting cannot hide a line."""
    head = _HEAD.match(line)
    if head is None or not line.endswith(b"}\n") or b"\0" in line:
        return None
    try:
        call = msgspec.json.decode(head[4], type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return Mark(int(head[1]), head[2].decode(), head[3].decode(), call)


def _lines(path: Path, start: int = 0, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each line from `start` to `end`; what comes after the last newline too, without zeros at its
    end."""
    offset = start
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if offset == end:
                return
            content = line if line.endswith(b"\n") else line.rstrip(b"\0")
            if content:
                yield offset, content
            offset += len(line)


def _find_end(path: Path, at_least: int, found: Found) -> None:
    """Find the end of the last segment. What a crash tore is within the last write: it ends before the first bad line."""
    form = _format(_header(path.parent, found.number))
    found.dated = form < FORMAT
    end = _content_end(path)
    start = max(0, end - CHUNK_BYTES)
    bad, last_good = _survey(path, start, form, at_least)
    if last_good < 0 and start:  # one line may be longer than a chunk
        bad, last_good = _survey(path, 0, form, at_least)
        bad = [offset for offset in bad if offset > last_good]
    if not bad or found.sealed:
        found.length = end
    else:
        found.length, found.cut_bytes = bad[0], end - bad[0]


def _cut(path: Path, found: Found) -> None:
    """Save what was torn beside the segment, then cut it off."""
    found.saved_as = _save(path, found.length, found.length + found.cut_bytes)
    os.truncate(path, found.length)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _content_end(path: Path) -> int:
    """The length without the zeros written ahead."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - CHUNK_BYTES)
            file.seek(start)
            content = file.read(end - start).rstrip(b"\0")
            if content:
                return start + len(content)
            end = start
    return 0


def _survey(path: Path, start: int, form: int, at_least: int) -> tuple[list[int], int]:
    """Of the lines that begin at `start` or later: the offsets of those that are not whole, and of the last whole one.

    What comes before the entry `at_least` was durable: damage there is no tear.
    """
    bad: list[int] = []
    last_good = -1
    lines = _lines(path, max(0, start - 1))
    if start:
        next(lines, None)  # the rest of a line that begins earlier
    for offset, line in lines:
        mark = _mark(line, checked=form >= FORMAT_WITH_CRC)
        if mark is None:
            bad.append(offset)
        else:
            last_good = offset
            if mark.seq <= at_least:
                bad.clear()
    return bad, last_good


def _save(path: Path, start: int, end: int) -> str:
    """Copy the bytes beside the segment, durably; returns the copy's name. An earlier copy is never overwritten."""
    with path.open("rb") as file:
        file.seek(start)
        torn = file.read(end - start)
    for attempt in count():
        copy = path.with_name(f"{path.stem}.torn-{start}" + (f"-{attempt}" if attempt else ""))
        if not copy.exists():
            descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
            try:
                write_all(descriptor, torn, 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            break
        if copy.read_bytes() == torn:
            break  # an earlier start was killed between the copy and the cut
    sync_folder(path.parent)
    return copy.name


def _follow(folder: Path, number: int, below: int | None, found: Found) -> None:
    """Follow one segment's calls. `below` is the next segment's first number: lines from it on were refused."""
    header = _header(folder, number)
    checked = _format(header) >= FORMAT_WITH_CRC
    found.open.update(() if header is None else header.get("open", ()))
    end = found.length if number == found.number else None
    for offset, line in _lines(folder / segment_name(number), end=end):
        mark = _mark(line, checked=checked)
        if mark is None:
            found.damaged.append(f"{segment_name(number)}:{offset}")
            continue
        if below is not None and mark.seq >= below:
            return
        found.last_seq, found.last_at = mark.seq, mark.at
        if mark.kind in _OPENS:
            found.open.add(mark.call)
        elif mark.kind == Kind.ENDED:
            found.open.discard(mark.call)
