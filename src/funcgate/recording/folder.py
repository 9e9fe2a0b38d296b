"""A journal's folder, read from outside: its lines in order, from either end, also while it is being written.

Only reads. Skips what is no line of the journal: other files, a tail still being written, zeros written ahead, and lines
that were refused (their numbers are given anew in a later segment).
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

_SEGMENT = re.compile(r"\d{8}\.jsonl\Z")
_SEQ = re.compile(rb'\{"seq":(\d{1,18}),"at":"([0-9A-Za-z:.+-]{0,40})"')
BLOCK_BYTES = 256 << 10


class Line(NamedTuple):
    """One line without its newline, and the name of its segment. `at` is as the journal wrote it."""

    seq: int
    at: bytes
    line: bytes
    segment: str


Damaged = Callable[[str], None]


def ignore(segment: str) -> None:
    """Damage that nobody asked about."""


def segments(folder: Path) -> list[Path]:
    """The journal's files, oldest first. Raises `OSError` if there is no such folder."""
    return [folder / name for name in sorted(os.listdir(folder)) if _SEGMENT.match(name)]


def lines(folder: Path, *, newest_first: bool = False, damaged: Damaged = ignore) -> Iterator[Line]:
    """Every line that counts. `damaged` is told the segment of each line that is none. Raises `OSError`."""
    return _backwards(folder, damaged) if newest_first else _forwards(folder, damaged)


def _forwards(folder: Path, damaged: Damaged) -> Iterator[Line]:
    paths = segments(folder)
    for at, path in enumerate(paths):
        below = _first_seq(paths[at + 1]) if at + 1 < len(paths) else None
        with path.open("rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                line = _line(raw[:-1], path)
                if line is None:
                    damaged(path.name)
                elif below is not None and line.seq >= below:
                    break
                else:
                    yield line


def _backwards(folder: Path, damaged: Damaged) -> Iterator[Line]:
    ceiling: int | None = None
    for path in reversed(segments(folder)):
        for raw in lines_from_the_end(path):
            line = _line(raw, path)
            if line is None:
                damaged(path.name)
            elif ceiling is None or line.seq < ceiling:
                ceiling = line.seq
                yield line


def _line(raw: bytes, path: Path) -> Line | None:
    head = _SEQ.match(raw)
    if head is None or not raw.endswith(b"}"):
        return None
    return Line(int(head[1]), head[2], raw, path.name)


def _first_seq(path: Path) -> int | None:
    with path.open("rb") as file:
        line = _line(file.readline().rstrip(b"\n"), path)
    return None if line is None else line.seq


def lines_from_the_end(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, last first, without newlines. Holds one block and one line at a time."""
    with path.open("rb") as file:
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
            for raw in reversed(whole):
                if ended:
                    yield raw
                ended = True
        if ended:
            yield head
