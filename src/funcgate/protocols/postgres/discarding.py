"""DISCARD ALL, which pools send: it takes the role off that the gateway gave to the session, so the gateway puts it on again."""

import asyncio
from collections.abc import Awaitable, Callable

from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.wire.postgres.frames import Malformed

from .channel import Ended
from .exchange import Speaker


async def with_role_again(
    session: Speaker, running: Awaitable[Reply], note: Callable[[dict[str, str]], bytes]
) -> Reply:
    """What came of a DISCARD ALL, once the session has its role again: before anybody is told, and before anything else of the
    caller's is sent. The connection ends where that is not certain. `note` makes a line of the record. Raises
    `Refused(target.…)`."""
    upstream = session.upstream
    if upstream is None:
        raise Refused(Code.TARGET_UNREACHABLE, private_detail="the session has no connection")
    try:
        reply = await running
        if reply.stream is not None:
            raise Malformed("an answer to DISCARD ALL without an end")
        session.dirty = True
        if upstream.state == b"I":
            async with asyncio.timeout(session.target.limits.first_byte_timeout_s):
                await upstream.take_role(session.role)
            reply.body = (reply.body or b"") + note({"role": session.role})
        if upstream.state == b"T":
            raise Malformed("DISCARD ALL inside of a transaction")
        session.dirty = False
    except (Ended, Malformed, TimeoutError):
        upstream.channel.abort()
        raise Refused(Code.TARGET_UNREACHABLE, private_detail="the role could not be taken again") from None
    except BaseException:
        # Attack: have it cancelled, or time out, when the role is off and not on again.
        upstream.channel.abort()
        raise
    return reply
