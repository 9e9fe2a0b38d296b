"""A masked reply to its caller, piece for piece: what exchange.py could not write at once."""

from funcgate.core.reply import Reply

from .answer import Answer
from .answering import Answering, Fields, written
from .replying import framed


async def hand_over(answering: Answering, answer: Answer, reply: Reply, own: Fields, head: Fields, only: bytes) -> None:
    """`own` are the gateway's fields, `head` all of them; `only` is the answer's frame where it is one plain message. Raises
    `Refused`, and `Gone` when nobody takes it."""
    if reply.stream is not None:
        await _each(answering, answer, reply, head)
    else:
        frames = only or (await framed(answer, reply.body + b"\n") if reply.body else b"")
        if frames or not answer.head_only:
            answering.head(head)
            if frames:
                await answering.messages(frames)
    trailers = answer.ending()
    if reply.trailers:
        trailers = [*trailers, *written(reply.trailers)]
    if answering.begun:
        await answering.end(trailers)
    else:
        await answering.only([*own, *trailers])


async def _each(answering: Answering, answer: Answer, reply: Reply, head: Fields) -> None:
    stream = reply.stream
    if stream is None:
        raise TypeError("a reply without a stream")
    if not answer.head_only:
        answering.head(head)  # before the first message: a caller may wait for it before it sends its next one
    try:
        async for lines in stream:
            frames = await framed(answer, lines)
            if frames:
                await answering.messages(frames)
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
