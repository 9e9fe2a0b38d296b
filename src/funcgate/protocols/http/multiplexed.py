"""The way to a target that speaks HTTP/2: one stream for one call (RFC 9113, 8.1). The rules are those of forward.py."""

import asyncio
from collections.abc import AsyncIterator

from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.protocols.http2.stream import Gone, Stream
from funcgate.protocols.http2.upstream import Http2Pool, refusal
from funcgate.wire.http1.fields import NOT_RETURNED
from funcgate.wire.http1.responses import KNOWN, Response
from funcgate.wire.http1.writing import has_length, without

from .lasting import lasts, watch
from .outgoing import IDEMPOTENT, Outgoing, query_to
from .returning import reply_of, too_large
from .target import HttpTarget, Injection

_PATH = frozenset({b":path"})


async def forward_multiplexed(exchange: Outgoing, target: HttpTarget, pool: Http2Pool, injected: Injection) -> Reply:
    """Send the call, whose permit is spent, and bring its answer. Raises `Refused`."""
    fields = _outbound(exchange, target, injected)
    method = exchange.request.method
    # Attack: a secret in a header table is guessed, bit by bit, from how long later heads are (RFC 7541, 7.1).
    secret = injected.names | _PATH if injected.query else injected.names
    stream = await pool.ask(fields, exchange.body, secret=secret, idempotent=method in IDEMPOTENT)
    try:
        response = _response(stream, method)
        return await _reply(exchange, target, stream, response)
    except Gone as gone:
        stream.close()
        raise refusal(gone) from None
    except BaseException:
        stream.close()
        raise


def _outbound(exchange: Outgoing, target: HttpTarget, injected: Injection) -> list[tuple[bytes, bytes]]:
    method, body = exchange.request.method, exchange.body
    fields = [
        (b":method", method),
        (b":scheme", target.scheme),
        (b":authority", target.authority),
        (b":path", _path(exchange, target, injected)),
        *without(exchange.forwarded, injected.names),
        *injected.fields,
        (b"accept-encoding", b"identity"),
        (b"funcgate-call-id", exchange.call_id.encode()),
    ]
    if exchange.traceparent:
        fields.append((b"traceparent", exchange.traceparent))
    if has_length(method, body):
        fields.append((b"content-length", b"%d" % len(body)))
    return fields


def _path(exchange: Outgoing, target: HttpTarget, injected: Injection) -> bytes:
    """``:path`` of RFC 9113, 8.3.1."""
    path, query = target.base_path + exchange.path, query_to(exchange, injected)
    return (f"{path}?{query}" if query else path).encode("ascii")


def _response(stream: Stream, method: bytes) -> Response:
    """The stream's head, sorted as the HTTP/1.1 reader sorts it. Raises `Refused` for what may come once and came twice."""
    raw = stream.fields or []
    response = Response(int(raw[0][1]))
    known, fields = response.known, response.fields
    for field in raw[1:]:
        name, value = field
        if name in KNOWN:
            if name in known:
                raise Refused(Code.MASKING_REFUSED, private_detail="the target sent a field twice that may come once")
            known[name] = value
        if name not in NOT_RETURNED:
            fields.append(field)
    response.head_only = method == b"HEAD" or response.status in (204, 304)
    if b"content-length" in known:
        response.length = int(known[b"content-length"])
    return response


async def _reply(exchange: Outgoing, target: HttpTarget, stream: Stream, response: Response) -> Reply:
    whole_up_to = target.whole_up_to
    body: bytes | None = None
    if response.head_only:
        await stream.gather(0)
        body = b""
    elif stream.ended and (stream.held <= whole_up_to or not stream.held):
        body = stream.whole()
    elif 0 <= response.length <= whole_up_to:
        body = await stream.gather(whole_up_to)
    reply = reply_of(target, response, body)
    if body is None:
        # Attack: answers that are refused for their head alone, each keeping a stream, until there is none left.
        exchange.unread = stream.close
        if lasts(exchange, reply, response.length):
            limits = target.limits
            stream.deadline = asyncio.get_running_loop().time() + limits.stream_timeout_s
            stream.read_timeout_s = limits.stream_idle_timeout_s
        reply.stream = _stream(exchange, target, stream, reply, response.length)
    else:
        reply.trailers = _trailers(stream)
        stream.close()
    return reply


async def _stream(
    exchange: Outgoing, target: HttpTarget, stream: Stream, reply: Reply, length: int
) -> AsyncIterator[bytes]:
    """The answer's pieces. On any way out but the end, the target is told to stop."""
    limits = target.limits
    left = limits.max_response
    exchange.unread = watching = None
    stopped: list[Refused] = []

    def cut(refused: Refused) -> None:
        stopped.append(refused)
        stream.reset()

    try:
        if lasts(exchange, reply, length):
            watching = watch(exchange, limits.end_with_token, cut)
        while piece := await stream.read():
            left -= len(piece)
            if left < 0:
                raise too_large()
            yield piece
    except Gone as gone:
        reply.outcome = Outcome.CUT
        raise (stopped[0] if stopped else refusal(gone)) from None
    except BaseException:
        reply.outcome = Outcome.CUT
        raise
    else:
        reply.trailers.extend(_trailers(stream))
    finally:
        if watching is not None:
            watching.close()
        stream.close()


def _trailers(stream: Stream) -> list[tuple[bytes, bytes]]:
    return [field for field in stream.trailers if field[0] not in NOT_RETURNED]
