"""A file of a format whose parts cannot just follow each other: parts beside it first, joined at the end.

What was interrupted goes on with the next part. A part that is not what was written is never joined.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from funcgate.recording.contents.files import sync_folder, write_whole

from .cursor import Cursor, Part, Unfit, decode

PART_BYTES = 16 << 20

Join = Callable[[Iterable[Path]], Iterator[bytes]]


class PartedFile:
    """A `Place`: ``OUT.parts/00001``, …, with ``OUT.cursor``; at the end ``OUT`` alone."""

    in_parts = True
    step_bytes = PART_BYTES

    def __init__(self, path: Path, join: Join) -> None:
        self._path = path
        self._join = join
        self._beside = path.with_name(path.name + ".cursor")
        self._folder = path.with_name(path.name + ".parts")
        self._held = -1
        self._part = bytearray()
        self._rows = 0

    def found(self) -> Cursor | None:
        if self._beside.exists():
            return decode(self._beside.read_bytes(), str(self._beside))
        if self._path.exists():
            raise Unfit(f"{self._path} is there already, and no export that was interrupted; choose another name")
        return None

    def begin(self, cursor: Cursor, *, anew: bool) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._held = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unfit(f"{self._path} is being written by another export") from None
        if anew:
            cursor.parts = []
            self._save(cursor)
        for part in cursor.parts:
            # Attack: rows taken out of a half-made export, so that the whole one looks as if they had never been there.
            if _digest(self._folder / part.name) != part.sha256:
                raise Unfit(
                    f"{self._folder / part.name} is not what was written; remove it and the cursor to begin anew"
                )
        self._rows = cursor.rows

    def add(self, data: bytes) -> None:
        self._part += data

    def settle(self, cursor: Cursor) -> None:
        name, data = f"{len(cursor.parts) + 1:05d}", bytes(self._part)
        write_whole(self._folder / name, data, self._folder)
        cursor.parts.append(Part(name, len(data), cursor.rows - self._rows, hashlib.sha256(data).hexdigest()))
        cursor.bytes += len(data)
        self._part.clear()
        self._rows = cursor.rows
        self._save(cursor)

    def finish(self, cursor: Cursor) -> None:
        """`bytes` and `sha256` become those of the whole file."""
        if self._part:
            self.settle(cursor)
        whole, digest, size = self._folder / "whole", hashlib.sha256(), 0
        descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for piece in self._join(self._folder / part.name for part in cursor.parts):
                file.write(piece)
                digest.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(descriptor)
        whole.rename(self._path)
        sync_folder(self._path.parent)
        cursor.bytes, cursor.sha256 = size, digest.hexdigest()
        self._beside.unlink()
        for part in cursor.parts:
            (self._folder / part.name).unlink()
        self._folder.rmdir()

    def close(self) -> None:
        if self._held >= 0:
            os.close(self._held)

    def _save(self, cursor: Cursor) -> None:
        write_whole(self._beside, msgspec.json.encode(cursor), self._beside.parent)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
