"""The journal's folder: which files are its own, who holds it, and how a change of the folder itself becomes durable.

It never deletes, renames or overwrites a file that it did not make.
"""

import contextlib
import fcntl
import os
import re
from pathlib import Path

LOCK = "lock"
PROBE = "probe"
RESERVE = "reserve"
PACKED = ".zst"
_SEGMENT = re.compile(r"(\d{8})\.jsonl(\.zst)?\Z")
_OWN = re.compile(r"(?:lock|probe|reserve|\d{8}\.torn-\d+(?:-\d+)?|\d{8}\.jsonl\.zst\.part)\Z")


class HeldElsewhere(Exception):
    """Another process holds the folder. The text says which, as far as it is known."""


def segment_name(number: int) -> str:
    return f"{number:08d}.jsonl"


def listing(folder: Path) -> tuple[list[int], list[int], list[str]]:
    """The numbers of the segments, rising; those of the compressed ones; the names of files that are not the journal's."""
    segments: list[int] = []
    packed: list[int] = []
    foreign: list[str] = []
    for name in sorted(os.listdir(folder)):
        found = _SEGMENT.match(name)
        if found is not None and (folder / name).is_file():
            (packed if found[2] else segments).append(int(found[1]))
        elif not _OWN.match(name):
            foreign.append(name)
    return segments, packed, foreign


def make_folder(folder: Path) -> None:
    """The folder and its parents, readable by the owner alone. Raises `OSError`."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)


def lock(folder: Path) -> int:
    """Hold the folder; returns the descriptor to close when done. Raises `HeldElsewhere` and `OSError`.

    The lock is the kernel's (flock): it ends with the process, however that dies.
    """
    held = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Attack: two writers on one folder number the same entries twice; only one may write.
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(held, 20, 0).decode("ascii", "replace").strip()
        os.close(held)
        if isinstance(error, BlockingIOError):
            raise HeldElsewhere(f"process {holder}" if holder.isdigit() else "another process") from None
        raise
    os.pwrite(held, f"{os.getpid():<19}\n".encode(), 0)
    return held


def sync_folder(folder: Path) -> None:
    """Make names that were added or removed durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(folder: Path) -> int:
    """Free space for ordinary users on the folder's file system. Raises `OSError`."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def prove_writable(folder: Path, size: int) -> None:
    """Write, sync and remove `size` bytes in a file of their own. Raises `OSError` if the disk still fails."""
    path = folder / PROBE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, bytes(size), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            path.unlink()
    sync_folder(folder)


def write_all(descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`; a short write is carried on. Raises `OSError`."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            with view[done:] as rest:
                done += os.pwrite(descriptor, rest, offset + done)
