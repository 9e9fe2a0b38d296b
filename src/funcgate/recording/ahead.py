"""The lines right behind one that was read already, as long as they are plain: many at once, without looking at the rest.

It is only a quick way: where it finds nothing, `folder.lines` tells what there is.
"""

import errno
from bisect import bisect_left
from pathlib import Path
from typing import BinaryIO

from funcgate.core.native import half

from .folder import BLOCK_BYTES, Line, first_seq, open_segment, segment_names

_native = half("funcgate.recording._reading")


def lines_behind(folder: Path, after: Line, up_to: int, max_lines: int, max_bytes: int) -> tuple[list[Line], int]:
    """Some of the lines behind `after` in its segment, none left out between them, up to that number; maybe none. How many
    bytes they are.

    Raises `OSError`.
    """
    if _native is None:
        return [], 0
    names = segment_names(folder)
    place = bisect_left(names, after.segment)
    if names[place : place + 1] != [after.segment]:
        return [], 0
    if place + 1 < len(names):
        # Attack: lines that were refused, whose numbers the next segment gives anew.
        below = first_seq(folder, names[place + 1])
        up_to = up_to if below is None else min(up_to, below - 1)
    try:
        file = open_segment(folder, after.segment)
    except FileNotFoundError:  # it expired
        return [], 0
    except OSError as error:
        if error.errno != errno.EBADMSG:
            raise
        return [], 0  # a compressed file that is not whole: who reads line by line tells of it
    with file:
        return _read(file, after, up_to, max_lines, max_bytes)


def _read(file: BinaryIO, after: Line, up_to: int, max_lines: int, max_bytes: int) -> tuple[list[Line], int]:
    found: list[Line] = []
    size = 0
    last, offset, more = after.seq, after.offset + len(after.line) + 1, True
    while more and last < up_to:
        file.seek(offset)
        block = file.read(BLOCK_BYTES)
        had = len(found)
        room = max_bytes - size
        taken, more = _native.whole_lines(block, after.segment, offset, last, up_to, max_lines - had, room, found)
        if taken < 0:
            # Attack: a number twice, that a reader in two steps would pass over. All of it is read in one.
            return [], 0
        if len(found) == had:
            break
        last, offset = found[-1].seq, offset + taken
        size += taken - (len(found) - had)  # without the newlines
    return found, size
