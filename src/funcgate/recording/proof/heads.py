"""All signed heads of the tree that a journal is held against: the local checkpoints, and copies from elsewhere.

Each that cannot be read, or is not signed by the key, is a fault: a head that is passed over would prove nothing.
"""

import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct, field

from .checkpoints import ALL, LATEST, kept_lines, note_in, numbered_lines
from .note import MAX_NOTE_BYTES, Checkpoint, NoteInvalid, VerifierKey, open_checkpoint
from .scan import Fault
from .trouble import ProofTrouble

_LOCK = "keeper.lock"
_COPY = re.compile(r"\d{15}|latest")
_TRIES, _TRIES_BESIDE = 3, 200
# Between them: the disk takes its time between the two files, and a keeper beside calls may wait for seconds.
_PAUSE_S = 0.05


class Head(Struct, frozen=True):
    """A checkpoint, and where it was found. `outside` says that it does not come from the data folder."""

    checkpoint: Checkpoint
    source: str
    outside: bool = False

    @property
    def size(self) -> int:
        return self.checkpoint.size


class Heads(Struct):
    """Rising by size. `latest` is the size of the largest local one."""

    found: list[Head] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    latest: int = 0


def local_heads(proof: Path, key: VerifierKey) -> Heads:
    """From `checkpoints.jsonl` and `checkpoint`. Raises `OSError`."""
    heads = Heads()
    tries = 0
    while True:  # beside a running gateway the files may be of different moments
        tries += 1
        latest, lines = _read(proof / LATEST), list(kept_lines(proof))
        at = [number for number, line in reversed(lines) if latest is not None and _note(line) == latest]
        if (at and at[0] == len(lines)) or not lines:
            break
        if tries >= (_TRIES_BESIDE if _is_kept(proof.parent) else _TRIES):
            break
        time.sleep(_PAUSE_S)
    before = 0
    for number, line in lines:
        source = f"proof/{ALL}, line {number}"
        head = _opened(_note(line), key, source, heads)
        if head is not None and head.size <= before:
            heads.faults.append(Fault(f"{source}: the checkpoint of {head.size} comes after one of {before}"))
        before = max(before, head.size if head is not None else 0)
    heads.latest = before
    _judge_latest(proof, latest, at, len(lines), key, heads)
    return heads


def _judge_latest(proof: Path, latest: bytes | None, at: list[int], count: int, key: VerifierKey, heads: Heads) -> None:
    """The file `checkpoint` is the last line of `checkpoints.jsonl`; the one before it, where a crash came in between."""
    if latest is None:
        if count > 1 or (count and not heads.faults):
            heads.faults.append(Fault(f"proof/{LATEST} is missing, and {count} checkpoints were made"))
        return
    head = _opened(latest, key, f"proof/{LATEST}", heads) if not at else None
    if head is not None:
        heads.latest = max(heads.latest, head.size)
        heads.faults.append(Fault(f"proof/{ALL} does not hold the checkpoint of {head.size} that is in proof/{LATEST}"))
    elif at and at[0] == count - 1:
        heads.notes.append(f"proof/{LATEST} is one behind proof/{ALL}: a stop came in between, or it was put back")
    elif at and at[0] < count - 1:
        # Attack: put an older checkpoint in place of the latest, so that an older journal fits it.
        heads.faults.append(Fault(f"proof/{LATEST} is an older one: {count - at[0]} were made after it"))


def add_outside(heads: Heads, key: VerifierKey, copies: Iterable[tuple[str, bytes]]) -> None:
    """Take copies, as (where from, note)."""
    for source, note in copies:
        _opened(note, key, source, heads, outside=True)


def sort(heads: Heads) -> None:
    heads.found.sort(key=lambda head: head.size)


def copies_in(path: Path) -> Iterator[tuple[str, bytes]]:
    """The notes in a file (one, or lines of a `checkpoints.jsonl`) or in a folder of copies. Raises `ProofTrouble`."""
    try:
        if path.is_dir():
            names = [name for name in sorted(path.iterdir()) if _COPY.fullmatch(name.name)]
            if not names:
                raise ProofTrouble(f"{path} holds no checkpoints")
            for name in names:
                yield str(name), _read(name) or b""
        elif path.suffix == ".jsonl":
            for number, line in numbered_lines(path):
                yield f"{path}, line {number}", _note(line)
        else:
            with path.open("rb") as file:
                yield str(path), file.read(MAX_NOTE_BYTES + 1)
    except OSError as error:
        raise ProofTrouble(f"{error.filename or path}: {error.strerror}") from None


def _is_kept(data_dir: Path) -> bool:
    """Whether a keeper holds the data folder, and may be between the two files. One that begins just now tries again."""
    try:
        descriptor = os.open(data_dir / _LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # there was none, or the lock is not for this user to see
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _opened(note: bytes, key: VerifierKey, source: str, heads: Heads, *, outside: bool = False) -> Head | None:
    try:
        head = Head(open_checkpoint(note, [key]), source, outside)
    except NoteInvalid as error:
        heads.faults.append(Fault(f"{source} is not a checkpoint of this journal: {error}"))
        return None
    heads.found.append(head)
    return head


def _note(line: bytes) -> bytes:
    try:
        return note_in(line)
    except NoteInvalid:
        return line  # which is no note either, and is told as such


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_NOTE_BYTES + 1)
    except FileNotFoundError:
        return None
