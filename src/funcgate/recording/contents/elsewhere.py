"""Content of some targets goes to another folder than the data folder: written there, durably, before its line.

On the data path of these targets alone. A folder that is full, gone, or does not answer refuses their calls and nobody
else's: it has threads, a limit and a timeout of its own. It never falls back to the data folder.
"""

import asyncio
import contextlib
import errno
import queue
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Raw

from funcgate.core.entry import Entry, Kind
from funcgate.core.refusal import Code, Refused

from .errors import ContentError
from .forms import CONTENT, encode_salted, encrypt
from .keys import Keys
from .places import Place, Places, Written, write_to
from .seal import target_of

LIMIT_S = 10.0
MAX_WAITING_BYTES = 64 << 20
THREADS = 4
_ENTRY_BYTES = 1 << 10  # what waiting costs besides the content
_Announce = Callable[[Entry], Awaitable[None]]


class Elsewhere:
    """By target: where its content goes. Empty until `use`; then, and only then, does it cost anything."""

    __slots__ = ("_announce", "_depots", "_limit_s", "_max_waiting", "_places", "by_target")

    def __init__(
        self,
        data_dir: Path,
        announce: _Announce,
        *,
        limit_s: float = LIMIT_S,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._places = Places(data_dir)
        self._announce = announce
        self._limit_s = limit_s
        self._max_waiting = max_waiting_bytes
        self._depots: dict[Path, Depot] = {}
        self.by_target: Mapping[str, Depot] = {}

    def use(self, folders: Mapping[str, Path]) -> None:
        """From now on. What is under way goes on to where it was going."""
        for folder in {*folders.values()} - self._depots.keys():
            limits = (self._limit_s, self._max_waiting)
            self._depots[folder] = Depot(folder, self._places, self._announce, *limits)
        self.by_target = {target: self._depots[folder] for target, folder in folders.items()}
        for depot in self.by_target.values():
            depot.renew()

    async def ready(self) -> None:
        """Try the folders, so that it shows at once if one is not there. Never raises: `troubles` tells."""
        await asyncio.gather(*(depot.begin() for depot in {*self.by_target.values()}), return_exceptions=True)

    def troubles(self) -> list[str]:
        """What is wrong with the folders that are in use, for the operator."""
        return sorted(depot.trouble for depot in {*self.by_target.values()} if depot.trouble)

    def depot_of(self, entry: Entry) -> "Depot | None":
        """Where the entry's content has to go; None if it may stay, or there is none."""
        if entry.args is None and entry.body is None and not entry.fields:
            return None
        return self.by_target.get(target_of(entry))

    def close(self) -> None:
        for depot in self._depots.values():
            depot.close()


class Depot:
    """One such folder. `trouble` says why nothing can be written there, "" if the last that was tried went well."""

    def __init__(
        self, folder: Path, places: Places, announce: _Announce, limit_s: float, max_waiting_bytes: int
    ) -> None:
        self.trouble = ""
        self._folder = folder
        self._places = places
        self._announce = announce
        self._limit_s = limit_s
        self._max_waiting = max_waiting_bytes
        self._waiting = 0
        self._overdue = 0
        self._place: Place | None = None
        self._beginning = asyncio.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def renew(self) -> None:
        """Look again: the place may have been moved away from here, and back."""
        self._place = None

    async def begin(self) -> Place:
        """The place, once it is known to be there, and the journal has said where. Raises `Refused`."""
        async with self._beginning:
            if self._place is None:
                place = await self._run(lambda: self._places.begin(self._folder), 0)
                change = {"what": "place", "place": place.id, "folder": place.folder, "by": {"via": "gateway"}}
                await self._announce(Entry(kind=Kind.ADMIN, call="", outcome="complete", change=change))
                self._place = place
            return self._place

    async def lay(self, entry: Entry, keys: Keys | None) -> None:
        """Put all content of the entry there, durably, and have the entry name it. Raises `Refused`; it is unchanged then."""
        place = self._place or await self.begin()
        size = _size(entry.args) + _size(entry.body) + sum(len(name) + len(value) for name, value in entry.fields)

        def write() -> tuple[Written, int]:
            data = encode_salted(entry.args, entry.body, entry.fields)
            if keys is not None:
                data = encrypt(keys.content, data, entry, CONTENT)
            return write_to(place, data), len(data)

        written, entry.object_bytes = await self._run(write, size)
        entry.where, entry.object = written.where, written.digest
        entry.args = entry.body = None
        entry.fields = ()

    def close(self) -> None:
        for _ in self._threads:
            self._jobs.put(None)

    # -- threads

    async def _run(self, work: Callable[[], Any], size: int) -> Any:
        """In a thread of the folder's own, within the limits. Raises `Refused`."""
        size += _ENTRY_BYTES
        if self._overdue:
            raise self._refused(f"{self._folder} does not answer: what was written there hangs")
        # Attack: many large answers at once, to a slow disk, until the memory is gone.
        if self._waiting and self._waiting + size > self._max_waiting:
            why = f"{self._waiting} bytes of content wait for {self._folder}"
            raise Refused(Code.JOURNAL_OVERLOADED, private_detail=why)
        job = _Job(work, size, asyncio.get_running_loop(), self._ended)
        self._put(job)
        try:
            found = await asyncio.wait_for(asyncio.shield(job.done), self._limit_s)
        except TimeoutError:
            job.overdue = True
            self._overdue += 1
            raise self._refused(f"{self._folder} does not answer within {self._limit_s:g} s") from None
        except ContentError as error:
            raise self._refused(str(error)) from None
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, str(error.errno))
            raise self._refused(f"{self._folder}: {error.strerror} ({name})") from None
        self.trouble = ""
        return found

    def _refused(self, why: str) -> Refused:
        self.trouble = f"content cannot be stored: {why}"
        return Refused(Code.JOURNAL_UNAVAILABLE, private_detail=self.trouble)

    def _put(self, job: "_Job") -> None:
        self._waiting += job.size
        self._jobs.put(job)
        if len(self._threads) < THREADS:
            # Not of a pool: the interpreter would wait at its end for a disk that never answers.
            thread = threading.Thread(target=_work, args=(self._jobs,), name="funcgate-place", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _ended(self, job: "_Job") -> None:
        self._waiting -= job.size
        self._overdue -= job.overdue


class _Job:
    """One thing to do in a thread; `done` is on the loop."""

    def __init__(
        self, work: Callable[[], Any], size: int, loop: asyncio.AbstractEventLoop, ended: Callable[["_Job"], None]
    ) -> None:
        self.size = size
        self.overdue = False
        self.done: asyncio.Future[Any] = loop.create_future()
        self._work = work
        self._loop = loop
        self._ended = ended

    def run(self) -> None:
        """In the thread. Never raises."""
        found: Any = None
        error: Exception | None = None
        try:
            found = self._work()
        except Exception as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            self._loop.call_soon_threadsafe(self._tell, found, error)

    def _tell(self, found: Any, error: Exception | None) -> None:
        self._ended(self)
        if error is None:
            self.done.set_result(found)
        else:
            self.done.set_exception(error)
            self.done.exception()  # whoever waited for it may be gone


def _work(jobs: "queue.SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        job.run()


def _size(value: Raw | str | None) -> int:
    return 0 if value is None else len(value) if isinstance(value, str) else len(bytes(value))
