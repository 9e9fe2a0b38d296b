"""The index as a chore of the keeper: fed with durable lines, never in a call's way, made anew when it is of no use."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from funcgate.recording.chore import ChoreFailed
from funcgate.recording.folder import Line
from funcgate.recording.reader import Open, as_it_is

from .database import NAME, REBUILD, Locked, locked, remove
from .following import catch_up, is_broken, open_indexer
from .forget import Forgetting
from .indexer import Indexer

_ENOUGH = 32_000  # lines
_ENOUGH_BYTES = 16 << 20


class IndexChore:
    """Keeps ``data_dir/index.db``, and the right to, from the first line or look at `position` until `close`.

    `secret` keys the index where the journal is encrypted; `opened` then gives entries with what was sealed. It does not grow
    into the last `min_free_bytes` of the disk.
    """

    name = "index"

    def __init__(
        self,
        data_dir: Path,
        *,
        secret: bytes = b"",
        text: bool = True,
        opened: Open = as_it_is,
        min_free_bytes: int = 0,
    ) -> None:
        self._data_dir = data_dir
        self._secret, self._text, self._opened = secret, text, opened
        self._min_free_bytes = min_free_bytes
        self._held = contextlib.ExitStack()
        self._indexer: Indexer | None = None
        self._forgetting: Forgetting | None = None
        self._waiting: list[Sequence[Line]] = []
        self._waiting_lines = 0
        self._waiting_bytes = 0
        self._position = 0
        self._closed = False

    @property
    def position(self) -> int:
        if not self._closed:
            with self._failing():
                self._position = self._ready().position
        return self._position

    def take(self, lines: Sequence[Line]) -> None:
        """As the chore says; a few lines wait for more, until the next `tick` at the latest, so that a call whose entries
        come one by one is indexed once. They are not in `position` before they are in the file."""
        self._waiting.append(lines)
        self._waiting_lines += len(lines)
        self._waiting_bytes += _bytes_of(lines)
        if self._waiting_lines >= _ENOUGH or self._waiting_bytes >= _ENOUGH_BYTES:
            self._flush()

    def tick(self) -> None:
        """Index what waits, forget what has expired; make the index anew if somebody asked for it."""
        self._flush()
        asked = self._data_dir / REBUILD
        if not asked.exists():
            with self._failing():
                indexer = self._ready()
                self._forgetting = self._forgetting or Forgetting(self._data_dir, indexer)
                self._forgetting.look()
            return
        with self._failing():
            self._ready()
            self._drop()
            remove(self._data_dir / NAME)
            asked.unlink(missing_ok=True)
        raise ChoreFailed("the index is made anew, as was asked")

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(sqlite3.Error):
            self._drop()
        self._held.close()

    def _flush(self) -> None:
        """What lies between the index and the first line is read from the journal: an index that was made anew needs no
        other start."""
        waiting, self._waiting, self._waiting_lines, self._waiting_bytes = self._waiting, [], 0, 0
        if not waiting:
            return
        first = waiting[0][0].seq
        # Attack: fill the disk, and have a mere view take what is kept free for refusals.
        if _free_bytes(self._data_dir) < self._min_free_bytes:
            raise ChoreFailed(f"the index {self._data_dir / NAME} waits: less space is free than is reserved")
        with self._failing():
            indexer = self._ready()
            if first > indexer.position + 1:
                catch_up(self._data_dir / "journal", indexer, below=first)
            indexer.add(*waiting)
            self._position = indexer.position

    def _ready(self) -> Indexer:
        if self._indexer is None:
            self._held.close()
            self._held.enter_context(locked(self._data_dir))
            self._indexer = open_indexer(self._data_dir, secret=self._secret, text=self._text, opened=self._opened)
        return self._indexer

    def _drop(self) -> None:
        indexer, self._indexer = self._indexer, None
        forgetting, self._forgetting = self._forgetting, None
        if forgetting is not None:
            forgetting.close()
        if indexer is not None:
            indexer.close()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except Locked as error:
            raise ChoreFailed(str(error)) from None
        except (sqlite3.Error, OSError, ValueError) as error:
            with contextlib.suppress(sqlite3.Error):
                self._drop()
            anew = ""
            if isinstance(error, ValueError) or (isinstance(error, sqlite3.Error) and is_broken(error)):
                with contextlib.suppress(OSError):
                    remove(self._data_dir / NAME)
                anew = "; it is made anew"
            raise ChoreFailed(f"the index {self._data_dir / NAME}: {error}{anew}") from None


def _bytes_of(lines: Sequence[Line]) -> int:
    """How many bytes they are; what is left out between them counts."""
    first, last = lines[0], lines[-1]
    if first.segment == last.segment and first.offset <= last.offset:
        return last.offset + len(last.line) - first.offset
    return sum([len(line.line) for line in lines])


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
