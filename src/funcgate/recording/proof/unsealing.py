"""Entries of an evidence pack, as they can be read with what is in the pack alone: its keys and its objects."""

import base64
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Raw
from msgspec.structs import replace

from funcgate.core.entry import Entry
from funcgate.recording.contents.forms import (
    CONTENT,
    METADATA,
    Part,
    decode_body,
    decode_content,
    decode_metadata,
    decrypt,
)


class Unsealing:
    """`keys` by name, `objects` by digest. Parts without a key or an object stay as they are in the entry."""

    def __init__(self, keys: Mapping[str, bytes], objects: Mapping[str, bytes]) -> None:
        self._keys = keys
        self._objects = objects

    def open(self, entry: Entry) -> Entry:
        """Raises `ValueError` for a part that its key does not open, or that is not what such a part is."""
        opened = replace(entry)
        try:
            self._content(entry, opened)
            self._metadata(entry, opened)
            if entry.where:
                self._elsewhere(entry, opened)
                return opened
            if (args := self._object(entry.args_object, entry, "args")) is not None:
                opened.args = _json(args)
            if (body := self._object(entry.object, entry, "body")) is not None:
                opened.body = decode_body(bytes(_json(body)))
        except (InvalidTag, ValueError, RecursionError):
            raise ValueError(f"the content of entry {entry.seq} cannot be read with the keys in the pack") from None
        return opened

    def _content(self, entry: Entry, opened: Entry) -> None:
        sealed = entry.sealed
        if sealed is not None and sealed.content and (key := self._keys.get(sealed.content_key)):
            content = decode_content(decrypt(AESGCM(key), base64.b64decode(sealed.content), entry, CONTENT))
            opened.args, opened.body, opened.fields = content.args, content.body, content.fields

    def _elsewhere(self, entry: Entry, opened: Entry) -> None:
        """All content of an entry whose content lay in another folder."""
        if (data := self._object(entry.object, entry, CONTENT)) is not None:
            content = decode_content(data)
            opened.args, opened.body, opened.fields = content.args, content.body, content.fields

    def _metadata(self, entry: Entry, opened: Entry) -> None:
        sealed = entry.sealed
        if sealed is not None and sealed.meta and (key := self._keys.get(sealed.meta_key)):
            found = decode_metadata(decrypt(AESGCM(key), base64.b64decode(sealed.meta), entry, METADATA))
            for name in found.__struct_fields__:
                setattr(opened, name, getattr(found, name))

    def _object(self, digest: str, entry: Entry, part: Part) -> bytes | None:
        content = self._objects.get(digest) if digest else None
        name = "" if entry.sealed is None else entry.sealed.content_key
        if content is None or not name:
            return content
        key = self._keys.get(name)
        return None if key is None else decrypt(AESGCM(key), content, entry, part)


def _json(content: bytes) -> Raw:
    """As it stands in a line. Raises `msgspec.MsgspecError`."""
    return msgspec.json.decode(content, type=Raw)


def key_names(entry: Entry) -> list[str]:
    """The keys that the parts of an entry are sealed with."""
    sealed = entry.sealed
    return [] if sealed is None else [name for name in (sealed.content_key, sealed.meta_key) if name]
