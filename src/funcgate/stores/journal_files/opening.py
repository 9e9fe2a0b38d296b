"""Taking hold of the folder at the start: lock, repair, open. All of it blocks, so it runs in a thread.

Whatever is wrong becomes one sentence for the operator; nothing is destroyed on the way.
"""

import os
from pathlib import Path

from msgspec import Struct

from funcgate.core.problem import Problem, Unusable

from .folder import HeldElsewhere, free_bytes, lock, make_folder
from .repair import EndsTooSoon, Found, NewerFormat, OnlyPacked, examine
from .reserve import Reserve, is_full
from .segment import Segment
from .writer import reason


class Repaired(Struct, frozen=True):
    """What a start found and mended. `closed` calls got their `ended`, outcome `unknown`; `cut_bytes` torn bytes were
    moved to the file `saved_as`; `damaged` (``SEGMENT:BYTE``) and `foreign` files were left as they are."""

    last_seq: int = 0
    closed: tuple[str, ...] = ()
    cut_bytes: int = 0
    saved_as: str = ""
    damaged: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


class Opened(Struct):
    """The folder, held by the descriptor `lock`. `segment` is None when the next batch begins a new one."""

    lock: int
    found: Found
    segment: Segment | None
    low: bool

    @property
    def repaired(self) -> Repaired:
        found = self.found
        closed, damaged = tuple(sorted(found.open)), tuple(found.damaged)
        return Repaired(found.last_seq, closed, found.cut_bytes, found.saved_as, damaged, found.foreign)


def open_folder(folder: Path, min_free_bytes: int, reserve: Reserve, at_least: int = 0) -> Opened:
    """Lock the folder, repair the journal's end, open its last segment, have the reserve if there is space for it. Raises
    `Unusable`."""
    held = -1
    try:
        make_folder(folder)
        held = lock(folder)
        found = examine(folder, at_least)
        segment = None
        if found.length and not found.sealed:
            segment = Segment.reopen(folder, found.number, found.length)
            if found.dated:  # a segment keeps to one format
                segment.seal()
                segment = None
        elif found.number and not found.sealed:
            reserve.take_back(found.number)
        _make(reserve)
        low = bool(reserve.missing) or free_bytes(folder) < min_free_bytes
        return Opened(held, found, segment, low)
    except HeldElsewhere as elsewhere:
        text = f"is in use by {elsewhere}; one data_dir serves one gateway: stop that one, or give this one its own"
    except NewerFormat as newer:
        text = f"has a segment of another version of funcgate ({newer}): start that version, or use another folder"
    except OnlyPacked as packed:
        text = f"ends in a compressed segment ({packed}), which funcgate never leaves: put back the segments that came "
        text += f"after it; if there are none, unpack it (zstd -d --rm {packed}) and start again"
    except EndsTooSoon as early:
        text = f"ends at entry {early.last_seq}, but a signed checkpoint covers entries up to {at_least}: it was cut off or "
        text += "put back to an older state. Nothing was changed. Put the missing segments back; if they are lost, keep this "
        text += "data_dir as evidence (funcgate audit verify tells what is missing) and start with a new one"
    except OSError as error:
        text = f"cannot be opened: {reason(error)}"
    if held >= 0:
        os.close(held)
    raise unusable(folder, text)


def _make(reserve: Reserve) -> None:
    try:
        reserve.make()
    except OSError as error:
        if not is_full(error):
            raise


def unusable(folder: Path, text: str) -> Unusable:
    return Unusable([Problem(where=("data_dir",), text=f"the journal {folder} {text}")])
