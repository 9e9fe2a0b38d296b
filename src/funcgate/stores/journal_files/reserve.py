"""Space for the time when there is none: a file of zeros whose blocks become the segment that refusals go to.

It is handed over by renaming, whole: whoever fills the disk cannot take the blocks in between.
"""

import contextlib
import errno
import os
from pathlib import Path

from .folder import RESERVE, segment_name, sync_folder, write_all
from .segment import Segment

_BLOCK = bytes(1 << 20)
_CANNOT = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def is_full(error: BaseException) -> bool:
    """Whether a write failed for want of space."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """The file ``reserve``, of `size` bytes; none at all with 0. `held` is whether it is there. Methods raise `OSError`."""

    def __init__(self, folder: Path, size: int) -> None:
        self.size = size
        self.held = False
        self._folder = folder
        self._path = folder / RESERVE

    @property
    def missing(self) -> int:
        """The bytes that `make` would take."""
        return 0 if self.held else self.size

    def make(self) -> None:
        """Have the space, durably. When that fails, none of it is held."""
        if not self.size:
            self._path.unlink(missing_ok=True)
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if not _is_whole(descriptor, self.size):
                os.ftruncate(descriptor, 0)
                _allocate(descriptor, self.size)
                os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, 0)
            raise
        finally:
            os.close(descriptor)
        sync_folder(self._folder)
        self.held = True

    def give(self, number: int) -> Segment:
        """The space as a new segment, which takes lines until it is used up."""
        path = self._folder / segment_name(number)
        if path.exists() and path.stat().st_size:
            raise FileExistsError(errno.EEXIST, f"{path.name} is in the way")
        self.held = False
        self._path.rename(path)
        try:
            sync_folder(self._folder)
            return Segment.reopen(self._folder, number, 0)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    def take_back(self, number: int) -> None:
        """A segment that a crash left without a line: its zeros, if it has any, are the reserve again."""
        path = self._folder / segment_name(number)
        if self._path.exists():
            os.truncate(path, 0)
        elif path.stat().st_size:
            path.rename(self._path)


def _is_whole(descriptor: int, size: int) -> bool:
    found = os.fstat(descriptor)
    if found.st_size != size or found.st_blocks * 512 < size:
        return False
    # Attack: lay lines into the file; they would follow the journal's own once it is a segment.
    return all(not os.pread(descriptor, len(_BLOCK), at).strip(b"\0") for at in range(0, size, len(_BLOCK)))


def _allocate(descriptor: int, size: int) -> None:
    """Blocks, not a hole. Some file systems can only be made to by writing."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        for at in range(0, size, len(_BLOCK)):
            write_all(descriptor, _BLOCK[: size - at], at)
