"""COPY … FROM STDIN: rows from the caller to the database, as lines of what is recorded."""

import asyncio
from collections.abc import AsyncIterator

from funcgate.core.refusal import Code, Refused
from funcgate.wire.postgres import frontend
from funcgate.wire.postgres.copytext import TEXT, Rows
from funcgate.wire.postgres.frames import Frame, Malformed, frame

from .answer import Answer
from .channel import Channel
from .exchange import Speaker

_GATHER = 64 << 10  # bytes that are recorded, and sent on, together
_IGNORED = frozenset({frontend.SYNC, frontend.FLUSH})  # as the server does while it copies
_ENDS = frozenset({frontend.COPY_DONE, frontend.COPY_FAIL})


async def copied_in(session: Speaker, upstream: Channel, answer: Answer, *, synced: bool) -> AsyncIterator[bytes]:
    """Yields lines; what they hold is sent on when the next ones are asked for. `synced`: the database says by itself that it is
    done. Raises `Ended`, `Refused`."""
    left, end, rows = session.target.limits.max_request, b"", Rows(answer.copy.layout or TEXT)
    while not end:
        data: list[bytes] = []
        size = 0
        while not end and size < _GATHER:
            if found := session.caller.copied(_GATHER - size):
                data.append(found)
                size += len(found)
                continue
            message = await _next(session, wait=not data)
            if message is None:
                break
            if message.kind == frontend.COPY_DATA:
                data.append(message.payload)
                size += len(message.payload)
            elif message.kind in _ENDS:
                # In a batch of the extended protocol the database keeps the end to itself until it is asked.
                end = message.raw if synced else message.raw + frontend.FLUSH_FRAME
            elif message.kind not in _IGNORED:
                raise Refused(Code.REQUEST_INVALID, "Only COPY data may come here.")
        left -= size
        if left < 0:
            raise Refused(Code.REQUEST_TOO_LARGE, private_detail="the COPY is larger than max_request")
        # Attack: a value cut in two messages, each of which is recorded as nothing to hide.
        whole = rows.take(b"".join(data))
        if end:
            whole += rows.rest()
        if whole:
            yield answer.lines_in(whole)
        upstream.write(b"".join([frame(frontend.COPY_DATA, whole) if whole else b"", end]))
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
