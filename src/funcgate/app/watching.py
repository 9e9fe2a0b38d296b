"""Whether files have changed: by looking once in a while, without a library and on any file system. It reads no content."""

from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[int, int, int]


class Watch:
    """Some files, and what they looked like when they were last read."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._seen = {path: stamp(path) for path in files}
        self._before = dict(self._seen)

    def follow(self, files: Iterable[Path]) -> None:
        """Look at these files from now on; what is known of those that were looked at before stays known."""
        self._seen = {path: self._seen[path] if path in self._seen else stamp(path) for path in files}

    def read(self) -> None:
        """The files are about to be read: changes count from here on. Before the reading, so that none is missed."""
        self._seen = {path: stamp(path) for path in self._seen}

    def changed(self) -> bool:
        """Whether a file is not what it was when it was read, and has not changed since the last look: an editor or a copy
        that is still writing is left to end."""
        now = {path: stamp(path) for path in self._seen}
        settled, self._before = now == self._before, now
        return settled and now != self._seen


def stamp(path: Path) -> Stamp:
    """What changes when a file is written, replaced or removed."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)
