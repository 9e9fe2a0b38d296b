"""The way to the target: writes the judged request with the target's credential, reads the answer.

Over HTTP/1.1; a target that speaks HTTP/2 is asked by multiplexed.py.
"""

from collections.abc import AsyncIterator
from time import perf_counter

from funcgate.core.call import Permit
from funcgate.core.lease import Lease
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.wire.http1.responses import Response
from funcgate.wire.http1.writing import whole_request

from .lasting import lasts, watch
from .multiplexed import forward_multiplexed
from .outgoing import IDEMPOTENT, Outgoing, injection, query_to
from .pool import Pool
from .returning import reply_of, too_large
from .target import HttpTarget
from .upstream import Answer, Died, UpstreamConnection

_UNREACHABLE = Code.TARGET_UNREACHABLE
_UNANSWERED = "the target closed the connection before it answered"


async def forward(exchange: Outgoing, permit: Permit, lease: Lease) -> Reply:
    """Send the call that `permit` is for, once, and bring its answer. Raises `Refused`, `PermitError`."""
    started = perf_counter()
    try:
        call, target = exchange.call, exchange.http_target
        if call is None or target is None:
            raise RuntimeError("a call is sent before it is resolved")
        permit.spend(call.digest)
        injected = target.injection
        if injected is None or injected.lease is not lease:
            injected = injection(target, lease)
        pool = target.pool
        if not isinstance(pool, Pool):
            return await forward_multiplexed(exchange, target, pool, injected)
        method = exchange.request.method
        data = whole_request(
            method, target.base_path + exchange.path, query_to(exchange, injected) if injected.query else exchange.query,
            target.host_line, exchange.forwarded, injected.names, injected.lines, exchange.call_id, exchange.traceparent,
            exchange.body,
        )  # fmt: skip
        connection = pool.idle() or await pool.acquire()
        again = connection.used > 0 and method in IDEMPOTENT
        try:
            answer = await connection.ask(
                data, method == b"HEAD", target.limits.timeout_s, target.whole_up_to, exchange
            )
        except Died:
            pool.discard(connection)
            if not again:
                raise Refused(_UNREACHABLE, private_detail=_UNANSWERED) from None
            answer = await _ask_again(exchange, target, pool, data)
        except BaseException:
            pool.discard(connection)  # also when the caller went away: nobody may get this answer later
            raise
        try:
            reply = reply_of(target, answer.response, answer.body)
        except Refused:
            pool.discard(answer.connection)
            raise
        if answer.body is None:
            _stream_into(reply, exchange, target, pool, answer)
        else:
            if answer.response.trailers:
                reply.trailers = answer.response.trailers
            pool.release(answer.connection)
        return reply
    finally:
        exchange.target_s += perf_counter() - started


async def _ask_again(exchange: Outgoing, target: HttpTarget, pool: Pool, data: bytes) -> Answer:
    """On a new connection, once."""
    connection = await pool.acquire(fresh=True)
    head_only = exchange.request.method == b"HEAD"
    try:
        return await connection.ask(data, head_only, target.limits.timeout_s, target.whole_up_to, exchange)
    except Died:
        pool.discard(connection)
        raise Refused(_UNREACHABLE, private_detail="the target closed two connections unanswered") from None
    except BaseException:
        pool.discard(connection)
        raise


def _stream_into(reply: Reply, exchange: Outgoing, target: HttpTarget, pool: Pool, answer: Answer) -> None:
    connection = answer.connection
    # Attack: answers that are refused for their head alone, each keeping a connection, until the pool is empty.
    exchange.unread = lambda: pool.discard(connection)
    if lasts(exchange, reply, answer.response.length):
        connection.lasts(target.limits.stream_timeout_s, target.limits.stream_idle_timeout_s)
    reply.stream = _stream(exchange, target, pool, connection, reply, answer.response)


async def _stream(
    exchange: Outgoing,
    target: HttpTarget,
    pool: Pool,
    connection: UpstreamConnection,
    reply: Reply,
    response: Response,
) -> AsyncIterator[bytes]:
    """The answer's pieces. Gives the connection back at the end, and closes it on any other way out."""
    limits = target.limits
    left = limits.max_response
    exchange.unread = watching = None
    try:
        if lasts(exchange, reply, response.length):
            watching = watch(exchange, limits.end_with_token, connection.cut)
        async for piece in connection.stream():
            left -= len(piece)
            if left < 0:
                raise too_large()
            yield piece
    except Died:
        reply.outcome = Outcome.CUT
        raise Refused(Code.TARGET_UNREACHABLE, private_detail="the target closed in the middle of its answer") from None
    except BaseException:
        reply.outcome = Outcome.CUT
        raise
    else:
        reply.trailers.extend(response.trailers)
    finally:
        if watching is not None:
            watching.close()
        if reply.outcome is Outcome.COMPLETE and connection.is_usable():
            pool.release(connection)
        else:
            pool.discard(connection)
