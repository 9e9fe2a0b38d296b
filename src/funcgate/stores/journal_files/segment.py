"""One segment: a file of lines that only grows, durable up to `length`, zeros after it until it is sealed.

Zeros are written ahead, in steps: a synced write into blocks that exist already takes half the time and a third of the
system's work of one that makes the file longer. A segment that failed once is never written again.
"""

import contextlib
import errno
import os
from pathlib import Path

from .folder import segment_name, sync_folder, write_all

AHEAD_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20
_ZEROS = bytes(AHEAD_BYTES)
_DSYNC: int = getattr(os, "RWF_DSYNC", 0) if hasattr(os, "pwritev") else 0
_datasync = getattr(os, "fdatasync", os.fsync)
_NO_DSYNC = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class Segment:
    """An open segment. Every method raises `OSError`; after one that did, only `withdraw` and `close` may be called.

    Zeros reach up to `end`. `second` is another descriptor of the same file, to write zeros at the end while lines are written,
    or -1.
    """

    def __init__(self, folder: Path, number: int, descriptor: int, length: int) -> None:
        self.folder = folder
        self.number = number
        self.length = length
        self._descriptor = descriptor
        self.end = length
        self.second = -1
        self._dsync = _DSYNC

    @classmethod
    def create(cls, folder: Path, number: int) -> "Segment":
        """A new segment, or one that a crash left empty. `FileExistsError` for a file that holds something."""
        descriptor = os.open(folder / segment_name(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size:
                raise FileExistsError(errno.EEXIST, f"{segment_name(number)} is in the way")
            sync_folder(folder)
        except OSError:
            os.close(descriptor)
            raise
        return cls(folder, number, descriptor, 0)

    @classmethod
    def reopen(cls, folder: Path, number: int, length: int) -> "Segment":
        """A segment that was not sealed, with the zeros that follow its `length`: on a full disk they are all the room."""
        descriptor = os.open(folder / segment_name(number), os.O_RDWR | os.O_CLOEXEC)
        os.fsync(descriptor)
        segment = cls(folder, number, descriptor, length)
        segment.end = max(length, os.fstat(descriptor).st_size)
        return segment

    @property
    def descriptor(self) -> int:
        return self._descriptor

    @property
    def quick_bytes(self) -> int:
        """So many may be appended in one synced write each, into zeros that are there, before zeros are due again."""
        return min(self.end - self.length - AHEAD_BYTES // 8, CHUNK_BYTES) if self._dsync else 0

    @property
    def ahead_bytes(self) -> int:
        """Zeros that no line was written over yet."""
        return self.end - self.length

    def open_second(self) -> None:
        """Its own open file, because a failed write-back is told once to each: of two syncs on one open file, the sync of
        the zeros could be told what befell the lines, and theirs that all is well. By the descriptor, not by the name, which
        may stand for another file by now."""
        if self.second < 0 and self._dsync:
            with contextlib.suppress(OSError):  # no /proc here: zeros are then written between two batches
                self.second = os.open(f"/proc/self/fd/{self._descriptor}", os.O_WRONLY | os.O_CLOEXEC)

    def write(self, lines: bytearray) -> None:
        """Append the lines; durable on return. In pieces of at most a mebibyte, which bounds what a crash can tear."""
        at, length = 0, self.length
        while at < len(lines):
            end = len(lines)
            if end - at > CHUNK_BYTES:
                end = lines.rfind(b"\n", at, at + CHUNK_BYTES) + 1 or lines.find(b"\n", at) + 1
            with memoryview(lines) as view, view[at:end] as piece:
                self._put(piece, length + at)
            at = end
        self.length = length + len(lines)

    @property
    def removed(self) -> bool:
        """Whether the file has no name any more. Does not block, may be asked from any thread."""
        try:
            # Attack: remove the file under the gateway; it would go on writing where nobody can read.
            return os.fstat(self._descriptor).st_nlink == 0
        except OSError:  # closed, after a failure that is told on its own
            return False

    def _put(self, piece: memoryview, offset: int) -> None:
        if self._dsync:
            try:
                done = os.pwritev(self._descriptor, [piece], offset, self._dsync)
            except OSError as error:
                if error.errno not in _NO_DSYNC:
                    raise
                self._dsync, done = 0, 0
            if done == len(piece):
                return
            piece, offset = piece[done:], offset + done
        write_all(self._descriptor, piece, offset)
        _datasync(self._descriptor)

    def go_on(self, lines: bytearray, done: int, trouble: int) -> None:
        """Append lines of which a synced write has written the first `done` bytes, then met `trouble` (an errno, or 0)."""
        if trouble in _NO_DSYNC:
            self._dsync = 0
        elif trouble:
            raise OSError(trouble, os.strerror(trouble))
        with memoryview(lines) as view, view[done:] as rest:
            write_all(self._descriptor, rest, self.length + done)
        _datasync(self._descriptor)
        self.length += len(lines)

    def zero_ahead(self, room: int) -> None:
        """Write zeros where the next lines go, if the last ones are nearly used up, at most `room` bytes of them.

        Only an economy, which the caller leaves out where space is short.
        """
        if self.end - self.length > AHEAD_BYTES // 8:
            return
        end = max(self.end, self.length) & ~4095
        size = min(room, AHEAD_BYTES) & ~4095
        if size <= AHEAD_BYTES // 8:
            return
        start = max(end, self.length)
        with memoryview(_ZEROS) as zeros:
            write_all(self._descriptor, zeros[: end + size - start], start)
        _datasync(self._descriptor)
        self.end = end + size

    def withdraw(self) -> None:
        """Cut off what came after the last durable line, and close the segment for good."""
        os.ftruncate(self._descriptor, self.length)
        os.fsync(self._descriptor)
        if self.length == 0:
            (self.folder / segment_name(self.number)).unlink(missing_ok=True)
            sync_folder(self.folder)
        else:
            self._seal()
        self.close()

    def seal(self) -> None:
        """Nothing is added any more: cut off the zeros, make the file read-only, close it."""
        self.trim()
        self._seal()
        self.close()

    def trim(self) -> None:
        """Cut off the zeros."""
        os.ftruncate(self._descriptor, self.length)
        self.end = self.length
        os.fsync(self._descriptor)

    def _seal(self) -> None:
        os.fchmod(self._descriptor, 0o400)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file. Never raises."""
        descriptors = self._descriptor, self.second
        self._descriptor = self.second = -1
        for descriptor in descriptors:
            if descriptor >= 0:
                with contextlib.suppress(OSError):  # the descriptor is gone either way
                    os.close(descriptor)
