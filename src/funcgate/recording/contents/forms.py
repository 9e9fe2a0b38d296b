"""What of an entry is content and what is metadata, as bytes: for sealing, and for content objects.

`encrypt` and `decrypt` bind the bytes to their place: those of one entry mean nothing in another.
"""

from os import urandom
from typing import Any, Literal

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Raw, Struct

from funcgate.core.entry import Entry, Who

CONTENT: Literal["content"] = "content"
METADATA: Literal["metadata"] = "metadata"
Part = Literal["content", "metadata", "args", "body"]
_NONCE_BYTES = 12
_SALT_BYTES = 16
_ABSENT = Raw()


class Content(Struct, omit_defaults=True):
    args: Raw | None = None
    body: Raw | str | None = None
    fields: tuple[tuple[str, str], ...] = ()


class _Salted(Content):
    salt: str = ""


class Metadata(Struct, omit_defaults=True):
    principal: Who | None = None
    client: str = ""
    trace: str = ""
    reason: str = ""
    detail: str = ""


class _ContentRead(Struct):
    args: Raw = _ABSENT
    body: Raw = _ABSENT
    fields: tuple[tuple[str, str], ...] = ()


encode = msgspec.json.Encoder().encode
_decode_raw = msgspec.json.Decoder(Raw).decode
_decode_content = msgspec.json.Decoder(_ContentRead).decode
decode_metadata = msgspec.json.Decoder(Metadata).decode


def decode_content(data: bytes) -> Content:
    """Raises `msgspec.MsgspecError`."""
    read = _decode_content(data)
    args = None if read.args is _ABSENT else Raw(bytes(read.args))
    return Content(args, None if read.body is _ABSENT else decode_body(bytes(read.body)), read.fields)


def encode_content(args: Raw | None, body: Raw | str | None, fields: tuple[tuple[str, str], ...] = ()) -> bytes:
    # Attack: JSON that is none, so that one member says what another holds, or nothing can be read back.
    args = None if args is None else Raw(encode_part(args))
    body = None if body is None else Raw(encode_part(body))
    return encode(Content(args, body, fields))


def encode_salted(args: Raw | None, body: Raw | str | None, fields: tuple[tuple[str, str], ...]) -> bytes:
    """The same for an object whose digest shall tell nothing; `decode_content` reads it."""
    # Attack: read the digest where the line lies, and try out which content has it.
    args = None if args is None else Raw(encode_part(args))
    body = None if body is None else Raw(encode_part(body))
    return encode(_Salted(args, body, fields, urandom(_SALT_BYTES).hex()))


def encode_part(part: Raw | str) -> bytes:
    """As it would stand in the line: JSON as it is, anything else as a JSON string. Never raises."""
    if isinstance(part, Raw):
        data = bytes(part)
        try:
            _decode_raw(data)
            if not data.isascii():
                data.decode()
            return data
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            part = data.decode("utf-8", "backslashreplace")
    return encode(_text(part))


def encode_metadata(metadata: Metadata) -> bytes:
    """Never raises: what is no Unicode is written with escapes."""
    try:
        return encode(metadata)
    except UnicodeEncodeError:
        return encode(_mended(metadata))


def decode_body(data: bytes) -> Raw | str:
    """Raises `msgspec.MsgspecError`, `UnicodeDecodeError`."""
    return msgspec.json.decode(data, type=str) if data.startswith(b'"') else Raw(data)


def _mended(value: Any) -> Any:
    if isinstance(value, Struct):
        return type(value)(**{name: _mended(getattr(value, name)) for name in value.__struct_fields__})
    if isinstance(value, tuple):
        return tuple(map(_mended, value))
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def encrypt(cipher: AESGCM, data: bytes, entry: Entry, part: Part) -> bytes:
    """Nonce, ciphertext, tag. The nonces are random, 96 bits: a key is good for 2^32 messages (NIST SP 800-38D, 8.3)."""
    nonce = urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, data, _place(entry, part))


def decrypt(cipher: AESGCM, sealed: bytes, entry: Entry, part: Part) -> bytes:
    """Raises `InvalidTag`, `ValueError`."""
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _place(entry, part))


def _place(entry: Entry, part: Part) -> bytes:
    # Attack: move what is sealed from one call to another, from a refusal to a permission, or from one piece to the next.
    return "\n".join((entry.call, entry.kind, str(entry.piece), part)).encode()
