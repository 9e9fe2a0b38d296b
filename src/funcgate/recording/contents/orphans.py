"""Objects that no line of the journal names: left by a crash between an object and its line. Harmless, and only listed here."""

import re
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from funcgate.recording.folder import lines

from .places import Places

SETTLED_S = 3600.0
_NAMED = re.compile(rb'"(?:args_)?object":"(sha256:[0-9a-f]{64})"')


def orphans(data_dir: Path, *, settled_s: float = SETTLED_S, now: Callable[[], float] = time.time) -> Iterator[Path]:
    """Files of content that no line names, not changed for `settled_s` seconds: a younger one may still get its line.

    In all places that are there. Reads the whole journal, and holds the digests of all objects. Raises `OSError`.
    """
    stores = list(Places(data_dir).stores())
    found = {digest: store.path(digest) for store in stores for digest in store.digests()}
    for line in lines(data_dir / "journal"):
        if b'object":"sha256:' in line.line:
            for digest in _NAMED.findall(line.line):
                found.pop(digest.decode(), None)
    unfinished = [sorted(store.unfinished.iterdir()) for store in stores if store.unfinished.is_dir()]
    for path in [*(path for _, path in sorted(found.items())), *chain.from_iterable(unfinished)]:
        if now() - path.stat().st_mtime >= settled_s:
            yield path
