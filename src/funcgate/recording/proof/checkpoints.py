"""The checkpoints of a data folder: the latest one (`proof/checkpoint`, a signed note) and all (`proof/checkpoints.jsonl`).

What it returns has been verified; it makes none.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from .disk import append, replace
from .key import PUBLIC, public_key
from .note import MAX_NOTE_BYTES, Checkpoint, NoteInvalid, VerifierKey, open_checkpoint
from .trouble import ProofTrouble

LATEST, ALL = "checkpoint", "checkpoints.jsonl"


class Kept(Struct, frozen=True):
    """One line of `checkpoints.jsonl`. `size` is for finding it; the note alone counts."""

    size: int
    note: str


class Signed(Struct, frozen=True):
    """A checkpoint whose signature has been verified, and its note."""

    checkpoint: Checkpoint
    note: bytes

    @property
    def size(self) -> int:
        return self.checkpoint.size


def latest_size(data_dir: Path) -> int:
    """How many entries the latest checkpoint covers, 0 if there is none: a journal with fewer was rolled back or truncated.

    Raises `ProofTrouble` for a checkpoint that cannot be read or is not signed by the key in `proof/public.vkey`.
    """
    found = latest(data_dir / "proof")
    return 0 if found is None else found.size


def latest(proof: Path, key: VerifierKey | None = None) -> Signed | None:
    """The latest checkpoint; of the two files, the one that is further. `key` is that of `public.vkey` if not given."""
    note = _read(proof / LATEST)
    line = _last_line(proof / ALL)
    if note is None and line is None:
        return None
    key = key or public_key(proof)
    if key is None:
        raise ProofTrouble(
            f"{proof / PUBLIC} is gone: restore it, the checkpoints beside it cannot be verified without"
        )
    found = [_open(proof / LATEST, note, key)] if note is not None else []
    if line is not None:
        found.append(_open(proof / ALL, _note_of(proof / ALL, line), key))
    return max(found, key=lambda signed: signed.size)


def save(proof: Path, signed: Signed) -> None:
    """Make it the latest. Durable on return; raises `OSError`."""
    path = proof / ALL
    _cut_torn(path)
    append(path, msgspec.json.encode(Kept(signed.size, signed.note.decode())) + b"\n")
    replace(proof / LATEST, signed.note)


def kept_lines(proof: Path) -> Iterator[tuple[int, bytes]]:
    """Number, from 1, and content of each line of `checkpoints.jsonl`, if there is one. Raises `OSError`."""
    with contextlib.suppress(FileNotFoundError):
        yield from numbered_lines(proof / ALL)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Of any such file; a torn last line is left out, and one that is too long for a note comes in pieces."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(2 * MAX_NOTE_BYTES):
            number += 1
            if line.endswith(b"\n") or len(line) == 2 * MAX_NOTE_BYTES:
                yield number, line.removesuffix(b"\n")


def note_in(line: bytes) -> bytes:
    """The note on a line, which has to be in the one form that `save` writes. Raises `NoteInvalid`."""
    try:
        kept = msgspec.json.decode(line, type=Kept)
    except (msgspec.MsgspecError, UnicodeError):
        kept = Kept(-1, "")
    if kept.note.split("\n", 2)[1:2] != [str(kept.size)] or msgspec.json.encode(kept) != line:
        raise NoteInvalid('the line is not of the form {"size":…,"note":…}')
    return kept.note.encode()


def _note_of(path: Path, line: bytes) -> bytes:
    try:
        return note_in(line)
    except NoteInvalid as error:
        raise ProofTrouble(f"{path}, last line: {error}") from None


def _open(path: Path, note: bytes, key: VerifierKey) -> Signed:
    try:
        return Signed(open_checkpoint(note, [key]), note)
    except NoteInvalid as error:
        raise ProofTrouble(f"{path} is not a checkpoint of this journal: {error}") from None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProofTrouble(f"{path}: {error.strerror}") from None


def _last_line(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            whole, _, _ = _tail(file)[1].rpartition(b"\n")
            return whole.rpartition(b"\n")[2] or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ProofTrouble(f"{path}: {error.strerror}") from None


def _cut_torn(path: Path) -> None:
    """What a crash left of a line is cut off before the next one is added."""
    try:
        with path.open("r+b") as file:
            start, tail = _tail(file)
            if not tail.endswith(b"\n"):
                file.truncate(start + tail.rfind(b"\n") + 1)
    except FileNotFoundError:
        return


def _tail(file: BinaryIO) -> tuple[int, bytes]:
    """The end of the file, more than the longest line, and where it begins."""
    start = max(0, file.seek(0, os.SEEK_END) - 2 * MAX_NOTE_BYTES)
    file.seek(start)
    return start, file.read()
