"""One line of the journal. The fields that are empty are left out of the line."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from .principal import Who as Who
from .principal import who_is as who_is


class Kind(StrEnum):
    ARRIVED = "arrived"
    ASKED = "asked"
    ANSWERED = "answered"
    ALLOWED = "allowed"
    DENIED = "denied"
    CHUNK = "chunk"
    ENDED = "ended"
    ADMIN = "admin"


class Decided(Struct, frozen=True, omit_defaults=True):
    """Which policies decided, under which version of the configuration."""

    names: tuple[str, ...] = ()
    version: str = ""


class Sealed(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Fields of an entry, encrypted at rest: base64 of nonce, AES-256-GCM ciphertext and tag, and the name of the key.

    `content` holds the arguments and the body, `meta` who called from where and why. Without its key either is gone.
    """

    content: str = ""
    content_key: str = ""
    meta: str = ""
    meta_key: str = ""


class Entry(Struct, omit_defaults=True, kw_only=True):
    """One line. `seq` and `at` (RFC 3339, UTC, microseconds) are set by the journal, in the order of the file.

    `args` and `body` are masked before they get here: JSON (as `msgspec.Raw`) where the content is JSON, else text; then
    `media` names its type. `piece` numbers the pieces of a streamed body from 1; 0 is a whole body.
    `body_bytes` is the body's full length, `body_cut` says that the entry holds less than all of it. `masked` counts what
    was masked, by detector. `timing_us` is in microseconds by step. `count` is set where one line stands for several
    refusals of unknown callers. `object` and `args_object` (``sha256:HEX``) name the content objects that hold the body or the
    arguments where those are too large for a line. `sealed` holds the fields that are encrypted at rest.
    `where` names the place, not the data folder, that holds all content of the entry in one `object` of `object_bytes`.
    `fields` are the header fields and trailers of an answer, masked, but for those that only carry it. `approval` names the
    held call that the entry belongs to. `crc` is the journal's own: it tells a torn line from a whole one, and no more.
    """

    seq: int = 0
    at: str = ""
    kind: Kind
    call: str
    session: str = ""
    principal: Who | None = None
    function: str = ""
    target: str = ""
    args: msgspec.Raw | None = None
    digest: str = ""
    policy: Decided | None = None
    code: str = ""
    detail: str = ""
    outcome: str = ""
    status: int = 0
    body: msgspec.Raw | str | None = None
    body_bytes: int = 0
    body_cut: bool = False
    media: str = ""
    piece: int = 0
    masked: Mapping[str, int] = {}
    timing_us: Mapping[str, int] = {}
    client: str = ""
    trace: str = ""
    reason: str = ""
    count: int = 0
    change: Mapping[str, Any] = {}
    object: str = ""
    args_object: str = ""
    sealed: Sealed | None = None
    approval: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    where: str = ""
    object_bytes: int = 0
    crc: str = ""


class Drawn(Protocol):
    """An entry as the bytes of its line, without number, time and crc. Nobody adds to it: `whole` gives the entry.

    Only compiled code makes any (`_drawn.pyx`). `text` is all between the first member and the closing brace, with it.
    """

    @property
    def kind(self) -> Kind: ...
    @property
    def call(self) -> str: ...
    @property
    def args(self) -> msgspec.Raw | None: ...
    @property
    def text(self) -> bytes: ...


_ABSENT = msgspec.Raw()


class _Line(Entry):
    """An entry as it is read: msgspec reads `Raw` only where nothing else is possible."""

    args: msgspec.Raw = _ABSENT
    body: msgspec.Raw = _ABSENT


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_Line)
_FIELDS = Entry.__struct_fields__


def encode_line(entry: Entry) -> bytes:
    """The entry as one line of JSON, newline included."""
    return _ENCODER.encode(entry) + b"\n"


def decode_line(line: bytes) -> Entry:
    """The entry on a line, with or without its newline. Raises `msgspec.MsgspecError` for anything else."""
    try:
        read = _DECODER.decode(line)
        # Attack: an answer that is no text. It was passed over as it is; read now, it would end whoever lists the record.
        body = msgspec.json.decode(read.body, type=str) if bytes(read.body).startswith(b'"') else None
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError("not UTF-8") from error
    fields = {name: value for name in _FIELDS if (value := getattr(read, name)) is not _ABSENT}
    if body is not None:
        fields["body"] = body
    return Entry(**fields)


def whole(entry: Entry | Drawn) -> Entry:
    """The entry, of one that may be drawn."""
    return entry if isinstance(entry, Entry) else decode_line(b"{" + entry.text)
