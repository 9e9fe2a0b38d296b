"""Content objects: files named by the SHA-256 of what is in them, beside the journal. Blocking: never on the event loop.

It knows neither entries nor keys. What it reads it verifies; what it deletes it has written down before.
"""

import contextlib
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import Altered, Expired, Missing
from .files import make_folder, open_plain, sync_folder, write_all, write_whole

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_NAME = re.compile(r"[0-9a-f]{64}")
_SHARD = re.compile(r"[0-9a-f]{2}")
UNFINISHED = re.compile(r"[0-9a-f]{16}\.[0-9a-f]{16}")  # as `files.write_whole` names it
LEAVING = ".leaving"  # what a deletion has put aside
_PREFIX = "sha256:"
_BLOCK_BYTES = 1 << 20
_AT_ONCE_BYTES = 64 << 20  # a larger file is looked at before it is held


class ContentStore:
    """``data_dir/objects/ab/abcdef…``. One process writes; any may read and delete."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "objects"
        self.unfinished = self.folder / "unfinished"
        self._expired = self.folder / "expired"

    def path(self, digest: str) -> Path:
        """Where the object is, if it is there. Raises `Altered` for what is no digest."""
        found = _DIGEST.fullmatch(digest)
        if found is None:
            # Attack: a forged line names `sha256:../../key`, and the reader shows what is there.
            raise Altered("an entry names an object by something that is no SHA-256 digest")
        return self.folder / found[1][:2] / found[1]

    def write(self, data: bytes) -> str:
        """Write the object durably and return its digest. The same content twice is one file. Raises `OSError`."""
        digest = _PREFIX + hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if data and _size(path) == len(data) and _touched(path):
            sync_folder(path.parent)  # whoever is naming it just now may not have synced the name
            return digest
        make_folder(self.unfinished)
        make_folder(path.parent)
        write_whole(path, data, self.unfinished)
        return digest

    def read(self, digest: str) -> bytes:
        """What is in the object. Raises `Missing`, `Expired`, `Altered` (also for one that cannot be read)."""
        try:
            data = _read(self.path(digest))
        except FileNotFoundError:
            if self._is_expired(digest):
                raise Expired(f"object {digest} has expired") from None
            raise Missing(f"object {digest} is missing: it is not in {self.folder}, and has not expired") from None
        except OSError as error:
            raise Missing(f"object {digest} cannot be read: {error.strerror}") from None
        if data is None or _PREFIX + hashlib.sha256(data).hexdigest() != digest:
            raise Altered(f"object {digest} was altered: its content has another digest")
        return data

    def is_there(self, digest: str) -> bool:
        """Whether the object is there, or put aside by a deletion that did not come to its end."""
        return self.path(digest).exists() or self._aside(digest).exists()

    def delete(self, digest: str, *, unused_s: float = 0.0, changed_ns: int | None = None) -> bool:
        """Write down that the object has expired, durably; then delete it, durably. Raises `OSError`. Twice is once.

        False, and it stays, if the same content was written again less than `unused_s` seconds ago, or after `changed_ns` of its
        disk's clock: its line may be on the way.
        """
        path, aside = self.path(digest), self._aside(digest)
        if not self.is_there(digest):
            return True
        make_folder(self.unfinished)
        # First out of the writer's way: from here on it writes anew, or its touch shows in what was put aside.
        with contextlib.suppress(FileNotFoundError):  # a deletion before this one came so far
            path.rename(aside)
        there = aside.stat()
        # The clock may have jumped since the content was used again; that it was still shows.
        if time.time() - there.st_mtime < unused_s or changed_ns not in (None, there.st_mtime_ns):
            aside.rename(path)
            return False
        try:
            self._note_expired(digest)
        except OSError:
            aside.rename(path)  # it stays, where it is looked for
            raise
        sync_folder(path.parent)
        aside.unlink(missing_ok=True)
        sync_folder(self.unfinished)
        return True

    def tidy(self, settled_s: float) -> None:
        """Remove what killed writers left `settled_s` seconds ago, half or whole: no line will name it. Raises `OSError`."""
        for name in os.listdir(self.unfinished) if self.unfinished.is_dir() else ():
            path = self.unfinished / name
            if UNFINISHED.fullmatch(name) and (found := plain(path)) and time.time() - found.st_mtime >= settled_s:
                path.unlink(missing_ok=True)

    def digests(self) -> Iterator[str]:
        """The objects that are there. Nothing else that lies in the folder is touched or told."""
        if not self.folder.is_dir():
            return
        for shard in sorted(self.folder.iterdir()):
            if _SHARD.fullmatch(shard.name) and shard.is_dir():
                for name in sorted(os.listdir(shard)):
                    if _NAME.fullmatch(name) and name.startswith(shard.name):
                        yield _PREFIX + name

    def _aside(self, digest: str) -> Path:
        return self.unfinished / f"{self.path(digest).name}{LEAVING}"

    def _note_expired(self, digest: str) -> None:
        with open_plain(self._expired, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as file:
            write_all(file.fileno(), f"{digest}\n".encode())
            os.fsync(file.fileno())
        sync_folder(self.folder)

    def _is_expired(self, digest: str) -> bool:
        line, before = f"\n{digest}\n".encode(), b"\n"
        try:
            with open_plain(self._expired) as file:
                while block := file.read(_BLOCK_BYTES):
                    before += block
                    if line in before:
                        return True
                    before = before[-len(line) :]
        except OSError:
            pass
        return False


def plain(path: Path) -> os.stat_result | None:
    """What is known of the file, None if it is none, or not there (any more)."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _read(path: Path) -> bytes | None:
    """What is in the file; None for a large one that is not what its name says. Raises `OSError`."""
    with open_plain(path) as file:
        # Attack: a file that is larger than the memory under the name of an object.
        if os.fstat(file.fileno()).st_size > _AT_ONCE_BYTES:
            if hashlib.file_digest(file, "sha256").hexdigest() != path.name:
                return None
            file.seek(0)
        return file.read()


def _touched(path: Path) -> bool:
    """Whether it is still there, now with the time of now: what is about to expire is kept then."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
