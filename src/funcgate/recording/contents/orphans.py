"""Objects that no line of the journal names: left by a crash between an object and its line, or by a write that was given up.

Harmless. They are listed, and removed one by one; who wants that has it recorded first.
"""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from funcgate.recording.folder import lines

from .objects import LEAVING, UNFINISHED, ContentStore, plain
from .places import Places

SETTLED_S = 3600.0
_NAMED = re.compile(rb'"(?:args_)?object":"(sha256:[0-9a-f]{64})"')
_PREFIX = "sha256:"


class Orphan(NamedTuple):
    """A file, and when it was last written to or used again, by the clock of its disk."""

    path: Path
    changed_ns: int


def orphans(
    data_dir: Path, *, settled_s: float = SETTLED_S, now: Callable[[], float] = time.time,
    unsure: Callable[[str], None] = lambda text: None,
) -> Iterator[Orphan]:  # fmt: skip
    """Files of content that no line names, not changed for `settled_s` seconds: a younger one may still get its line.

    In all places that are there. Reads the whole journal, and holds the digests of all objects. `unsure` is told of places that
    are not there, and of lines that cannot be read, which may name any. Raises `OSError`.
    """
    found: dict[str, list[Orphan]] = {}
    unfinished: list[Orphan] = []
    for store in Places(data_dir).stores(unsure):
        for digest in store.digests():
            found.setdefault(digest, []).extend(_as_it_is(store.path(digest)))
        for path in sorted(store.unfinished.iterdir()) if store.unfinished.is_dir() else ():
            if path.name.endswith(LEAVING):  # put aside by a deletion that did not come to its end
                found.setdefault(_PREFIX + path.name.removesuffix(LEAVING), []).extend(_as_it_is(path))
            elif UNFINISHED.fullmatch(path.name):
                unfinished.extend(_as_it_is(path))
    for line in lines(data_dir / "journal", damaged=lambda segment: unsure(f"a line of {segment} cannot be read")):
        if b'object":"sha256:' in line.line:
            for digest in _NAMED.findall(line.line):
                found.pop(digest.decode(), None)
    for orphan in [*(one for _, these in sorted(found.items()) for one in these), *unfinished]:
        if now() - orphan.changed_ns / 1e9 >= settled_s:
            yield orphan


def _as_it_is(path: Path) -> list[Orphan]:
    """Before the journal is read: what is used again after that shows. None for what is no file."""
    there = plain(path)
    return [] if there is None else [Orphan(path, there.st_mtime_ns)]


def remove(orphan: Orphan, *, settled_s: float = SETTLED_S) -> bool:
    """Remove what `orphans` has given, durably. False, and it stays, if the same content was written or used again since,
    whatever the clock says. Raises `OSError`.
    """
    path = orphan.path
    if UNFINISHED.fullmatch(path.name):
        path.unlink(missing_ok=True)
        return True
    store = ContentStore(path.parents[2])  # objects/ab/NAME, objects/unfinished/NAME.leaving
    digest = _PREFIX + path.name.removesuffix(LEAVING)
    return store.delete(digest, unused_s=settled_s, changed_ns=orphan.changed_ns)
