"""A target's answer as a reply: whole where it is one message, else line by line as it comes; and back into frames."""

import asyncio
from collections.abc import AsyncIterator, Callable

from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.protocols.http2.stream import Gone

from .answer import HTTP_STATUS, MEDIA, Answer

_LARGE = 64 << 10
_PIECE = 32 << 10  # bytes of lines that are masked and recorded together, if they are there together


async def whole(answer: Answer) -> Reply:
    """An answer of one message, or a failure. Raises `Refused`, `Gone`."""
    only = await answer.whole()
    if only is not None:
        return Reply(status=200, headers=answer.metadata, media="application/json", body=only, trailers=answer.trailers)
    lines = await _lines(answer)
    media = "application/json" if len(lines) == 1 else MEDIA
    body = b"".join(lines)[:-1]
    return Reply(
        status=HTTP_STATUS[answer.status], headers=answer.metadata, media=media, body=body, trailers=answer.trailers
    )


def streamed(answer: Answer, refused: Callable[[Gone], Refused], *, only: bool = False) -> Reply:
    """An answer that comes message by message; with `only` it has one, and its head may come long before that. `refused` says
    what becomes of the RPC when the target's stream is gone."""
    reply = Reply(status=200, headers=answer.metadata, media=MEDIA, lines=True)
    reply.stream = (_one_piece if only else _pieces)(answer, reply, refused)
    return reply


async def framed(answer: Answer, lines: bytes) -> bytes:
    """See `Answer.frames`. Megabytes are put together beside the loop: they hold up nobody else's call."""
    return answer.frames(lines) if len(lines) <= _LARGE else await asyncio.to_thread(answer.frames, lines)


async def _pieces(answer: Answer, reply: Reply, refused: Callable[[Gone], Refused]) -> AsyncIterator[bytes]:
    """The answer in pieces of whole lines. Raises `Refused`."""
    gathered: list[bytes] = []
    size = 0
    reply.outcome = Outcome.CUT
    try:
        while (line := await answer.line()) is not None:
            gathered.append(line)
            size += len(line)
            if not answer.ready or size > _PIECE:
                yield b"".join(gathered)
                gathered, size = [], 0
        if gathered:
            yield b"".join(gathered)
    except Gone as gone:
        raise refused(gone) from None
    _complete(answer, reply)


async def _one_piece(answer: Answer, reply: Reply, refused: Callable[[Gone], Refused]) -> AsyncIterator[bytes]:
    """The lines of an answer of one message, once it is known that no other follows. Raises `Refused`."""
    reply.outcome = Outcome.CUT
    try:
        lines = await _lines(answer)
    except Gone as gone:
        raise refused(gone) from None
    yield b"".join(lines)
    _complete(answer, reply)


async def _lines(answer: Answer) -> list[bytes]:
    """All lines of an answer of one message, or of a failure. Raises `Refused`, `Gone`."""
    line = await answer.line()
    more = None if line is None or answer.status >= 0 else await answer.line()
    # Attack: two messages where one was declared, for a caller that takes the other one.
    if line is None or (more is not None and answer.status < 0):
        raise Refused(
            Code.MASKING_REFUSED, private_detail="the target's answer has not one message but none, or several"
        )
    return [line] if more is None else [line, more]


def _complete(answer: Answer, reply: Reply) -> None:
    reply.outcome, reply.status, reply.trailers = Outcome.COMPLETE, HTTP_STATUS[answer.status], answer.trailers
