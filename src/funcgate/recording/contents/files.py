"""Files that are there whole or not at all, also after a crash. Blocking: never on the event loop."""

import errno
import os
import secrets
import stat
from io import FileIO
from pathlib import Path


def make_folder(path: Path) -> None:
    """Make the folder (and those above it) durably, readable by its owner only. Raises `OSError`."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make what was named in the folder durable. Raises `OSError`."""
    number = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_whole(path: Path, data: bytes, beside: Path) -> None:
    """Write a file under a temporary name in the folder `beside` (of the same file system), sync it, name it, sync the name.

    Raises `OSError`; the file is then not there, or still the old one.
    """
    temporary = beside / f"{path.name[:16]}.{secrets.token_hex(8)}"
    try:
        number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(number, "wb", buffering=0) as file:
            write_all(file.fileno(), data)
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def open_plain(path: Path, flags: int = os.O_RDONLY) -> FileIO:
    """A file as it is, opened with these flags, unbuffered. Raises `OSError`, also for what is none: a link, a pipe, a folder."""
    # Attack: a pipe, which nobody ever writes to; a link, so that what is written goes to the journal.
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        number = os.open(path, flags | os.O_NONBLOCK, 0o600)
    except BlockingIOError:  # a lease on a file, of Samba's for example: it is given up when somebody waits
        if not stat.S_ISREG(path.lstat().st_mode):
            raise
        number = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(errno.EINVAL, "it is no file", str(path))
    return FileIO(number, "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "ab")


def write_all(number: int, data: bytes) -> None:
    """All of the data, however many writes that takes. Raises `OSError`."""
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]
