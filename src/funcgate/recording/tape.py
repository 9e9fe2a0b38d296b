"""What the journal keeps of an answer: the masked bytes as they went to the caller, up to a limit.

On the data path. It changes nothing that passes, and never stops it.
"""

import base64
import codecs
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from funcgate.core.entry import Entry
from funcgate.core.ports import Masked

_encode = msgspec.json.Encoder().encode
_whole_json = msgspec.json.Decoder(msgspec.Raw).decode
_NEWLINE, _RETURN = 10, 13


class Tape:
    """Runs along with one masked reply. `reply` is the one to deliver; `write_into` fills the entry afterwards."""

    __slots__ = ("_kept", "_limit", "_masked", "_total", "reply")

    def __init__(self, masked: Masked, limit: int) -> None:
        self._masked = masked
        self._limit = limit
        self.reply = reply = masked.reply
        self._kept: bytearray | None = None
        self._total = 0
        if reply.stream is not None:
            self._kept = bytearray()
            reply.stream = self._passing(reply.stream)

    @property
    def begun(self) -> bool:
        """Whether a piece of a stream has gone out."""
        return self._total > 0

    async def _passing(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        kept = self._kept = bytearray()
        limit = self._limit
        try:
            async for piece in stream:
                self._total += len(piece)
                if len(kept) < limit:
                    kept += piece[: limit - len(kept)]
                yield piece
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()

    def write_into(self, entry: Entry) -> None:
        """Set status, body, its length, whether it was cut, and what was masked."""
        reply = self.reply
        entry.status = reply.status
        entry.masked = self._masked.counts
        known = False
        if self._kept is None:
            known = self._masked.json
            whole = reply.body or b""
            entry.body_bytes = total = len(whole)
            body = whole if total <= self._limit else whole[: self._limit]
        else:
            body, total = bytes(self._kept), self._total
            entry.body_bytes = total
        if not total:
            return
        cut = len(body) < total
        entry.body_cut = cut
        if body:
            entry.body = (None if cut else _as_json(body, reply.media, known)) or _as_text(body, reply.media, cut)


def _as_json(body: bytes, media: str, known: bool) -> msgspec.Raw | None:
    """The body as JSON on one line; None if it is not JSON. `known`: masking has found it to be one JSON text."""
    if media != "application/json" and not media.endswith("+json"):
        return None
    try:
        # Attack: an answer such as `1,"kind":"allowed"` would write members of its own into the journal's line.
        if not known:
            _whole_json(body)
        if not body.isascii():
            body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if _NEWLINE in body or _RETURN in body:  # in valid JSON only between tokens, where a blank says the same
        body = body.replace(b"\n", b" ").replace(b"\r", b" ").strip()
    return msgspec.Raw(body)


def _as_text(body: bytes, media: str, cut: bool) -> str:
    """UTF-8 as it is; other text with escapes for what is not UTF-8; anything else as a `data:` URL (RFC 2397)."""
    try:
        # A cut may have gone through a character: the decoder holds the torn one back.
        return codecs.getincrementaldecoder("utf-8")().decode(body, final=not cut)
    except UnicodeDecodeError:
        if media.startswith("text/") or media.endswith(("json", "xml")):
            return body.decode("utf-8", "backslashreplace")
        return f"data:{media};base64,{base64.b64encode(body).decode()}"


def encode_args(args: Mapping[str, Any]) -> bytes:
    """The arguments as one line of JSON, integers exact. Never raises: what JSON cannot hold becomes text."""
    try:
        encoded = _encode(args)
        if b"null" not in encoded:
            return encoded
    except Exception:
        return _encode_slowly(args)
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
