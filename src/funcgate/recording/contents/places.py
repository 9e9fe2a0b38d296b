"""Folders outside of the data folder that hold content of some targets: which there are, and whether one is really there.

Each is known by a mark of its own, so that an empty mount point, or another disk in its place, is never taken for it. What
was once written to is known for ever, whatever the configuration says now. Blocking: never on the event loop.
"""

import errno
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from .errors import Away, Missing
from .files import open_plain, write_whole
from .objects import ContentStore

FILE = "places.json"  # in the data folder
MARK = "funcgate-place.json"  # in the place
_NOTE = "content of a funcgate journal lies beside this file; without it, none of it can be found"
_MAX_BYTES = 1 << 20
Shape = TypeVar("Shape")


class Place(Struct, frozen=True, omit_defaults=True):
    """A folder, and the name that entries have for it. Before it has `begun`, its mark may not be written yet."""

    id: str
    folder: str
    begun: bool = False


class _File(Struct, frozen=True):
    places: tuple[Place, ...] = ()


class _Mark(Struct, frozen=True):
    id: str
    note: str = _NOTE


class Places:
    """Those of one data folder, and the data folder's own (`local`). One process begins new ones; any may read."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._file = data_dir / FILE
        self._lock = threading.Lock()
        self.local = ContentStore(data_dir)
        self._read_at: tuple[int, int, int] | None = None
        self._known: dict[str, Place] = {}

    def known(self) -> dict[str, Place]:
        """By their names. Raises `Missing` for a file that cannot be read."""
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise Missing(f"{self._file} cannot be read: {error.strerror}") from None
        state = (found.st_ino, found.st_mtime_ns, found.st_size)
        if state != self._read_at:
            self._known, self._read_at = {place.id: place for place in self._read()}, state
        return self._known

    def _read(self) -> tuple[Place, ...]:
        try:
            read = _decoded(self._file, _File)
        except OSError as error:
            raise Missing(f"{self._file} cannot be read: {error.strerror}") from None
        if read is None:
            raise Missing(f"{self._file} is not what funcgate wrote: bring it back from a copy")
        return read.places

    def store(self, name: str) -> ContentStore:
        """Where the objects of a place are, "" for the data folder. Raises `Away` if it is not there now, `Missing` if nobody
        knows it."""
        if not name:
            return self.local
        place = self.known().get(name)
        if place is None:
            said = f'the entry of kind admin that says "what":"place" and {name!r} names its folder'
            raise Missing(f"it lies in the place {name}, which {self._file} does not know: {said}")
        folder = Path(place.folder)
        _expect(folder, name)
        return ContentStore(folder)

    def stores(self, away: Callable[[str], None] = lambda text: None) -> Iterator[ContentStore]:
        """All that are there, the data folder's first; `away` is told of each that is not."""
        yield self.local
        for name in self.known():
            try:
                yield self.store(name)
            except Missing as missing:
                away(str(missing))

    def is_gone(self, digest: str) -> bool:
        """Whether the object is nowhere. Not before all places are there to be looked at."""
        away: list[str] = []
        there = any(store.path(digest).exists() for store in self.stores(away.append))
        return not there and not away

    def begin(self, folder: Path) -> Place:
        """The place in that folder, ready to be written to: a new one, one that is known, or one that was moved there.

        Raises `Away` when it is not there, or belongs to another gateway; `OSError`.
        """
        # Without the lock: a folder that does not answer holds up nobody else.
        marked = _mark(folder)
        known = self.known()
        here = next((place for place in known.values() if Path(place.folder) == folder), None)
        if marked is None:
            if here is not None and here.begun:
                raise Away(_absent(folder))
            place = here or self._keep(Place(secrets.token_hex(8), str(folder)))
            write_whole(folder / MARK, msgspec.json.encode(_Mark(place.id)) + b"\n", folder)
            return self._keep(replace(place, begun=True))
        if marked not in known:
            # Attack: two gateways in one folder, so that the retention of one deletes what the other recorded.
            raise Away(f"{folder} belongs to another data folder ({folder / MARK} says so): give each gateway its own")
        place = known[marked]
        if here is not None and here.id != marked:
            raise Away(f"{folder} holds the place {marked}, not {here.id} as before: is another disk mounted there?")
        if Path(place.folder) != folder and _is(Path(place.folder), marked):
            raise Away(f"{folder} is a copy of {place.folder}, which is still there: of a place there is only one")
        return self._keep(replace(place, folder=str(folder), begun=True))

    def _keep(self, place: Place) -> Place:
        """Durably. Raises `OSError`."""
        with self._lock:
            known = {**self.known(), place.id: place}
            if self._known.get(place.id) != place:
                write_whole(self._file, msgspec.json.encode(_File(tuple(known.values()))) + b"\n", self._data_dir)
        return place


class Written(Struct, frozen=True):
    """An object in a place: the place's name, the object's digest."""

    where: str
    digest: str


def write_to(place: Place, data: bytes) -> Written:
    """Write an object into a place, durably. Raises `Away`, `OSError`."""
    folder = Path(place.folder)
    _expect(folder, place.id)
    store = ContentStore(folder)
    digest = store.write(data)
    # Attack: none, a race: the disk goes just now, and what is written lies below its mount point, where nobody looks.
    _expect(folder, place.id)
    if store.path(digest).stat().st_dev != (folder / MARK).stat().st_dev:
        raise OSError(errno.ENODEV, "it was not written to the file system that the place is on")
    return Written(place.id, digest)


def _expect(folder: Path, name: str) -> None:
    """Raises `Away` unless it is that place."""
    if not _is(folder, name):
        raise Away(_absent(folder))


def _absent(folder: Path) -> str:
    return f"{folder} is not there, or not the place that it was (there is no such {MARK} in it): is it mounted?"


def _is(folder: Path, name: str) -> bool:
    try:
        return _mark(folder) == name
    except Away:
        return False


def _mark(folder: Path) -> str | None:
    """The name in the folder's mark, None if it has none. Raises `Away` if there is no such folder, or nothing readable."""
    path = folder / MARK
    try:
        mark = _decoded(path, _Mark)
    except FileNotFoundError:
        if folder.is_dir():
            return None
        raise Away(f"there is no folder {folder}: make it, or mount it. funcgate makes none there") from None
    except OSError as error:
        raise Away(f"{path} cannot be read: {error.strerror or os.strerror(error.errno or 0)}") from None
    if mark is None:
        raise Away(f"{path} is not what funcgate wrote")
    return mark.id


def _decoded(path: Path, shape: type[Shape]) -> Shape | None:
    """None for what has another shape. Raises `OSError`."""
    with open_plain(path) as file:
        data = file.read(_MAX_BYTES)
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
