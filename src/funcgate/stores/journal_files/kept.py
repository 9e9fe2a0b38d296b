"""Notes that must wait until the disk works again: bounded, without their bodies when they grow too big."""

from collections.abc import Iterable

import msgspec

from funcgate.core.entry import Drawn, Entry, whole


class Kept:
    """A queue of entries with a limit on their number and on the bytes of their bodies.

    `lost` counts those that found no place; their calls are closed as `unknown` at the next start.
    """

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._entries: list[Entry] = []
        self._bytes = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entries: Iterable[Entry | Drawn]) -> None:
        for entry in map(whole, entries):
            if len(self._entries) >= self._max_count:
                self.lost += 1
                continue
            size = _body_size(entry)
            if self._bytes + size > self._max_bytes:
                self._entries.append(thin(entry))
            else:
                self._bytes += size
                self._entries.append(entry)

    def take(self) -> list[Entry]:
        """All of them, in their order; none are left."""
        entries, self._entries, self._bytes = self._entries, [], 0
        return entries


def thin(entry: Entry) -> Entry:
    """The entry without its body, saying so."""
    if entry.body is None:
        return entry
    return msgspec.structs.replace(entry, body=None, body_cut=True)


def _body_size(entry: Entry) -> int:
    body = entry.body
    if body is None:
        return 0
    return len(body) if isinstance(body, str) else len(bytes(body))
