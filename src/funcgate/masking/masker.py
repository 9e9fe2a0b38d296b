"""What one function's rules hide, in a whole reply: headers, trailers, body, stream. It refuses what it cannot read.

The order: undo the compression, scrub the credential, then mask by rule; nothing is delivered that was not looked at.
"""

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from funcgate.core.lease import NO_LEASE, Lease
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply

from .compiled import native
from .lines import mask_lines
from .media import Kind, Opener, TooLarge, check_text, kind_of, opened
from .needles import Scrubber
from .rules import Rules
from .scanner import ScanFailed
from .sight import Sight, Sights
from .structured import mask_json
from .tokens import Unreadable

_PARTIAL_CONTENT = 206
_NO_BODY = frozenset({204, 304})
_UNMASKABLE_ARGS = b'"[UNMASKABLE]"'
# Headers that describe the bytes of the body as the target sent it. Attack: a digest of the unmasked body lets the caller
# try all SSNs until it fits.
_OF_THE_BYTES = frozenset({
    b"content-length", b"content-encoding", b"content-md5", b"digest", b"content-digest", b"repr-digest",
})  # fmt: skip
_OF_THE_UNREAD = _OF_THE_BYTES - {b"content-encoding"}
_KEPT: frozenset[bytes] = frozenset()
_JSON, _LINES = "application/json", "application/x-ndjson"
_FORM = "application/x-www-form-urlencoded"


class Masked:
    """A reply that is safe to deliver. `counts` fills as a stream goes; `json` = the body is known to be one JSON text."""

    __slots__ = ("counts", "json", "reply")

    def __init__(self, reply: Reply, counts: dict[str, int], json: bool = False) -> None:
        self.reply = reply
        self.counts = counts
        self.json = json


if not TYPE_CHECKING and native is not None:
    _Masked, Masked = Masked, native.Masked


class Plain:
    """The quick way, where there is one; `_mask_args` and `_mask_reply` are for all that it is not sure of."""

    __slots__ = ()

    def __init__(self, rules: Rules | None, journal: Rules, sight_of: Callable[[Lease, Rules | None], Sight]) -> None:
        """Nothing is quick here."""

    def mask_args(self, encoded_args: bytes) -> bytes:
        """JSON in, masked JSON on one line out. What cannot be masked is replaced whole."""
        return self._mask_args(encoded_args)

    def mask_reply(self, reply: Reply, lease: Lease) -> Masked:
        """The reply as the caller may see it. Raises `Refused(masking.refused)` for what cannot be read."""
        return self._mask_reply(reply, lease)

    def _mask_args(self, encoded_args: bytes, unsure: bool = False) -> bytes:
        raise NotImplementedError

    def _mask_reply(self, reply: Reply, lease: Lease, unsure: bool = False) -> Masked:
        raise NotImplementedError


if not TYPE_CHECKING and native is not None:
    _Plain, Plain = Plain, native.Plain


class Masker(Plain):
    """One function's rules (None when it has none) and what the journal hides of its arguments.

    `collects` says that a stream is masked as a whole, once it has ended, unless it is one of lines; otherwise it passes piece
    for piece. `hides` is equal for two maskers that hide the same.
    """

    __slots__ = ("__weakref__", "_journal", "_last", "_limit", "_pass", "_rules", "_sights", "collects", "hides")

    def __init__(
        self, rules: Rules | None, journal: Rules, sights: Sights, *, unmaskable_pass: bool, decoded_limit: int
    ) -> None:
        super().__init__(rules, journal, sights.of)
        self.collects = rules is not None
        self.hides: object = (None if rules is None else rules.key, unmaskable_pass)
        self._rules = rules
        self._journal = journal
        self._sights = sights
        self._pass = unmaskable_pass
        self._limit = decoded_limit
        self._last: tuple[Lease, Sight] = (NO_LEASE, sights.of(NO_LEASE, rules))

    def _mask_args(self, encoded_args: bytes, unsure: bool = False) -> bytes:
        """`unsure`: the quick pass has been over it, and was not sure."""
        try:
            glance = None if unsure else self._journal.glance
            masked = None if glance is None else glance(encoded_args, {})
            if masked is None:
                masked = mask_json(encoded_args, self._journal, {}, self._journal.scanner.gate(encoded_args))
            on_one_line = masked.find(b"\n") < 0 and masked.find(b"\r") < 0
            return masked if on_one_line else msgspec.json.format(masked, indent=-1)
        except Exception:
            # Whatever went wrong, the arguments were not judged, so they are not written.
            return _UNMASKABLE_ARGS

    def collecting(self, reply: Reply) -> bool:
        """Whether this reply's stream has to be collected before it can be masked: lines of JSON need not."""
        return self.collects and kind_of(reply.media, reply.charset) is not Kind.LINES

    def _mask_reply(self, reply: Reply, lease: Lease, unsure: bool = False) -> Masked:
        rules = self._rules
        counts: dict[str, int] = {}
        if rules is None and not lease.needles:
            return Masked(reply, counts)
        last = self._last
        if last[0] is lease:
            sight = last[1]
        else:
            sight = self._sights.of(lease, rules)
            self._last = (lease, sight)
        try:
            headers = reply.headers
            if not sight.known.issuperset(headers):
                headers = self._headers(headers, sight, counts)
            body = new = reply.body
            if body is None and reply.stream is not None:
                return self._stream(reply, headers, sight, counts)
            gone, json = _KEPT, False
            if body and (status := reply.status) not in _NO_BODY:
                seen = None
                lines = reply.media == _LINES
                plain = lines or reply.media == _JSON
                if plain and not reply.charset and not reply.encoding and status != _PARTIAL_CONTENT:
                    glance = None if unsure else sight.glance
                    seen = None if glance is None else glance(body, counts, sight.needles.words, lines)
                if seen is not None:
                    new, gone, json = seen, _OF_THE_BYTES, not lines
                else:
                    new, gone, json = self._body(reply, body, sight, counts)
            trailers = self._headers(reply.trailers, sight, counts) if reply.trailers else reply.trailers
        except (Unreadable, ScanFailed) as error:
            raise _refused(error) from None
        if new is body and headers is reply.headers and trailers is reply.trailers:
            return Masked(reply, counts, json)
        return Masked(_with_body(reply, headers, new, trailers, _KEPT if new is body else gone), counts, json)

    def _headers(
        self, pairs: list[tuple[bytes, bytes]], sight: Sight, counts: dict[str, int]
    ) -> list[tuple[bytes, bytes]]:
        """The same list when nothing in it had to change."""
        rules, needles = sight.rules, sight.needles
        fresh = [pair for pair in pairs if pair not in sight.known]
        joined = b"\n".join([part for pair in fresh for part in pair])
        shown = pairs
        if needles and needles.in_text(joined):
            # A name that holds the credential goes, with its value.
            shown = [(name, needles.scrub(value, counts)) for name, value in pairs if not needles.in_text(name)]
        if rules is not None and len(rules.scanner.gate(joined)) > 1:
            masked = [(name, rules.mask(value, counts)) for name, value in shown]
            shown = masked if masked != shown else shown
        if shown is pairs:
            sight.learn(fresh)
        return shown

    def _body(
        self, reply: Reply, body: bytes, sight: Sight, counts: dict[str, int]
    ) -> tuple[bytes, frozenset[bytes], bool]:
        """The body, decompressed, scrubbed and masked (the very object when nothing had to change); the headers that go with the
        old one; whether it is known to be JSON."""
        kind, plain = self._kind(reply), body
        if kind is not None and reply.encoding and reply.encoding != "identity":
            try:
                plain = opened(body, reply.encoding, self._limit)
            except Unreadable as error:
                self._unread(error)
                kind = None
        if kind is None:
            return sight.needles.scrub(body, counts), _OF_THE_UNREAD, False
        masked, json = self._mask(reply, kind, plain, sight, counts)
        return masked, _OF_THE_BYTES, json

    def _kind(self, reply: Reply) -> Kind | None:
        """How to read the body; None when it passes unread (but scrubbed). Raises `Unreadable`."""
        # Attack: ask for one byte at a time (Range), and put together at home what no detector saw whole.
        if reply.status == _PARTIAL_CONTENT:
            self._unread(Unreadable("a part of a body"))
            return None
        if reply.encoding and reply.encoding not in ("identity", "gzip", "x-gzip", "deflate"):
            self._unread(Unreadable("an unknown content coding"))
            return None
        kind = kind_of(reply.media, reply.charset)
        if kind is Kind.UNREADABLE and self._rules is not None:
            self._unread(Unreadable("a media type that is not text"))
            return None
        return kind

    def _unread(self, error: Unreadable) -> None:
        """Raises the error unless the target lets unread bodies pass."""
        if not self._pass or isinstance(error, TooLarge):
            raise error

    def _mask(self, reply: Reply, kind: Kind, body: bytes, sight: Sight, counts: dict[str, int]) -> tuple[bytes, bool]:
        """The masked body, and whether it is known to be JSON."""
        rules, needles = sight.rules, sight.needles
        if rules is None:
            return needles.scrub(body, counts, undo=kind is not Kind.UNREADABLE), False
        if kind is Kind.LINES and sight.glance is not None:
            seen = sight.glance(body, counts, needles.words, True)
            if seen is not None:
                return seen, False
        found = sight.gate(body, rules)
        gates: list[int] | None = found
        if (sight.credential in found or rules.scanner.escapes in found) and needles:
            scrubbed = needles.scrub(body, counts, undo=True)
            body, gates = scrubbed, gates if scrubbed is body else None
        try:
            if kind is Kind.JSON:
                return (mask_json(body, rules, counts, gates), True) if body else (body, False)
            if kind is Kind.LINES:
                return mask_lines(body, rules, counts, self._unread, gates), False
            check_text(body, reply.charset)
        except Unreadable as error:
            self._unread(error)
            return body, False
        masked = rules.mask(body, counts, gates)
        if reply.media == _FORM and b"+" in masked:
            # Attack: a form writes the spaces of a card number as "+".
            hits = rules.find(masked.replace(b"+", b" "))
            masked = rules.splice(masked, hits, counts) if hits else masked
        return masked, False

    def _stream(self, reply: Reply, headers: list[tuple[bytes, bytes]], sight: Sight, counts: dict[str, int]) -> Masked:
        kind = self._kind(reply)
        new = _with_body(reply, headers, None, [], _OF_THE_UNREAD if kind is None else _OF_THE_BYTES)
        if self._rules is not None and kind is Kind.LINES:
            new.stream = self._by_lines(reply, new, sight, counts)
        elif self._rules is not None and kind is not None:
            new.stream = self._collected(reply, new, kind, sight, counts)
        else:
            opener = Opener(reply.encoding) if kind is not None and reply.encoding not in ("", "identity") else None
            new.stream = self._piecewise(reply, new, opener, sight, counts)
        return Masked(new, counts)

    async def _collected(
        self, reply: Reply, new: Reply, kind: Kind, sight: Sight, counts: dict[str, int]
    ) -> AsyncIterator[bytes]:
        """The whole body as one piece: where the target cut it must not matter."""
        body = bytearray()
        stream: Any = reply.stream
        try:
            async for piece in stream:
                body += piece
                # Attack: a body without end, collected until the memory is gone.
                if len(body) > self._limit:
                    raise TooLarge("too large to be masked")
            whole = bytes(body)
            if reply.encoding and reply.encoding != "identity":
                whole = opened(whole, reply.encoding, self._limit)
            masked = self._mask(reply, kind, whole, sight, counts)[0] if whole else whole
            if masked:
                yield masked
        except (Unreadable, ScanFailed) as error:
            raise _refused(error) from None
        finally:
            await self._ended(reply, new, sight, counts)

    async def _by_lines(self, reply: Reply, new: Reply, sight: Sight, counts: dict[str, int]) -> AsyncIterator[bytes]:
        """Whole lines, as many as there are: each is masked by itself, so where the target cut them does not matter."""
        opener = Opener(reply.encoding) if reply.encoding not in ("", "identity") else None
        rest, size = b"", 0
        stream: Any = reply.stream
        try:
            async for piece in stream:
                for part in opener.feed(piece) if opener else (piece,):
                    size += len(part)
                    # Attack: a kilobyte that unpacks to gigabytes of lines; a line without end.
                    if size > self._limit:
                        raise TooLarge("too large to be masked")
                    end = part.rfind(b"\n") + 1
                    if end:
                        lines, rest = (rest + part[:end] if rest else part[:end]), part[end:]
                        yield self._mask(reply, Kind.LINES, lines, sight, counts)[0]
                    else:
                        rest += part
            if opener:
                opener.close()
            if rest:
                yield self._mask(reply, Kind.LINES, rest, sight, counts)[0]
        except (Unreadable, ScanFailed) as error:
            raise _refused(error) from None
        finally:
            await self._ended(reply, new, sight, counts)

    async def _piecewise(
        self, reply: Reply, new: Reply, opener: Opener | None, sight: Sight, counts: dict[str, int]
    ) -> AsyncIterator[bytes]:
        """Piece for piece, without the credential."""
        scrubber = Scrubber(sight.needles, counts)
        stream: Any = reply.stream
        try:
            async for piece in stream:
                for part in opener.feed(piece) if opener else (piece,):
                    if passed := scrubber.feed(part):
                        yield passed
            if opener:
                opener.close()
            if passed := scrubber.finish():
                yield passed
        except Unreadable as error:
            raise _refused(error) from None
        finally:
            await self._ended(reply, new, sight, counts)

    async def _ended(self, reply: Reply, new: Reply, sight: Sight, counts: dict[str, int]) -> None:
        """What is known of a stream only once it is over."""
        close = getattr(reply.stream, "aclose", None)
        if close is not None:
            await close()
        new.outcome = reply.outcome
        try:
            new.trailers = self._headers(reply.trailers, sight, counts)
        except ScanFailed as error:
            raise _refused(error) from None


def _with_body(
    reply: Reply,
    headers: list[tuple[bytes, bytes]],
    body: bytes | None,
    trailers: list[tuple[bytes, bytes]],
    gone: frozenset[bytes],
) -> Reply:
    if gone:
        headers = [pair for pair in headers if pair[0].lower() not in gone]
    return Reply(
        status=reply.status,
        headers=headers,
        media=reply.media,
        charset=reply.charset,
        encoding="" if gone is _OF_THE_BYTES else reply.encoding,
        body=body,
        trailers=trailers,
        outcome=reply.outcome,
    )


def _refused(error: Unreadable | ScanFailed) -> Refused:
    return Refused(Code.MASKING_REFUSED, private_detail=f"masking: {error or 'the scanner ran out of memory'}")
