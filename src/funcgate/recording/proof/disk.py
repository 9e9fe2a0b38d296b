"""Files of the proof on the disk: replaced whole or appended to, durable on return. Every function raises `OSError`."""

import contextlib
import os
from pathlib import Path


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` in place of the file, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    sync_folder(path.parent)


def create(path: Path, data: bytes, mode: int = 0o600) -> None:
    """A file that was not there before, whole or not at all. `FileExistsError` if it is."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
        os.link(fresh, path)
    finally:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            fresh.unlink()
    sync_folder(path.parent)


def append(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Add `data` at the end."""
    there = path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if not there:
        sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """The folder and its parents, for the owner alone."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make names that were added or removed durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes, offset: int | None = None) -> None:
    """All of it: at `offset`, or where the file stands."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            with view[done:] as rest:
                if offset is None:
                    done += os.write(descriptor, rest)
                else:
                    done += os.pwrite(descriptor, rest, offset + done)
