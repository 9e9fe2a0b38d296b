"""What stands before the journal: large content goes beside it, first; where a key is configured, content goes sealed.

On the data path. Small entries that need no key pass at once. An entry whose content is not durable is never written.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from funcgate.core.entry import Drawn, Entry, Kind, whole
from funcgate.core.native import half, handed_back
from funcgate.core.ports import Journal
from funcgate.core.refusal import Code, Refused

from .elsewhere import LIMIT_S, MAX_WAITING_BYTES, Elsewhere
from .files import make_folder
from .forms import encode_part, encrypt
from .keys import KeyRing, Keys
from .objects import ContentStore
from .seal import emptied, is_open, seal, target_of

THREADS = 4
MAX_IN_FLIGHT_BYTES = 256 << 20
_native = half("funcgate.recording._native")
_ARRIVED, _DENIED, _ENDED = Kind.ARRIVED, Kind.DENIED, Kind.ENDED


class Contents:
    """`core.ports.Journal` in front of another. `check` before anything is started; `close` before the inner one is closed.

    `inline_bytes` is the most that stays in a line of arguments or of a body. `key` is 32 bytes, None for no encryption.
    Objects are not written into the last `keep_free_bytes` of the disk. All content of the targets that `elsewhere.use` is
    told goes to folders of their own, each write within `elsewhere_limit_s`, and at most `elsewhere_waiting_bytes` wait for
    one. The entries are changed on their way.
    """

    def __init__(
        self,
        inner: Journal,
        data_dir: Path,
        *,
        inline_bytes: int = 64 << 10,
        key: bytes | None = None,
        keep_free_bytes: int = 0,
        max_in_flight_bytes: int = MAX_IN_FLIGHT_BYTES,
        elsewhere_limit_s: float = LIMIT_S,
        elsewhere_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._inner = inner
        self._inline = inline_bytes
        self._keep_free = keep_free_bytes
        self._max_in_flight = max_in_flight_bytes
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="funcgate-content")
        self._objects = ContentStore(data_dir)
        self._ring = None if key is None else KeyRing(data_dir, key, self._threads)
        self.elsewhere = Elsewhere(
            data_dir, self._inner.append, limit_s=elsewhere_limit_s, max_waiting_bytes=elsewhere_waiting_bytes
        )
        self._in_flight = 0
        self._behind: dict[str, asyncio.Task[None]] = {}  # by call: what is under way, and what comes later waits for
        self._arrivals: set[asyncio.Task[None]] = set()  # those of them that a call begins with
        if not TYPE_CHECKING and _native is not None and key is None:
            slow = handed_back(self.append), handed_back(self.note)
            passing = _native.Inline(self._behind, self.elsewhere, inline_bytes, inner, *slow)
            self.append, self.note = passing.append, passing.note
        elif _native is not None:
            _native.draws(False)  # `whole` costs more than drawing saves

    def check(self) -> None:
        """Raises `WrongKey` when the data folder was begun with another key. Writes nothing."""
        if self._ring is not None:
            self._ring.check()

    def append(self, *entries: Entry | Drawn) -> Awaitable[None]:
        """See `core.ports.Journal`. Also raises `Refused(journal.unavailable)` when content or keys cannot be stored."""
        if self._behind or self._ring is not None or self.elsewhere.by_target or not _small(entries, self._inline):
            return self._in_turn(tuple(map(whole, entries)))
        return self._inner.append(*entries)

    def note(self, *entries: Entry | Drawn) -> None:
        """See `core.ports.Journal`. What cannot be sealed is noted without what would have to be."""
        if self._behind or self._ring is not None or self.elsewhere.by_target or not _small(entries, self._inline):
            return self._note_in_turn(tuple(map(whole, entries)))
        return self._inner.note(*entries)

    async def close(self) -> None:
        """Wait for what is under way; nothing may be given any more."""
        while self._behind:
            await asyncio.wait(set(self._behind.values()))
        self._threads.shutdown(wait=False)
        if _native is not None:
            _native.draws(True)
        self.elsewhere.close()

    # -- at once

    def _passes(self, entries: tuple[Entry, ...]) -> bool:
        """Whether the entries can go on now. They are sealed then, if they have to be."""
        ring = self._ring
        if not _small(entries, self._inline):
            return False
        if self.elsewhere.by_target and any(self.elsewhere.depot_of(entry) for entry in entries):
            return False
        return ring is None or _sealed(entries, ring)

    def _in_turn(self, entries: tuple[Entry, ...]) -> Awaitable[None]:
        before = self._before(entries)
        if not before and self._passes(entries):
            return self._inner.append(*entries)
        task = asyncio.create_task(self._append_later(entries, before))
        self._follow(entries, task)
        return asyncio.shield(task)  # a caller that goes away does not take its entries back

    def _note_in_turn(self, entries: tuple[Entry, ...]) -> None:
        before = self._before(entries)
        if before or not self._passes(entries):
            work = self._note_later(entries, before, before & self._arrivals)
            self._follow(entries, asyncio.create_task(work))
        else:
            self._inner.note(*entries)

    # -- later: one after the other for each call

    def _before(self, entries: Sequence[Entry]) -> set[asyncio.Task[None]]:
        return {self._behind[entry.call] for entry in entries if entry.call in self._behind}

    def _follow(self, entries: Sequence[Entry], task: asyncio.Task[None]) -> None:
        calls = {entry.call for entry in entries}
        self._behind.update(dict.fromkeys(calls, task))
        if any(entry.kind is _ARRIVED for entry in entries):
            self._arrivals.add(task)
        task.add_done_callback(lambda done: self._over(calls, done))

    def _over(self, calls: set[str], task: asyncio.Task[None]) -> None:
        for call in calls:
            if self._behind.get(call) is task:
                del self._behind[call]
        self._arrivals.discard(task)
        if not task.cancelled():
            task.exception()  # it was raised to whoever waits, if anybody still does

    async def _append_later(self, entries: tuple[Entry, ...], before: set[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        refusal = any(entry.kind is _DENIED for entry in entries)
        for entry in entries:
            try:
                await self._prepare(entry)
            except Refused:
                if not refusal:
                    raise
                # Attack: fill the disk, then try doors: a refusal is recorded, if need be without content
                await self._without_content(entry)
        await self._inner.append(*entries)

    async def _note_later(
        self, entries: tuple[Entry, ...], before: set[asyncio.Task[None]], arrivals: set[asyncio.Task[None]]
    ) -> None:
        if before:
            await asyncio.wait(before)
        never_arrived = any(task.cancelled() or task.exception() is not None for task in arrivals)
        for entry in entries:
            if never_arrived and entry.kind is _ENDED:
                continue  # its arrival was refused after its caller had gone: the call is not in the journal at all
            try:
                await self._prepare(entry)
            except Refused:
                await self._without_content(entry)
            self._inner.note(entry)

    async def _without_content(self, entry: Entry) -> None:
        """What is left of an entry whose content cannot be stored."""
        if self.elsewhere.depot_of(entry) is not None:
            entry.args = entry.body = None  # it may not lie here either
            entry.fields = ()
            with contextlib.suppress(Refused):
                await self._prepare(entry)
                return
        if self._ring is not None:
            emptied(entry)
        else:
            entry.args = entry.body = None

    async def _prepare(self, entry: Entry) -> None:
        """Keys first, then objects, then the entry sealed. Raises `Refused`."""
        ring, keys = self._ring, None
        if ring is not None and is_open(entry):
            target = target_of(entry)
            keys = ring.find(entry.session, target) or await ring.make(entry.session, target)
        depot = self.elsewhere.depot_of(entry) if self.elsewhere.by_target else None
        args, body = _large(entry.args, self._inline), _large(entry.body, self._inline)
        if depot is not None:
            await depot.lay(entry, keys)
        elif args or body:
            await self._lay_beside(entry, keys, args + body)
        if keys is not None:
            seal(entry, keys)

    async def _lay_beside(self, entry: Entry, keys: Keys | None, size: int) -> None:
        # Attack: many large answers at once, until the memory is gone.
        if self._in_flight and self._in_flight + size > self._max_in_flight:
            raise Refused(
                Code.JOURNAL_OVERLOADED, private_detail=f"{self._in_flight} bytes of content wait for the disk"
            )
        self._in_flight += size
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._lay, entry, keys)
        except OSError as error:
            why = f"content cannot be stored: {error.strerror} ({errno.errorcode.get(error.errno or 0, error.errno)})"
            raise Refused(Code.JOURNAL_UNAVAILABLE, private_detail=why) from None
        finally:
            self._in_flight -= size

    def _lay(self, entry: Entry, keys: Keys | None) -> None:
        """In a thread. Raises `OSError`."""
        if entry.args is not None and _large(entry.args, self._inline):
            data = encode_part(entry.args)
            entry.args_object = self._write(data if keys is None else encrypt(keys.content, data, entry, "args"))
            entry.args = None
        if entry.body is not None and _large(entry.body, self._inline):
            data = encode_part(entry.body)
            entry.object = self._write(data if keys is None else encrypt(keys.content, data, entry, "body"))
            entry.body = None

    def _write(self, data: bytes) -> str:
        if self._keep_free:
            make_folder(self._objects.folder)
            found = os.statvfs(self._objects.folder)
            if found.f_bavail * found.f_frsize < self._keep_free + len(data):
                raise OSError(errno.ENOSPC, "less space is free than is reserved")
        return self._objects.write(data)


def _all_small(entries: tuple[Entry | Drawn, ...], inline: int) -> bool:
    for entry in map(whole, entries):
        args, body = entry.args, entry.body
        if (body is not None and len(body) > inline) or (args is not None and len(args) > inline):
            return False
    return True


# Whether arguments and bodies of all the entries may stay in their lines.
_small: Callable[[tuple[Entry | Drawn, ...], int], bool] = _all_small if _native is None else _native.all_small


def _large(value: bytes | str | None, inline: int) -> int:
    """The value's length if it has to go beside the journal, else 0."""
    return len(value) if value is not None and len(value) > inline else 0


def _sealed(entries: Sequence[Entry], ring: KeyRing) -> bool:
    """Seal all the entries that have to be, or none when a key has to be made first."""
    work: list[tuple[Entry, Keys]] = []
    for entry in entries:
        if is_open(entry):
            keys = ring.find(entry.session, target_of(entry))
            if keys is None:
                return False
            work.append((entry, keys))
    for entry, keys in work:
        seal(entry, keys)
    return True
