"""Where an export goes on this machine: a file that can be continued, or standard output, which cannot."""

import fcntl
import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from funcgate.recording.contents.files import sync_folder, write_whole

from .cursor import Cursor, Unfit, decode

BLOCK_BYTES = 1 << 20
STEP_BYTES = 4 << 20


class Place(Protocol):
    """One output. `in_parts`: each step is an object of its own, with the format's header and footer.

    `step_bytes` is after how much the caller settles; 0 for never.
    """

    in_parts: bool
    step_bytes: int

    def found(self) -> Cursor | None:
        """The cursor of an output that was begun; None for a place that is free. Raises `Unfit` for a finished one."""
        ...

    def begin(self, cursor: Cursor, *, anew: bool) -> None:
        """Go on behind what the cursor says, or from the start if `anew`. Raises `Unfit` if that is not what is there."""
        ...

    def add(self, data: bytes) -> None: ...

    def settle(self, cursor: Cursor) -> None:
        """Everything added is durable, and then the cursor, completed with how much there is."""
        ...

    def finish(self, cursor: Cursor) -> None:
        """Settle; the output is whole."""
        ...

    def close(self) -> None: ...


class FilePlace:
    """A file, with its cursor beside it for as long as it is not whole. Readable by its owner only."""

    in_parts = False
    step_bytes = STEP_BYTES

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(path.name + ".cursor")
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._bytes = 0

    def found(self) -> Cursor | None:
        if self._beside.exists():
            return decode(self._beside.read_bytes(), str(self._beside))
        if self._path.exists():
            raise Unfit(f"{self._path} is there already, and no export that was interrupted; choose another name")
        return None

    def begin(self, cursor: Cursor, *, anew: bool) -> None:
        if anew:
            cursor.bytes, cursor.sha256 = 0, ""
            self._save(cursor)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "r+b")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unfit(f"{self._path} is being written by another export") from None
        self._read_written(self._file, cursor)
        self._file.truncate(cursor.bytes)  # what came after the last cursor is written again
        self._file.seek(cursor.bytes)
        self._bytes = cursor.bytes

    def _read_written(self, file: BinaryIO, cursor: Cursor) -> None:
        left = cursor.bytes
        while left:
            block = file.read(min(left, BLOCK_BYTES))
            if not block:
                raise Unfit(f"{self._path} is shorter than its cursor says; remove both to begin anew")
            self._digest.update(block)
            left -= len(block)
        # Attack: rows taken out of a half-made export, so that the whole one looks as if they had never been there.
        if cursor.bytes and self._digest.hexdigest() != cursor.sha256:
            raise Unfit(f"{self._path} is not what was written; remove it and its cursor to begin anew")

    def add(self, data: bytes) -> None:
        assert self._file is not None
        self._file.write(data)
        self._digest.update(data)
        self._bytes += len(data)

    def settle(self, cursor: Cursor) -> None:
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        cursor.bytes, cursor.sha256 = self._bytes, self._digest.hexdigest()
        self._save(cursor)

    def finish(self, cursor: Cursor) -> None:
        self.settle(cursor)
        self._beside.unlink()
        sync_folder(self._path.parent)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _save(self, cursor: Cursor) -> None:
        write_whole(self._beside, msgspec.json.encode(cursor), self._beside.parent)


class StreamPlace:
    """Standard output. Nothing is kept of how far it came."""

    in_parts = False
    step_bytes = 0

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._bytes = 0

    def found(self) -> Cursor | None:
        return None

    def begin(self, cursor: Cursor, *, anew: bool) -> None:
        pass

    def add(self, data: bytes) -> None:
        self._stream.write(data)
        self._digest.update(data)
        self._bytes += len(data)

    def settle(self, cursor: Cursor) -> None:
        self._stream.flush()
        cursor.bytes, cursor.sha256 = self._bytes, self._digest.hexdigest()

    def finish(self, cursor: Cursor) -> None:
        self.settle(cursor)

    def close(self) -> None:
        pass
