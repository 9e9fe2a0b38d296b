"""What the index looks at in a line of the journal. Read without the rest, which most of the time goes into."""

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Raw, Struct

from funcgate.core.entry import Decided, Entry, Who, decode_line
from funcgate.recording.folder import Line
from funcgate.recording.words import add_part, from_json, from_text

_NOTHING = Raw()


class Seen(Struct):
    """One entry, as far as the index cares."""

    kind: str
    call: str
    seq: int = 0
    at: str = ""
    session: str = ""
    principal: Raw = _NOTHING
    function: str = ""
    target: str = ""
    policy: Raw = _NOTHING
    code: str = ""
    client: str = ""
    args: Raw = _NOTHING
    body: Raw = _NOTHING
    media: str = ""
    piece: int = 0
    object: str = ""
    args_object: str = ""
    sealed: Raw = _NOTHING
    where: str = ""


decode = msgspec.json.Decoder(Seen).decode
_decode_who = msgspec.json.Decoder(Who).decode
_decode_decided = msgspec.json.Decoder(Decided).decode
_UNREADABLE = msgspec.MsgspecError, UnicodeDecodeError, RecursionError


def keys_of_who(raw: bytes | Raw, keys: Callable[[Who], Iterable[int]]) -> Iterable[int]:
    """What `keys` gives of a principal; nothing of one that cannot be read."""
    # Attack: a worker that was taken over writes of a call a principal that is none. Its line is whole, and would stop the index
    # for good: made anew, it comes to the same line.
    try:
        return keys(_decode_who(raw))
    except _UNREADABLE:
        return ()


def keys_of_decided(raw: bytes | Raw, keys: Callable[[Decided], Iterable[int]]) -> Iterable[int]:
    """The same of what policies decided."""
    try:
        return keys(_decode_decided(raw))
    except _UNREADABLE:
        return ()


def filled(seen: Seen, entry: Entry) -> Seen:
    """The same with what was elsewhere."""
    seen.principal = _NOTHING if entry.principal is None else Raw(msgspec.json.encode(entry.principal))
    seen.client = entry.client
    if seen.where:
        return seen  # its words shall not lie here
    seen.args = _NOTHING if entry.args is None else entry.args
    body = entry.body
    seen.body = _NOTHING if body is None else Raw(msgspec.json.encode(body)) if isinstance(body, str) else body
    return seen


def add_words(text: bytes, seen: Seen) -> bytes:
    """`text` with the words of an entry more: the same as `words_of` finds in it."""
    if seen.args:
        text = add_part(text, from_json(bytes(seen.args)))
    if seen.body:
        raw = bytes(seen.body)
        said = words_of_string(raw, seen.media) if raw.startswith(b'"') else from_json(raw)
        text = add_part(text, said, joined=seen.piece > 1)
    return text


def words_of_string(raw: bytes, media: str) -> bytes:
    """The words of an answer that is a JSON string; of one that cannot be read none."""
    # Attack: as above, an answer that is no text.
    try:
        return from_text(msgspec.json.decode(raw, type=str), media)
    except _UNREADABLE:
        return b""


def whole_entry(line: Line) -> Entry:
    """But for content that lies in another folder than the data folder. Raises `msgspec.MsgspecError`."""
    entry = decode_line(line.line)
    if entry.where:
        entry.where = entry.object = ""
    return entry
