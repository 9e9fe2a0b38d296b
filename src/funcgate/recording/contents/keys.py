"""The gateway's content keys: one pair (content, metadata) for each session, target and UTC day, durable before their first use.

It only makes keys and never reads them back: a start begins with new ones. What has left the cache is not asked for again.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from funcgate.core.refusal import Code, Refused

from .forms import CONTENT, METADATA
from .keystore import DayFile
from .wrapping import KEY_BYTES, Wrapping, begin_with, check_key

MAX_USES = (
    1 << 30
)  # entries, each at most two messages: a key with random nonces is good for 2^32 (NIST SP 800-38D, 8.3)
MAX_CACHED = 10_000
MAX_WAITING = 10_000
_DAY_S = 86400
Place = tuple[str, str]


class Keys:
    """The keys of one session and target. `until` is Unix time: the end of their day."""

    __slots__ = ("content", "content_name", "metadata", "metadata_name", "until", "used")

    def __init__(self, content: AESGCM, content_name: str, metadata: AESGCM, metadata_name: str, until: float) -> None:
        self.content = content
        self.content_name = content_name
        self.metadata = metadata
        self.metadata_name = metadata_name
        self.until = until
        self.used = 0


class KeyRing:
    """Keys by session and target. On one event loop; what blocks goes to `threads`. `now` is Unix time in seconds."""

    def __init__(
        self,
        data_dir: Path,
        key: bytes,
        threads: ThreadPoolExecutor,
        *,
        max_cached: int = MAX_CACHED,
        max_uses: int = MAX_USES,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._data_dir = data_dir
        self._wrapping = Wrapping(key)
        self._threads = threads
        self._max_cached = max_cached
        self._max_uses = max_uses
        self._now = now
        self._cached: dict[Place, Keys] = {}
        self._wanted: dict[Place, asyncio.Future[Keys]] = {}
        self._making: asyncio.Task[None] | None = None
        self._file: DayFile | None = None

    def check(self) -> None:
        """Raises `WrongKey` for another key than the folder was begun with. Writes nothing."""
        check_key(self._data_dir, self._wrapping)

    def find(self, session: str, target: str) -> Keys | None:
        """The keys to use now, None if they have to be made."""
        place = (session, target)
        keys = self._cached.pop(place, None)
        if keys is None or keys.until <= self._now() or keys.used >= self._max_uses:
            return None
        self._cached[place] = keys  # the last to go
        return keys

    async def make(self, session: str, target: str) -> Keys:
        """New keys, durable. Raises `Refused` when they cannot be stored, or too many are waited for."""
        place = (session, target)
        wanted = self._wanted.get(place)
        if wanted is None:
            # Attack: a new session with each call. Their keys are stored many at a time, and no more than so many wait.
            if len(self._wanted) >= MAX_WAITING:
                raise Refused(Code.JOURNAL_OVERLOADED, private_detail=f"{MAX_WAITING} content keys wait for the disk")
            self._wanted[place] = wanted = asyncio.get_running_loop().create_future()
            if self._making is None:
                self._making = asyncio.create_task(self._make_all(), name="content keys")
        return await asyncio.shield(wanted)

    async def _make_all(self) -> None:
        """All that are wanted, in one write; then all that have been wanted meanwhile."""
        loop = asyncio.get_running_loop()
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            try:
                made = await loop.run_in_executor(self._threads, self._make, list(wanted))
            except Exception as error:
                self._file = None
                self._give_up(wanted, error)
                continue
            for place, keys in made.items():
                self._keep(place, keys)
                if not wanted[place].done():
                    wanted[place].set_result(keys)
        self._making = None

    def _give_up(self, wanted: Mapping[Place, asyncio.Future[Keys]], error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        for future in wanted.values():
            future.set_exception(
                Refused(Code.JOURNAL_UNAVAILABLE, private_detail=f"no content key can be stored: {why}")
            )
            future.exception()  # whoever waited for it may be gone

    def _keep(self, place: Place, keys: Keys) -> None:
        if len(self._cached) >= self._max_cached:
            del self._cached[next(iter(self._cached))]
        self._cached[place] = keys

    def _make(self, places: list[Place]) -> dict[Place, Keys]:
        """In a thread. Raises `OSError`, `WrongKey`."""
        day = int(self._now() // _DAY_S)
        name = datetime.fromtimestamp(day * _DAY_S, UTC).date().isoformat()
        if self._file is None or self._file.day != name:
            begin_with(self._data_dir, self._wrapping)
            self._file = DayFile(self._data_dir / "keys", name)
        with self._file.alone():  # each worker makes keys
            made = {place: self._pair(self._file, place, (day + 1) * _DAY_S) for place in places}
            self._file.write()
        return made

    def _pair(self, file: DayFile, place: Place, until: float) -> Keys:
        ciphers, names = [], []
        for cls in (CONTENT, METADATA):
            info = file.add(*place, cls)
            key = secrets.token_bytes(KEY_BYTES)
            file.put(info, self._wrapping.wrap(info, key))
            ciphers.append(AESGCM(key))
            names.append(info.name)
        return Keys(ciphers[0], names[0], ciphers[1], names[1], until)
