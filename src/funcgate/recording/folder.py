"""A journal's folder, read from outside: its lines in order, from either end, also while it is being written.

Only reads; a compressed segment reads as it was before. Skips what is no line of the journal: other files, a tail still
being written, zeros written ahead, lines whose crc is wrong, and lines that were refused (their numbers are given anew in
a later segment).
"""

import errno
import io
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from funcgate.core.crc import crc_holds

from .archive.seekable import Packed

PACKED = ".zst"
_SEGMENT = re.compile(r"(\d{8}\.jsonl)(?:\.zst)?\Z")
_SEQ = re.compile(rb'\{"seq":(\d{1,18}),"at":"([0-9A-Za-z:.+-]{0,40})"')
_FORMAT = re.compile(rb'"kind":"admin","call":"","change":\{"segment":\d+,"format":(\d{1,9})[,}]')
_HEAD_BYTES = 400
_FORMAT_WITH_CRC = 2
BLOCK_BYTES = 256 << 10


class Line(Struct, frozen=True, gc=False):
    """One line without its newline, and where it is: `offset` is a byte of the uncompressed segment, `segment` its name
    before it was compressed (``00000001.jsonl``). `at` is as the journal wrote it."""

    seq: int
    at: bytes
    line: bytes
    segment: str
    offset: int


Damaged = Callable[[str], None]


def ignore(segment: str) -> None:
    """Damage that nobody asked about."""


def segments(folder: Path) -> list[Path]:
    """The journal's files, oldest first; compressed ones end in ``.zst``. Raises `OSError` if there is no such folder."""
    found: dict[str, Path] = {}
    for name in sorted(os.listdir(folder)):  # the plain file first: it wins until it is gone
        if known := _SEGMENT.match(name):
            found.setdefault(known[1], folder / name)
    return list(found.values())


def open_segment(folder: Path, segment: str | int) -> BinaryIO:
    """The uncompressed bytes of a segment, by its name or number. Raises `OSError`; `ValueError` for no such name."""
    name = f"{segment:08d}.jsonl" if isinstance(segment, int) else segment.removesuffix(PACKED)
    if not _SEGMENT.match(name):
        raise ValueError(f"{segment!r} is no name of a segment")
    try:
        return (folder / name).open("rb")
    except FileNotFoundError:
        return io.BufferedReader(Packed(folder / (name + PACKED)), BLOCK_BYTES)


def read_at(folder: Path, segment: str | int, offset: int, length: int) -> bytes:
    """Bytes of a segment by their place, as `Line` names it; fewer where it ends. Raises as `open_segment`."""
    with open_segment(folder, segment) as file:
        file.seek(offset)
        return file.read(length)


def lines(
    folder: Path, *, newest_first: bool = False, after: int | Line = 0, damaged: Damaged = ignore
) -> Iterator[Line]:
    """Every line that counts, or those with a higher `seq` than `after`: from there on, without reading what is before.

    After a number, reading begins with the segment that holds it; after a `Line`, right behind it. `damaged` is told the
    segment of each line that is none. Raises `OSError`.
    """
    return _backwards(folder, after, damaged) if newest_first else _forwards(folder, after, damaged)


def _forwards(folder: Path, after: int | Line, damaged: Damaged) -> Iterator[Line]:
    names = segment_names(folder)
    last, place, start = _place(folder, names, after)
    for at in range(place, len(names)):
        below = first_seq(folder, names[at + 1]) if at + 1 < len(names) else None
        with _opened(folder, names[at], damaged) as file:
            checked = _checked(file)
            name, offset = names[at], file.seek(start)
            for raw in file:
                if raw[-1:] != b"\n":
                    break
                line = _line(raw[:-1], name, offset, checked)
                offset += len(raw)
                if line is None:
                    damaged(name)
                elif below is not None and line.seq >= below:
                    break
                elif line.seq > last:
                    yield line
        start = 0


def _backwards(folder: Path, after: int | Line, damaged: Damaged) -> Iterator[Line]:
    last = after if isinstance(after, int) else after.seq
    ceiling: int | None = None
    for name in reversed(segment_names(folder)):
        with _opened(folder, name, damaged) as file:
            checked = _checked(file)
            for offset, raw in _lines_to_the_start(file):
                line = _line(raw, name, offset, checked)
                if line is None:
                    damaged(name)
                elif ceiling is None or line.seq < ceiling:
                    if line.seq <= last:
                        return
                    ceiling = line.seq
                    yield line


def segment_names(folder: Path) -> list[str]:
    """The names of the segments before they were compressed, oldest first. Raises `OSError`."""
    return [path.name.removesuffix(PACKED) for path in segments(folder)]


def _opened(folder: Path, name: str, damaged: Damaged) -> BinaryIO:
    """The segment; empty if it has expired since the folder was listed, or if its compressed file is not whole."""
    try:
        return open_segment(folder, name)
    except FileNotFoundError:
        return io.BytesIO()
    except OSError as error:
        if error.errno != errno.EBADMSG:
            raise
        damaged(name)
        return io.BytesIO()


def _place(folder: Path, names: list[str], after: int | Line) -> tuple[int, int, int]:
    """The last number to leave out, the segment to begin with (its place in `names`), and the byte."""
    if isinstance(after, Line):
        place = bisect_left(names, after.segment)
        there = place < len(names) and names[place] == after.segment
        return after.seq, place, after.offset + len(after.line) + 1 if there else 0
    low, high = 0, len(names)
    while after and high - low > 1:  # the last segment that begins with the next number or before it
        at = (low + high) // 2
        first = first_seq(folder, names[at])
        while first is None and at > low:
            at -= 1
            first = first_seq(folder, names[at])
        if at > low and first is not None and first <= after + 1:
            low = at
        else:
            high = max(at, low + 1)
    return after, low, 0


def _checked(file: BinaryIO) -> bool:
    """Whether each line of the segment has to end in a crc, as its first line tells."""
    found = _FORMAT.search(file.read(_HEAD_BYTES))
    file.seek(0)
    return found is not None and int(found[1]) >= _FORMAT_WITH_CRC


def _line(raw: bytes, name: str, offset: int, checked: bool) -> Line | None:
    head = _SEQ.match(raw)
    if head is None or not raw.endswith(b"}"):
        return None
    holds = crc_holds(raw)
    if holds is False or (checked and holds is None):
        return None
    return Line(int(head[1]), head[2], raw, name, offset)


def first_seq(folder: Path, name: str) -> int | None:
    """The number of a segment's first line, None if that line is not whole. Raises `OSError`."""
    with _opened(folder, name, ignore) as file:
        checked = _checked(file)
        line = _line(file.readline().rstrip(b"\n"), name, 0, checked)
    return None if line is None else line.seq


def lines_from_the_end(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, last first, without newlines. Holds one block and one line at a time."""
    with path.open("rb") as file:
        for _, raw in _lines_to_the_start(file):
            yield raw


def _lines_to_the_start(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each whole line, last first. What comes after the last newline is no line yet."""
    position = file.seek(0, os.SEEK_END)
    head = b""  # of the line that the block before may begin
    ended = False  # what comes after the last newline is no line yet
    while position > 0:
        size = min(BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        if not ended:
            block = block.rstrip(b"\0")
        head, *whole = (block + head).split(b"\n")
        offset = position + len(head) + sum(map(len, whole)) + len(whole)
        for raw in reversed(whole):
            offset -= len(raw)
            if ended:
                yield offset, raw
            ended = True
            offset -= 1
    if ended:
        yield 0, head
