"""What the journal keeps of an answer: the masked bytes, as they go to the caller, recorded before they go.

On the data path. It changes nothing that passes; what is more than may be recorded ends the call, never the record.
"""

import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from funcgate.core.call import Call
from funcgate.core.entry import Drawn, Entry, Kind
from funcgate.core.native import half
from funcgate.core.nesting import MAX_LEVELS, is_deeper
from funcgate.core.ports import Masked, Masker
from funcgate.core.refusal import Code, Refused
from funcgate.recording import entries

MAX_PIECES = 100_000  # of one answer
_PART = 48 << 10  # bytes
_encode = msgspec.json.Encoder().encode
_whole_json = msgspec.json.Decoder(msgspec.Raw).decode
_native = half("funcgate.recording._native")
_NEWLINE, _RETURN = 10, 13
PIECE_URL = "data:;base64,"
# What an answer is carried by, and says nothing of its own. All else that leaves in its head is recorded.
_CARRYING = frozenset({b"connection", b"content-length", b"content-type", b"date", b"keep-alive", b"server"})
_DATA_URL = re.compile(rb"data:[^\s,]{0,200};base64,")


class Tape:
    """Records one masked reply; `reply` is the one to deliver. A whole body is the caller's to record first: `chunk`. A
    stream records each piece before it passes.

    `limit` is in bytes of the body, `append` is the journal's. `worth` tells whether more leaves at once than a status: the
    fields or the body of an answer that is no stream, or the fields of one whose head does not wait for the first piece.
    """

    __slots__ = (
        "_append", "_call", "_counted", "_limit", "_pieces", "begun", "fields", "masked", "recorded", "reply", "size", "worth",
    )  # fmt: skip

    def __init__(self, masked: Masked, limit: int, call: Call, append: Callable[..., Awaitable[None]]) -> None:
        self._limit = limit
        self._call = call
        self._append = append
        self.masked = masked
        self.reply = reply = masked.reply
        self.size = size = 0 if reply.body is None else len(reply.body)  # of a whole body
        self.fields = fields = fields_of(reply.headers)
        self.begun = False  # whether a piece of a stream has gone out
        self.recorded = 0
        if reply.stream is None:
            self.worth = size > 0 or bool(fields or reply.trailers)
        else:
            self.worth = reply.lines and bool(fields)
            self._pieces = 0
            self._counted: dict[str, int] = {}
            reply.stream = self._passing(reply.stream)

    def chunk(self) -> Entry | Drawn:
        """The entry of a whole answer, or of the head of a stream. Raises `Refused(journal.too_large)`."""
        reply, masked, fields, size = self.reply, self.masked, self.fields, self.size
        if reply.stream is not None:
            return self._piece(b"")  # a first piece of nothing
        body = reply.body or b""
        if size > self._limit:
            raise _too_large(self._limit)
        self.recorded = size
        if reply.trailers:
            fields += fields_of(reply.trailers)
        shown: msgspec.Raw | None = None
        if _native is not None and masked.json and reply.media == "application/json" and _native.one_line(body):
            shown = msgspec.Raw(body)  # as `as_json` would say
        elif size:
            shown = as_json(body, reply.media, masked.json)
        if shown is None and size:
            return entries.answer(self._call, reply, fields, masked.counts, as_text(body, reply.media), reply.media)
        return entries.answer(self._call, reply, fields, masked.counts, shown, "")

    async def _passing(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for piece in stream:
                if piece:
                    await self._append(*[self._piece(part) for part in parts_of(piece)])  # before it leaves
                    self.begun = True
                yield piece
            rest = (() if self._pieces else self.fields) + fields_of(self.reply.trailers)
            if rest:
                await self._append(self._end(rest))  # before they leave
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    def _blank(self) -> Entry:
        call = self._call
        return Entry(kind=Kind.CHUNK, call=call.id, session=call.session, function=call.function)

    def _piece(self, piece: bytes) -> Entry:
        """The entry of one piece. A piece is text or base64, never JSON: only together are they a body."""
        if self.recorded + len(piece) > self._limit:
            raise _too_large(self._limit)
        # Attack: an answer sent byte by byte makes a line of each, and a hundred times as much journal as answer.
        if self._pieces >= MAX_PIECES:
            raise Refused(Code.JOURNAL_TOO_LARGE, private_detail=f"the answer came in more than {MAX_PIECES} pieces")
        self._pieces += 1
        self.recorded += len(piece)
        entry = self._blank()
        entry.piece = self._pieces
        entry.body, entry.body_bytes = as_text(piece, ""), len(piece)
        if self._pieces == 1:
            entry.status, entry.media, entry.fields = self.reply.status, self.reply.media, self.fields
        if self.masked.counts != self._counted:
            entry.masked = _more(self.masked.counts, self._counted)
            self._counted = dict(self.masked.counts)
        return entry

    def _end(self, fields: tuple[tuple[str, str], ...]) -> Entry:
        """The entry of what follows the last piece: the trailers, and the fields if there was no piece."""
        entry = self._blank()
        entry.piece, entry.body, entry.fields = self._pieces + 1, "", fields
        if not self._pieces:
            entry.status = self.reply.status
        return entry


def parts_of(piece: bytes) -> list[bytes]:
    """A large piece of whole lines as several, so that each stands in a line of the journal and all become durable at once; any
    other piece as it is."""
    if len(piece) <= _PART or not piece.endswith(b"\n"):
        return [piece]
    parts: list[bytes] = []
    at = 0
    while at < len(piece):
        end = piece.rfind(b"\n", at, at + _PART) + 1
        if not end:  # a line that is too long for a part
            end = piece.index(b"\n", at) + 1
        parts.append(piece[at:end])
        at = end
    return parts


def _fields_of(pairs: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    # Attack: an answer that says in its header fields what the record must not know: a redirect with a token, a cursor.
    return tuple(
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs if name.lower() not in _CARRYING]
    )


# Those of a head's fields, or of the trailers, that say something.
fields_of: Callable[[Sequence[tuple[bytes, bytes]]], tuple[tuple[str, str], ...]] = (
    _fields_of if _native is None else _native.Fields(_fields_of).of
)


def _too_large(limit: int) -> Refused:
    return Refused(
        Code.JOURNAL_TOO_LARGE, private_detail=f"the answer is larger than may be recorded of it ({limit} bytes)"
    )


def _more(counts: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: more for name, count in counts.items() if (more := count - before.get(name, 0))}


def as_json(body: bytes, media: str, known: bool = False) -> msgspec.Raw | None:
    """The body as JSON on one line; None if it is not JSON, or too deep. `known`: masking has found it to be one JSON text."""
    if media != "application/json" and not media.endswith("+json"):
        return None
    try:
        # Attack: an answer such as `1,"kind":"allowed"` would write members of its own into the journal's line.
        if not known:
            _whole_json(body)
            # Attack: nesting that can be written here and not be read again, and the line with it.
            if is_deeper(body, MAX_LEVELS):
                return None
        if not body.isascii():
            body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if _NEWLINE in body or _RETURN in body:  # in valid JSON only between tokens, where a blank says the same
        body = body.replace(b"\n", b" ").replace(b"\r", b" ").strip()
    return msgspec.Raw(body)


def as_text(body: bytes, media: str) -> str:
    """UTF-8 as it is; other text with escapes for what is not UTF-8; anything else as a `data:` URL (RFC 2397).

    Without a media type, all that is not UTF-8 becomes `PIECE_URL` and base64, so that pieces can be put together again.
    """
    # Attack: an answer that looks like a `data:` URL would be shown as what that URL decodes to.
    if not _DATA_URL.match(body):
        try:
            return body.decode()
        except UnicodeDecodeError:
            if media.startswith("text/") or media.endswith(("json", "xml")):
                return body.decode("utf-8", "backslashreplace")
    return f"data:{media};base64,{base64.b64encode(body).decode()}"


def _masked_args(masker: Masker, call: Call) -> bytes:
    """The call's arguments as the record may show them. What calls share is masked once: no rule looks beyond one value and
    the names on the way to it, so the parts are masked as the whole would be."""
    shared = call.shared
    if shared is None:
        try:
            encoded = _encode(call.args)
        except Exception:
            encoded = b"null"  # it needs a closer look, as all that holds this word
        if encoded.find(b"null") < 0:
            return masker.mask_args(encoded)
    else:
        fixed: bytes | None = shared.recall(masker)
        if fixed is None:
            fixed = masker.mask_args(encode_args(shared.args))
            shared.remember(masker, fixed)
        own = masker.mask_args(encode_args(call.own))
        if fixed[:1] == own[:1] == b"{" and len(own) > 2 < len(fixed):
            return fixed[:-1] + b"," + own[1:]
    return masker.mask_args(encode_args(call.args))


def encode_args(args: Mapping[str, Any]) -> bytes:
    """The arguments as one line of JSON, integers exact. Never raises: what JSON cannot hold becomes text."""
    try:
        encoded = _encode(args)
        if encoded.find(b"null") < 0:
            return encoded
    except Exception:
        return _encode_slowly(args)
    return _made_sure(args, encoded)


def _made_sure(args: Mapping[str, Any], encoded: bytes) -> bytes:
    # NaN and the infinities come out as null, which is another value: look whether there are any.
    return _encode_slowly(args) if _has_odd_number(args) else encoded


def _encode_slowly(args: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(_plain(args), ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode()
    except Exception:  # deeper than the interpreter can follow, for one
        return b'{"unreadable":"the arguments could not be written as JSON"}'


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, float):
        return repr(value) if _is_odd(value) else value
    if isinstance(value, int):
        return value if value.bit_length() < 10_000 else hex(value)
    if isinstance(value, Mapping):
        return {str(_plain(str(name))): _plain(member) for name, member in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(member) for member in value]
    return f"({type(value).__name__})"


def _is_odd(value: float) -> bool:
    return value != value or value in (float("inf"), float("-inf"))


def _has_odd_number(value: Any) -> bool:
    """Whether there is a NaN or an infinity. Goes as deep as the encoder already went."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, float):
            if _is_odd(one):
                return True
        elif isinstance(one, Mapping):
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
    return False


# By the place of their arguments, as the compiled half takes them: a `Tape`, and the arguments as the record may show them.
tape_of: Callable[[Masked, int, Call, Callable[..., Awaitable[None]]], Tape] = (
    Tape if _native is None else _native.tape_of
)
masked_args: Callable[[Masker, Call], bytes] = _masked_args if _native is None else _native.masked_args
if _native is not None:
    _native.tape_is(Tape, _fields_of, _too_large, as_json, as_text)
    _native.args_are(_masked_args, _encode, _made_sure, _encode_slowly)
