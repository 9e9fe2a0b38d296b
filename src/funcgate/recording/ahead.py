"""The lines right behind one that was read already, as long as they are plain: many at once, without looking at the rest.

It is only a quick way: where it finds nothing, `folder.lines` tells what there is.
"""

import errno
from bisect import bisect_left
from pathlib import Path
from typing import BinaryIO

from funcgate.core.native import half

from .folder import Line, first_seq, open_segment, segment_names
from .run import Run

_BLOCK_BYTES = 1 << 20
_LINE_BYTES = 1 << 10  # what most lines are shorter than, and what is read beyond them: no zeros that wait for lines
_native = half("funcgate.recording._reading")


def lines_behind(folder: Path, after: Line, up_to: int, max_lines: int, max_bytes: int) -> tuple[Run | None, int]:
    """Some of the lines behind `after` in its segment, none left out between them, up to that number; None for none. How
    many bytes they are.

    Raises `OSError`.
    """
    if _native is None:
        return None, 0
    names = segment_names(folder)
    place = bisect_left(names, after.segment)
    if names[place : place + 1] != [after.segment]:
        return None, 0
    if place + 1 < len(names):
        # Attack: lines that were refused, whose numbers the next segment gives anew.
        below = first_seq(folder, names[place + 1])
        up_to = up_to if below is None else min(up_to, below - 1)
    try:
        file = open_segment(folder, after.segment)
    except FileNotFoundError:  # it expired
        return None, 0
    except OSError as error:
        if error.errno != errno.EBADMSG:
            raise
        return None, 0  # a compressed file that is not whole: who reads line by line tells of it
    with file:
        return _read(file, after, up_to, max_lines, max_bytes)


def _read(file: BinaryIO, after: Line, up_to: int, max_lines: int, max_bytes: int) -> tuple[Run | None, int]:
    wanted = min(up_to - after.seq, max_lines)
    if wanted <= 0 or max_bytes <= 0:
        return None, 0
    offset = after.offset + len(after.line) + 1
    file.seek(offset)
    block = file.read(min((wanted + 4) * _LINE_BYTES, max_bytes + wanted, _BLOCK_BYTES))
    found = _native.whole_lines(block, after.seq, up_to, max_lines, max_bytes)
    if found is None:
        # Attack: a number twice, that a reader in two steps would pass over. All of it is read in one.
        return None, 0
    table, size = found
    return (Run(block, table, after.segment, offset), size) if table else (None, 0)
