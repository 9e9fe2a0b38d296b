"""COPY … FROM STDIN: rows from the caller to the database, as lines of what is recorded."""

import asyncio
from collections.abc import AsyncIterator

from funcgate.core.refusal import Code, Refused
from funcgate.wire.postgres import frontend
from funcgate.wire.postgres.frames import Frame, Malformed

from .answer import Answer
from .channel import Channel
from .exchange import Speaker

_GATHER = 64 << 10  # bytes that are recorded, and sent on, together
_IGNORED = frozenset({frontend.SYNC, frontend.FLUSH})  # as the server does while it copies
_ENDS = frozenset({frontend.COPY_DONE, frontend.COPY_FAIL})


async def copied_in(session: Speaker, upstream: Channel, answer: Answer) -> AsyncIterator[bytes]:
    """Yields lines; what they hold is sent on when the next ones are asked for. Raises `Ended`, `Refused`."""
    left, over = session.target.limits.max_request, False
    while not over:
        lines: list[bytes] = []
        data: list[bytes] = []
        size = 0
        while not over and size < _GATHER:
            found = await _next(session, wait=not data)
            if found is None:
                break
            if found.kind in _IGNORED:
                continue
            if found.kind == frontend.COPY_DATA:
                size += len(found.payload)
                lines.append(answer.line_in(found.payload))
            elif found.kind in _ENDS:
                over = True
            else:
                raise Refused(Code.REQUEST_INVALID, "Only COPY data may come here.")
            data.append(found.raw)
        left -= size
        if left < 0:
            raise Refused(Code.REQUEST_TOO_LARGE, private_detail="the COPY is larger than max_request")
        if lines:
            yield b"".join(lines)
        upstream.write(b"".join(data))
        await upstream.drain()


async def _next(session: Speaker, *, wait: bool) -> Frame | None:
    """The caller's next message; None when it is not there and is not waited for."""
    try:
        found = session.caller.poll()
        if found is not None or not wait:
            return found
        async with asyncio.timeout(session.limits.idle_timeout_s):
            return await session.caller.next()
    except TimeoutError:
        raise Refused(Code.REQUEST_TIMEOUT, private_detail="no COPY data came") from None
    except Malformed as malformed:
        raise Refused(Code.REQUEST_INVALID, str(malformed)) from None
