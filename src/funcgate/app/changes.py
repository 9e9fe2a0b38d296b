"""What the record says of a change of the configuration: the text in full, what differs, and who made it.

Secrets stand in a configuration as references only, and so they do here. Everything has a limit.
"""

import contextlib
import hashlib
import os
import pwd
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from funcgate.config.load import Loaded
from funcgate.config.problems import Faulty
from funcgate.config.source import Source

MAX_TEXT_BYTES = 256 << 10
MAX_VALUE_BYTES = 4 << 10
MAX_CHANGES = 200
KEPT = "configuration.json"
_WHOLE = frozenset({"policies", "masking", "retention"})  # what one of these says is read as a whole

Change = dict[str, Any]


class Version(msgspec.Struct, frozen=True):
    """What the diff with the next version needs: the file's text, and the digests of the files that it names."""

    version: str
    text: str
    files: Mapping[str, str]


def version_of(loaded: Loaded) -> Version:
    names = [os.path.relpath(path, loaded.base) for path in loaded.files[1:]]
    files = {name: f"sha256:{digest}" if digest else "" for name, digest in zip(names, loaded.digests[1:], strict=True)}
    return Version(loaded.version, loaded.text, files)


def configuration(new: Version, old: Version | None) -> Change:
    """The `change` of the entry that a new version begins with. `old` None when none is known.

    The version is the SHA-256 over those of the text and of the files, in this order: the entry alone proves it.
    """
    change: Change = {"what": "configuration", "new": new.version}
    if old is not None:
        found = list(islice(_differences(old, new), MAX_CHANGES + 1))
        change |= {"old": old.version, "changes": found[:MAX_CHANGES]}
        if len(found) > MAX_CHANGES:
            change["changes_cut"] = True  # the texts of both versions tell the rest
    size = len(new.text.encode())
    if size > MAX_TEXT_BYTES:
        change |= {
            "text_digest": _digest(new.text.encode()),
            "note": f"the text has {size} bytes, too many for an entry",
        }
    else:
        change["text"] = new.text
    return change | {"files": dict(new.files)}


def by_signal() -> Change:
    """Only root and the gateway's own user can send it one; which of them did is not told to a process in a loop."""
    return {"via": "signal", "user": user_name(os.getuid())}


def by_file(path: Path) -> Change:
    """Whoever owns the file that changed."""
    try:
        return {"via": "file", "user": user_name(path.stat().st_uid)}
    except OSError:
        return {"via": "file"}


def by_process() -> Change:
    return {"via": "process", "user": user_name(os.getuid()), "pid": os.getpid()}


def user_name(uid: int) -> str:
    """A name of this system, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def remember(data_dir: Path, version: Version) -> None:
    """For the diff at the next start. Only a convenience: the journal has each text, so a failure is no reason to stop."""
    with contextlib.suppress(OSError):
        _replace(data_dir, version)


def _replace(data_dir: Path, version: Version) -> None:
    beside = data_dir / f".{KEPT}.{os.getpid()}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(version))
    beside.rename(data_dir / KEPT)


def remembered(data_dir: Path) -> Version | None:
    """The version that served last here; None if it is not known."""
    try:
        return msgspec.json.decode((data_dir / KEPT).read_bytes(), type=Version)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _differences(old: Version, new: Version) -> Iterator[Change]:
    try:
        before, after = (Source("", version.text.encode()).tree for version in (old, new))
    except Faulty:
        before, after = old.text, new.text
    yield from _between(before, after, "")
    yield from _between(dict(old.files), dict(new.files), "files")


def _between(old: Any, new: Any, where: str) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, list) and isinstance(new, list):
        before, after = _by_name(old), _by_name(new)
        if before is not None and after is not None:
            if before == after:  # the same ones in another order
                yield {"where": where, "change": "reordered", "after": _shown(list(after))}
            yield from _members(before, after, where, "{}[{}]")
            return
    if isinstance(old, dict) and isinstance(new, dict) and where.split("[")[0] not in _WHOLE:
        yield from _members(old, new, where, "{}.{}" if where else "{}{}")
        return
    yield {"where": where, "change": "changed", "before": _shown(old), "after": _shown(new)}


def _members(old: Mapping[str, Any], new: Mapping[str, Any], where: str, form: str) -> Iterator[Change]:
    for key in dict.fromkeys((*old, *new)):
        place = form.format(where, key)
        if key not in new:
            yield {"where": place, "change": "removed", "before": _shown(old[key])}
        elif key not in old:
            yield {"where": place, "change": "added", "after": _shown(new[key])}
        else:
            yield from _between(old[key], new[key], place)


def _by_name(items: list[Any]) -> dict[str, Any] | None:
    """A list of things that have names, by them; others by their place. None for a list of plain values."""
    if not all(isinstance(item, dict) for item in items):
        return None
    named = {str(item.get("name", at)): item for at, item in enumerate(items)}
    return named if len(named) == len(items) else {str(at): item for at, item in enumerate(items)}


def _shown(value: Any) -> Any:
    encoded = msgspec.json.encode(value)
    return value if len(encoded) <= MAX_VALUE_BYTES else {"digest": _digest(encoded), "bytes": len(encoded)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
