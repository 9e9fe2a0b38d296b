"""`proof/leaves`: the hash of every line ever, 32 bytes each, in order. It stays when what was hashed has expired.

It is only added to. Beyond the last checkpoint it is a memory of what was hashed, which nobody has signed yet.
"""

import os
from pathlib import Path

from .disk import make_folder, sync_folder, write_all
from .merkle import HASH_BYTES

LEAVES = "leaves"
_ZERO = bytes(HASH_BYTES)


class Leaves:
    """The file, open. Every method raises `OSError`."""

    def __init__(self, path: Path, *, write: bool = False) -> None:
        self.path = path
        if write:
            make_folder(path.parent)
            there = path.exists()
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not there:
                sync_folder(path.parent)
        else:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def count(self) -> int:
        """Whole hashes; what a crash left of one does not count, nor zeros at the end where hashes did not get to the disk."""
        count = os.fstat(self._descriptor).st_size // HASH_BYTES
        while count:
            start = max(0, count - 4096)
            tail = self.read(start, count).rstrip(b"\0")
            if tail:
                return start - (-len(tail) // HASH_BYTES)
            count = start
        return 0

    def read(self, begin: int, end: int) -> bytes:
        """The hashes from `begin` up to `end`. `EOFError` when there are fewer."""
        want, at = (end - begin) * HASH_BYTES, begin * HASH_BYTES
        found = os.pread(self._descriptor, want, at)
        while len(found) < want:
            more = os.pread(self._descriptor, want - len(found), at + len(found))
            if not more:
                raise EOFError(f"{self.path} ends before leaf {end}")
            found += more
        return found

    def write(self, begin: int, hashes: bytes) -> None:
        """Put the hashes in from `begin` on. In the kernel's hands on return; `sync` makes them durable."""
        write_all(self._descriptor, hashes, begin * HASH_BYTES)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)


def is_blank(leaf: bytes) -> bool:
    """Whether this is a place that a crash left without its hash."""
    return leaf == _ZERO
