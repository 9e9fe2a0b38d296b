"""`checkpoints.jsonl` made shorter: of the checkpoints of an hour that is over, the last one stays.

It drops nothing that is not true: a checkpoint that is not of this tree, or not signed, is evidence, and stays.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .checkpoints import ALL, kept_lines, note_in
from .disk import replace
from .merkle import Tree
from .note import Checkpoint, NoteInvalid, VerifierKey, open_checkpoint

WHOLE_S = 3600.0  # so much is kept whole
_HOUR = len("2026-11-21T09")


class _Line(NamedTuple):
    raw: bytes
    checkpoint: Checkpoint | None  # None for what is no checkpoint of this journal

    @property
    def hour(self) -> str:
        return "" if self.checkpoint is None else self.checkpoint.at[:_HOUR]


def prune(proof: Path, key: VerifierKey, root: Callable[[int], bytes], before: str) -> int:
    """Drop what was made before that time (RFC 3339, UTC) and is not the last of its hour, nor the first or last of all. How many
    went. `root` is that of the tree at a size. Durable on return. Raises `OSError`."""
    lines = [_Line(raw, _opened(raw, key)) for _, raw in kept_lines(proof)]
    kept = [line.raw for at, line in enumerate(lines) if not _may_go(lines, at, root, before)]
    if len(kept) < len(lines):
        replace(proof / ALL, b"".join(raw + b"\n" for raw in kept))
    return len(lines) - len(kept)


def roots_of(tree: Tree, size: int) -> Callable[[int], bytes]:
    """The roots of a tree that has so many leaves, none for more."""
    return lambda wanted: tree.root(wanted) if 0 < wanted <= size else b""


def _may_go(lines: Sequence[_Line], at: int, root: Callable[[int], bytes], before: str) -> bool:
    checkpoint = lines[at].checkpoint
    if checkpoint is None or at in (0, len(lines) - 1) or not lines[at].hour or checkpoint.at >= before:
        return False
    following = lines[at + 1].checkpoint
    if following is None or lines[at + 1].hour != lines[at].hour or following.size <= checkpoint.size:
        return False
    # Attack: another history, signed with the key of this host; and then the checkpoint that gives it away is tidied up.
    return root(checkpoint.size) == checkpoint.root


def _opened(raw: bytes, key: VerifierKey) -> Checkpoint | None:
    try:
        return open_checkpoint(note_in(raw), [key])
    except NoteInvalid:
        return None
