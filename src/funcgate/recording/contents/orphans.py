"""Objects that no line of the journal names: left by a crash between an object and its line. Harmless, and only listed here."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from funcgate.recording.folder import lines

from .objects import ContentStore

SETTLED_S = 3600.0
_NAMED = re.compile(rb'"(?:args_)?object":"(sha256:[0-9a-f]{64})"')


def orphans(data_dir: Path, *, settled_s: float = SETTLED_S, now: Callable[[], float] = time.time) -> Iterator[Path]:
    """Files of content that no line names, not changed for `settled_s` seconds: a younger one may still get its line.

    Reads the whole journal, and holds the digests of all objects. Raises `OSError`.
    """
    store = ContentStore(data_dir)
    found = set(store.digests())
    for line in lines(data_dir / "journal"):
        if b'object":"sha256:' in line.line:
            found.difference_update(digest.decode() for digest in _NAMED.findall(line.line))
    unfinished = sorted(store.unfinished.iterdir()) if store.unfinished.is_dir() else []
    for path in [*map(store.path, sorted(found)), *unfinished]:
        if now() - path.stat().st_mtime >= settled_s:
            yield path
