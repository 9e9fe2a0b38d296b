"""Compresses the segments that are finished for good: beside, proved to read back the same, renamed in, the plain removed.

At every moment one whole file holds each segment, whenever the power fails. It expires nothing: that is retention's.
"""

import contextlib
import errno
import os
from pathlib import Path

from msgspec import Struct

from funcgate.recording.folder import PACKED, first_seq, segments

from .seekable import Packed, pack

KEPT_PLAIN = 2  # which is what a start of the gateway may have to read


class Archived(Struct, frozen=True):
    """A segment that is compressed now, by its name before, and its size before and after."""

    segment: str
    plain_bytes: int
    packed_bytes: int


class Archivist:
    """One at a time, in one process. It leaves `min_free_bytes` of the file system alone."""

    def __init__(self, *, min_free_bytes: int = 64 << 20) -> None:
        self._min_free_bytes = min_free_bytes

    def compress_due(self, folder: Path, at_most: int = 1) -> list[Archived]:
        """Compress the oldest segments that are due, at most so many. Raises `OSError`; the plain file is there then."""
        done = []
        for plain in _due(folder)[:at_most]:
            size = plain.stat().st_size
            if _free_bytes(folder) < self._min_free_bytes + size:
                break  # Attack: fill the disk, and have this take what is kept free for refusals.
            done.append(_compress(plain, size))
        return done


def _due(folder: Path) -> list[Path]:
    """The plain segments before the newest two whose first line is whole: one names the open calls for a start, and one
    more in case that a crash tears it."""
    found = segments(folder)
    left = KEPT_PLAIN
    while found and left:
        left -= first_seq(folder, found.pop().name) is not None
    return [path for path in found if path.suffix != PACKED]


def _compress(plain: Path, size: int) -> Archived:
    packed = plain.with_name(plain.name + PACKED)
    if not (packed.exists() and _reads_as(packed, plain)):  # else killed between the rename and the removal
        part = packed.with_name(packed.name + ".part")
        try:
            _write(plain, part)
            if not _reads_as(part, plain):
                raise OSError(errno.EIO, "what was compressed reads back as something else", str(part))
            part.rename(packed)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        _sync_folder(plain.parent)
    packed_bytes = packed.stat().st_size
    try:
        plain.unlink()
    except FileNotFoundError:
        packed.unlink()  # it expired meanwhile, and shall not come back
        raise
    _sync_folder(plain.parent)
    return Archived(plain.name, size, packed_bytes)


def _write(plain: Path, part: Path) -> None:
    # Attack: a link of this name leads elsewhere, and something there is overwritten.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with plain.open("rb") as source, os.fdopen(os.open(part, flags, 0o600), "wb") as target:
        pack(source, target)
        target.flush()
        os.fchmod(target.fileno(), 0o400)
        os.fsync(target.fileno())


def _reads_as(packed: Path, plain: Path) -> bool:
    try:
        unpacked = Packed(packed)
    except OSError as error:
        if error.errno == errno.EBADMSG:
            return False
        raise
    with unpacked, plain.open("rb") as file:
        return all(file.read(len(frame)) == frame for frame in unpacked.frames()) and not file.read(1)


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
