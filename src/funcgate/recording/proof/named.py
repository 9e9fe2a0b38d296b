"""What entries name outside of the journal: content objects, and the keys of what is sealed. Whether it is still there.

It reads no content and opens nothing: a name, and what lies under it.
"""

import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from funcgate.recording.contents.keystore import SHREDDED, KeyStore
from funcgate.recording.reader import with_room

NAMES = (
    b'object":"sha256:',
    b'"sealed":{',
)  # a line without either names nothing; the words alone may stand in an answer
_OBJECT = "sha256:"
_DIGITS = frozenset("0123456789abcdef")
_BLOCK_BYTES = 1 << 20
Shape = TypeVar("Shape")


class _Keys(Struct):
    content_key: str = ""
    meta_key: str = ""


class _Names(Struct):
    object: str = ""
    args_object: str = ""
    sealed: _Keys | None = None


def names_in(raw: bytes) -> Iterator[str]:
    """The objects (``sha256:HEX``) and the keys (their names) that an entry needs."""
    names = decoded(raw, _Names) if any(word in raw for word in NAMES) else None
    if names is not None:
        yield from filter(_is_digest, (names.object, names.args_object))
        if names.sealed is not None:
            yield from filter(None, (names.sealed.content_key, names.sealed.meta_key))


def is_object(name: str) -> bool:
    return name.startswith(_OBJECT)


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


def check_named(data_dir: Path, names: Sequence[str]) -> list[tuple[str, str]]:
    """Of these objects and keys those that are ``missing`` or ``altered``. Raises `OSError`."""
    keys = KeyStore(data_dir)
    try:
        looked = ((name, _object(data_dir, name) if is_object(name) else _key(keys, name)) for name in names)
        return [(name, wrong) for name, wrong in looked if wrong]
    finally:
        keys.close()


def _object(data_dir: Path, digest: str) -> str:
    name = digest.removeprefix(_OBJECT)
    try:
        with (data_dir / "objects" / name[:2] / name).open("rb") as file:
            summed = sha256()
            while piece := os.read(file.fileno(), _BLOCK_BYTES):
                summed.update(piece)
    except FileNotFoundError:
        return "missing"
    return "" if summed.hexdigest() == name else "altered"


def _key(keys: KeyStore, name: str) -> str:
    # Attack: overwrite a key, so that what somebody did can no more be read and looks as if it had expired.
    line = keys.line(name)
    return "missing" if line is None or line.wrapped == SHREDDED else ""
