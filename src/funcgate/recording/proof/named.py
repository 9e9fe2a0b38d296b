"""What entries name outside of the journal: content objects, and the keys of what is sealed. Whether it is still there.

It reads no content and opens nothing: a name, and what lies under it.
"""

from collections.abc import Iterator, Sequence
from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from funcgate.recording.contents.errors import Missing
from funcgate.recording.contents.files import open_plain
from funcgate.recording.contents.keystore import SHREDDED, KeyStore
from funcgate.recording.contents.places import Places
from funcgate.recording.reader import with_room

NAMES = (
    b'object":"sha256:',
    b'"sealed":{',
)  # a line without either names nothing; the words alone may stand in an answer
_OBJECT = "sha256:"
_IN = "@"
_DIGITS = frozenset("0123456789abcdef")
Shape = TypeVar("Shape")


class _Keys(Struct):
    content_key: str = ""
    meta_key: str = ""


class _Names(Struct):
    object: str = ""
    args_object: str = ""
    where: str = ""
    sealed: _Keys | None = None


def names_in(raw: bytes) -> Iterator[str]:
    """The objects (``sha256:HEX``, in another folder ``sha256:HEX@PLACE``) and the keys (their names) that an entry needs."""
    names = decoded(raw, _Names) if any(word in raw for word in NAMES) else None
    if names is not None:
        place = f"{_IN}{names.where}" if names.where else ""
        yield from (f"{name}{place}" for name in (names.object, names.args_object) if _is_digest(name))
        if names.sealed is not None:
            yield from filter(None, (names.sealed.content_key, names.sealed.meta_key))


def is_object(name: str) -> bool:
    return name.startswith(_OBJECT)


def digest_of(name: str) -> str:
    """An object's name as orders of retention have it: without its place."""
    return name.partition(_IN)[0] if is_object(name) else name


def _is_digest(name: str) -> bool:
    digest = name.removeprefix(_OBJECT)
    return is_object(name) and len(digest) == 64 and _DIGITS.issuperset(digest)


def decoded(raw: bytes, shape: type[Shape]) -> Shape | None:
    """The line in that shape; None if it has another."""
    # Attack: hide what an entry names behind content nested so deeply that its line can be written but not read.
    try:
        return with_room(lambda given: msgspec.json.decode(given, type=shape), raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class Wrong(NamedTuple):
    """An object or key that is ``missing``, ``altered``, or ``away``: in a place that cannot be looked at, `why` says why."""

    name: str
    what: str
    why: str = ""


def check_named(data_dir: Path, names: Sequence[str]) -> list[Wrong]:
    """Of these objects and keys those that are not as they should be. Raises `OSError`."""
    keys, places = KeyStore(data_dir), Places(data_dir)
    try:
        looked = (_object(places, name) if is_object(name) else Wrong(name, _key(keys, name)) for name in names)
        return [wrong for wrong in looked if wrong.what]
    finally:
        keys.close()


def _object(places: Places, name: str) -> Wrong:
    digest, _, place = name.partition(_IN)
    try:
        store = places.store(place)
        return Wrong(name, _summed(store.path(digest)), f" (in {store.folder})" if place else "")
    except Missing as missing:
        return Wrong(name, "away", str(missing))
    except OSError as error:
        if not place:
            raise
        return Wrong(name, "away", f"{error.filename or place} cannot be read: {error.strerror}")


def _summed(path: Path) -> str:
    """What is wrong with the object in the file of its digest."""
    try:
        with open_plain(path) as file:
            summed = file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "missing"
    return "" if summed == path.name else "altered"


def _key(keys: KeyStore, name: str) -> str:
    # Attack: overwrite a key, so that what somebody did can no more be read and looks as if it had expired.
    line = keys.line(name)
    return "missing" if line is None or line.wrapped == SHREDDED else ""
