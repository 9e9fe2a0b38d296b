"""`proof/blocks`: the nodes of the tree over each 256 leaves, so that a proof among millions need not hash them all.

Only a cache: it may be deleted, and a proof that it leads astray is made anew without it.
"""

from pathlib import Path

from .leaves import Leaves
from .merkle import BLOCK, HASH_BYTES, root_of

BLOCKS = "blocks"
_MOST = 1 << 12  # in one go: a million leaves, under a second


def read_blocks(proof: Path) -> bytes:
    """What there is; nothing where it cannot be read."""
    try:
        return (proof / BLOCKS).read_bytes()
    except OSError:
        return b""


def add_blocks(proof: Path, leaves: Leaves, size: int) -> None:
    """Add the nodes over leaves up to `size` that are missing, a million leaves of them at most. Raises `OSError`."""
    with (proof / BLOCKS).open("ab") as file:
        begin = file.tell() // HASH_BYTES
        file.truncate(begin * HASH_BYTES)
        for at in range(begin, min(size // BLOCK, begin + _MOST)):
            file.write(root_of(leaves.read(at * BLOCK, (at + 1) * BLOCK)))
