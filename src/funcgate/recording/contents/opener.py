"""Entries as they were before they were sealed and their content laid beside the journal. Only reads.

What cannot be restored is left out and said; it never guesses, and shows nothing that does not authenticate.
"""

import base64
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Raw
from msgspec.structs import replace

from funcgate.core.entry import Entry, Sealed

from .errors import Altered, Away, ContentError, Expired
from .forms import CONTENT, METADATA, Part, decode_body, decode_content, decode_metadata, decrypt
from .keystore import SHREDDED, KeyStore
from .places import Places
from .wrapping import Wrapping, check_key

MAX_CACHED_KEYS = 10_000
Class = Literal["content", "metadata"]
Why = Literal["expired", "missing", "away", "altered", "locked"]


class Lost(NamedTuple):
    """One part of an entry that could not be restored. `cls` is ``content`` or ``metadata``, `text` is for the operator.

    ``expired``: its key or object was deleted; ``missing``: its object is not there, and nothing says that it expired;
    ``away``: it lies in a folder that is not there now; ``altered``: it is not what was recorded;
    ``locked``: it is encrypted, and no key is configured.
    """

    cls: Class
    why: Why
    text: str


class Opened(NamedTuple):
    """The entry with what could be restored, and what could not. What is lost stays as it is in the line (`sealed`, `object`)."""

    entry: Entry
    lost: tuple[Lost, ...] = ()

    @property
    def expired(self) -> tuple[str, ...]:
        """The classes that have expired."""
        return tuple(dict.fromkeys(one.cls for one in self.lost if one.why == "expired"))


class _Cached(NamedTuple):
    wrapped: str
    cipher: AESGCM


class Opener:
    """Opens the entries of one data folder. For one thread at a time.

    `key` is the configured key (32 bytes), None where encryption is not configured: sealed parts then stay sealed. Raises
    `WrongKey` for a key that is not this folder's.
    """

    def __init__(self, data_dir: Path, key: bytes | None = None) -> None:
        self._places = Places(data_dir)
        self._keys = KeyStore(data_dir)
        self._wrapping = None if key is None else Wrapping(key)
        if self._wrapping is not None:
            check_key(data_dir, self._wrapping)
        self._cached: dict[str, _Cached] = {}
        self.away: dict[str, int] = {}  # what was not there when it was looked for, and how often
        self._steps: tuple[tuple[Class, Callable[[Entry, Entry], None]], ...] = (
            (CONTENT, self._content), (CONTENT, self._args), (CONTENT, self._body), (METADATA, self._metadata),
        )  # fmt: skip

    def open(self, entry: Entry) -> Entry:
        """The entry with its sealed fields and its objects' content in place, as far as they can be had."""
        return self.look(entry).entry if entry.sealed is not None or entry.object or entry.args_object else entry

    def look(self, entry: Entry) -> Opened:
        """The same, with what could not be had and why."""
        opened = replace(entry, sealed=None)
        lost: dict[tuple[str, str], Lost] = {}
        for cls, restore in self._steps:
            try:
                restore(entry, opened)
            except (ContentError, msgspec.MsgspecError, ValueError, OSError) as error:
                one = _lost(cls, error)
                lost.setdefault((cls, one.why), one)
        opened.sealed = _still_sealed(entry.sealed, {cls for cls, _ in lost})
        return Opened(opened, tuple(lost.values()))

    def lacking(self, opened: Entry) -> tuple[Lost, ...]:
        """What could not be had of an entry that `open` gave, and why."""
        here = opened.body is not None or (opened.where and (opened.args is not None or opened.fields))
        rest = replace(opened, object="" if here else opened.object)
        rest.args_object = "" if opened.args is not None else opened.args_object
        return self.look(rest).lost if rest.sealed is not None or rest.object or rest.args_object else ()

    def close(self) -> None:
        self._keys.close()

    def _content(self, entry: Entry, opened: Entry) -> None:
        sealed = entry.sealed
        if entry.where and entry.object:
            content = decode_content(self._object(entry.object, entry, CONTENT))
        elif sealed is not None and sealed.content:
            cipher = self._cipher(sealed.content_key)
            content = decode_content(_decrypted(cipher, base64.b64decode(sealed.content), entry, CONTENT))
        else:
            return
        opened.args, opened.body, opened.fields = content.args, content.body, content.fields

    def _metadata(self, entry: Entry, opened: Entry) -> None:
        sealed = entry.sealed
        if sealed is not None and sealed.meta:
            cipher = self._cipher(sealed.meta_key)
            found = decode_metadata(_decrypted(cipher, base64.b64decode(sealed.meta), entry, METADATA))
            for name in found.__struct_fields__:
                setattr(opened, name, getattr(found, name))

    def _args(self, entry: Entry, opened: Entry) -> None:
        if entry.args_object:
            opened.args = Raw(self._object(entry.args_object, entry, "args"))

    def _body(self, entry: Entry, opened: Entry) -> None:
        if entry.object and not entry.where:
            opened.body = decode_body(self._object(entry.object, entry, "body"))

    def _object(self, digest: str, entry: Entry, part: Part) -> bytes:
        """What is in the object, which may be sealed with the entry's content key."""
        name = "" if entry.sealed is None else entry.sealed.content_key
        if not name:
            return self._read(digest, entry.where)
        cipher = self._cipher(name)  # first: an object without its key has expired, whatever became of its file
        return _decrypted(cipher, self._read(digest, entry.where), entry, part)

    def _read(self, digest: str, where: str) -> bytes:
        try:
            return self._places.store(where).read(digest)
        except Away as away:
            self.away[str(away)] = self.away.get(str(away), 0) + 1
            raise

    def reveal(self, name: str) -> bytes:
        """The content key itself, for evidence that somebody without the configured key shall read. Raises `ContentError`."""
        if self._wrapping is None:
            raise _Locked("encrypted, and no journal.encryption.key is configured")
        line = self._keys.line(name)
        if line is None or line.wrapped == SHREDDED:
            raise Expired(f"content key {name} was deleted: what was sealed with it has expired")
        return self._wrapping.unwrap(line)

    def _cipher(self, name: str) -> AESGCM:
        """The content key of that name, looked up anew each time: it may have been shredded since. Raises `ContentError`."""
        if self._wrapping is None:
            raise _Locked("encrypted, and no journal.encryption.key is configured")
        line = self._keys.line(name)
        if line is None or line.wrapped == SHREDDED:
            self._cached.pop(name, None)
            raise Expired(f"content key {name} was deleted: what was sealed with it has expired")
        cached = self._cached.get(name)
        if cached is None or cached.wrapped != line.wrapped:
            cached = _Cached(line.wrapped, AESGCM(self._wrapping.unwrap(line)))
            if len(self._cached) >= MAX_CACHED_KEYS:
                del self._cached[next(iter(self._cached))]
            self._cached[name] = cached
        return cached.cipher


class _Locked(ContentError):
    pass


def _decrypted(cipher: AESGCM, sealed: bytes, entry: Entry, part: Part) -> bytes:
    try:
        return decrypt(cipher, sealed, entry, part)
    except (InvalidTag, ValueError):
        raise Altered(f"the {part} of entry {entry.seq} was altered: it does not authenticate") from None


def _still_sealed(sealed: Sealed | None, lost: Collection[str]) -> Sealed | None:
    """The parts that could not be opened."""
    if sealed is None or not lost:
        return None
    kept = Sealed(
        content=sealed.content if CONTENT in lost else "", content_key=sealed.content_key if CONTENT in lost else "",
        meta=sealed.meta if METADATA in lost else "", meta_key=sealed.meta_key if METADATA in lost else "",
    )  # fmt: skip
    return kept if kept != Sealed() else None


def _lost(cls: Class, error: Exception) -> Lost:
    if isinstance(error, Expired):
        return Lost(cls, "expired", str(error))
    if isinstance(error, _Locked):
        return Lost(cls, "locked", str(error))
    if isinstance(error, OSError):
        return Lost(cls, "missing", f"cannot be read: {error.strerror}")
    if isinstance(error, Altered):
        return Lost(cls, "altered", str(error))
    if isinstance(error, Away):
        return Lost(cls, "away", str(error))
    if isinstance(error, ContentError):
        return Lost(cls, "missing", str(error))
    return Lost(cls, "altered", "what was recorded is not what can be read")
