"""An answer that comes line by line, masked line by line: what waits for the next message must not wait for the last one.

Each line is a JSON text of its own, so where the stream is cut never changes what is masked. It refuses a line cut in two.
"""

import asyncio
from collections.abc import AsyncIterator

from funcgate.core.lease import Lease
from funcgate.core.ports import Masked, Masker
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.core.turn import TURN

_SMALL = 64 << 10  # bytes of lines that are masked at once; a larger line is masked beside the loop


class Streamed:
    """`core.ports.Masked` over a reply whose `lines` is set. Raises `Refused(masking.refused)`."""

    __slots__ = ("_lease", "_masker", "_source", "counts", "json", "reply")

    def __init__(self, masker: Masker, reply: Reply, lease: Lease) -> None:
        self._masker = masker
        self._lease = lease
        self._source = reply
        self.counts: dict[str, int] = {}
        self.json = False
        self.reply = Reply(
            status=reply.status,
            headers=self._fields(reply.headers),
            media=reply.media,
            stream=self._lines(),
            lines=True,
        )

    async def _lines(self) -> AsyncIterator[bytes]:
        source, reply = self._source, self.reply
        stream = source.stream
        if stream is None:
            raise TypeError("a reply without a stream")
        try:
            async for piece in stream:
                if piece:
                    yield await self._masked(piece)
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
            reply.outcome, reply.status = source.outcome, source.status
            reply.trailers = self._fields(source.trailers)

    async def _masked(self, piece: bytes) -> bytes:
        # Attack: cut a value in two, so that no detector sees it whole.
        if not piece.endswith(b"\n"):
            raise Refused(Code.MASKING_REFUSED, private_detail="a piece of a stream that does not end with a line")
        if len(piece) <= _SMALL:
            return self._counted(self._mask(piece))
        # Attack: an answer dense with hits, megabytes of it, would hold up everybody's calls. A thread would hold them up as
        # well, for the interpreter is one thread's at a time; so others have their turn after some lines.
        masked: list[bytes] = []
        at = 0
        while at < len(piece):
            end = piece.rfind(b"\n", at, at + _SMALL) + 1 or piece.index(b"\n", at) + 1
            part = piece[at:end]
            small = len(part) <= _SMALL
            masked.append(self._counted(self._mask(part) if small else await asyncio.to_thread(self._mask, part)))
            at = end
            if small:
                await TURN
        return b"".join(masked)

    def _mask(self, lines: bytes) -> Masked:
        part = Reply(status=self._source.status, headers=[], media=self._source.media, body=lines)
        return self._masker.mask_reply(part, self._lease)

    def _counted(self, found: Masked) -> bytes:
        for name, count in found.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        return found.reply.body or b""

    def _fields(self, pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        if not pairs:
            return pairs
        found = self._masker.mask_reply(Reply(status=self._source.status, headers=pairs, body=b""), self._lease)
        for name, count in found.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        return found.reply.headers
