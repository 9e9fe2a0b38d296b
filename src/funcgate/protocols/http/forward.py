"""The way to the target: writes the judged request with the target's credential, reads the answer.

The one place where a secret is written to a socket.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Protocol
from urllib.parse import quote_plus

from funcgate.core.call import Call, Permit
from funcgate.core.lease import Lease
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.wire.http1.fields import media_type
from funcgate.wire.http1.requests import Request
from funcgate.wire.http1.responses import Response
from funcgate.wire.http1.writing import fields_block

from .target import HttpTarget, Injection
from .upstream import WHOLE_UP_TO, Answer, Died, UpstreamConnection

_UNREACHABLE = Code.TARGET_UNREACHABLE
# RFC 9110, 9.2.2: only these may be sent again when a kept-alive connection died before the answer began.
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})


class Outgoing(Protocol):
    """A call that was resolved: what of its message crosses."""

    call_id: str
    call: Call | None
    http_target: HttpTarget | None
    request: Request
    path: str
    query: str
    forwarded: list[tuple[bytes, bytes]]
    body: bytes
    traceparent: bytes
    unread: UpstreamConnection | None


async def forward(exchange: Outgoing, permit: Permit, lease: Lease) -> Reply:
    """Send the call that `permit` is for, once, and bring its answer. Raises `Refused`, `PermitError`."""
    call, target = exchange.call, exchange.http_target
    if call is None or target is None:
        raise RuntimeError("a call is sent before it is resolved")
    permit.spend(call.digest)
    data = _outbound(exchange, target, injection(target, lease))
    method = exchange.request.method
    pool = target.pool
    connection = pool.idle() or await pool.acquire()
    again = connection.used > 0 and method in _IDEMPOTENT
    try:
        answer = await _ask(target, connection, data, method)
    except Died:
        pool.discard(connection)
        if not again:
            raise Refused(_UNREACHABLE, private_detail="the target closed the connection before it answered") from None
        answer = await _ask_again(target, data, method)
    except BaseException:
        pool.discard(connection)  # also when the caller went away: nobody may get this answer later
        raise
    try:
        return _reply(exchange, target, answer)
    except Refused:
        pool.discard(answer.connection)
        raise


def _ask(target: HttpTarget, connection: UpstreamConnection, data: bytes, method: bytes) -> asyncio.Future[Answer]:
    limits = target.limits
    return connection.ask(
        data,
        head_only=method == b"HEAD",
        total_timeout_s=limits.timeout_s,
        whole_up_to=-1 if target.unmaskable_pass else min(WHOLE_UP_TO, limits.max_response),
    )


async def _ask_again(target: HttpTarget, data: bytes, method: bytes) -> Answer:
    """On a new connection, once."""
    pool = target.pool
    connection = await pool.acquire(fresh=True)
    try:
        return await _ask(target, connection, data, method)
    except Died:
        pool.discard(connection)
        raise Refused(_UNREACHABLE, private_detail="the target closed two connections unanswered") from None
    except BaseException:
        pool.discard(connection)
        raise


def injection(target: HttpTarget, lease: Lease) -> Injection:
    """The lease as bytes; worked out once for each lease object."""
    cached = target.injection
    if cached is not None and cached.lease is lease:
        return cached
    fresh = Injection(
        lease=lease,
        lines=b"".join(
            b"%b: %b\r\n" % (name.encode(), value.reveal().encode("latin-1")) for name, value in lease.headers
        ),
        names=frozenset(name.lower().replace("_", "-").encode() for name, _ in lease.headers),
        query="&".join(f"{quote_plus(name)}={quote_plus(value.reveal())}" for name, value in lease.query),
        parameters=frozenset(quote_plus(name) for name, _ in lease.query),
    )
    target.injection = fresh
    return fresh


def _outbound(exchange: Outgoing, target: HttpTarget, injected: Injection) -> bytes:
    request, body = exchange.request, exchange.body
    path, query = target.base_path + exchange.path, exchange.query
    if injected.query:
        # Attack: send the credential's own parameter, so that the target reads the caller's.
        kept = [pair for pair in query.split("&") if pair and pair.partition("=")[0] not in injected.parameters]
        query = "&".join([*kept, injected.query])
    line = f"{path}?{query}" if query else path
    fields = exchange.forwarded
    if injected.names:
        # Attack: send the credential's own field, in this spelling or with underscores (`names` have none).
        names = injected.names
        fields = [field for field in fields if field[0].replace(b"_", b"-") not in names]
    parts = [
        b"%b %b HTTP/1.1\r\n" % (request.method, line.encode("ascii")),
        target.host_line,
        fields_block(fields),
        injected.lines,
        b"accept-encoding: identity\r\nfuncgate-call-id: %b\r\n" % exchange.call_id.encode(),
    ]
    if exchange.traceparent:
        parts.append(b"traceparent: %b\r\n" % exchange.traceparent)
    if body or request.method in (b"POST", b"PUT", b"PATCH"):
        parts.append(b"content-length: %d\r\n\r\n" % len(body))
        parts.append(body)
    else:
        parts.append(b"\r\n")
    return b"".join(parts)


def _reply(exchange: Outgoing, target: HttpTarget, answer: Answer) -> Reply:
    response, connection = answer.response, answer.connection
    limit = target.limits.max_response
    if response.length > limit and not response.head_only:
        raise Refused(Code.MASKING_REFUSED, private_detail=f"the answer is larger than max_response ({limit} bytes)")
    if response.status == 206 and not target.unmaskable_pass:
        raise Refused(Code.MASKING_REFUSED, private_detail="the answer is a part that was not asked for (206)")
    known = response.known
    media, charset = media_type(known.get(b"content-type", b""))
    encoding = known.get(b"content-encoding", b"").decode("latin-1").lower()
    reply = Reply(
        status=response.status,
        headers=_returned(target, response),
        media=media,
        charset=charset,
        encoding="" if encoding == "identity" else encoding,
        body=answer.body,
    )
    if answer.body is None:
        exchange.unread = connection
        reply.stream = _stream(target, connection, reply, response)
    else:
        reply.trailers = response.trailers
        target.pool.release(connection)
    return reply


async def _stream(
    target: HttpTarget, connection: UpstreamConnection, reply: Reply, response: Response
) -> AsyncIterator[bytes]:
    """The answer's pieces. Gives the connection back at the end, and closes it on any other way out."""
    left = target.limits.max_response
    connection.streaming = True
    try:
        async for piece in connection.stream():
            left -= len(piece)
            if left < 0:
                raise Refused(Code.MASKING_REFUSED, private_detail="the answer grew larger than max_response")
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
        if reply.outcome is Outcome.COMPLETE and connection.usable:
            target.pool.release(connection)
        else:
            target.pool.discard(connection)


_ABSOLUTE = re.compile(rb"(?i)https?://")


def _returned(target: HttpTarget, response: Response) -> list[tuple[bytes, bytes]]:
    """The answer's fields; an absolute Location on the target itself is turned to the gateway, others stay."""
    location = response.known.get(b"location")
    if location is None or not _ABSOLUTE.match(location):
        return response.fields
    prefix = target.url.encode()
    if not location.startswith(prefix) or location[len(prefix) : len(prefix) + 1] not in (b"", b"/", b"?"):
        return response.fields
    local = b"/%b%b" % (target.name.encode(), location[len(prefix) :])
    return [(name, local if name.lower() == b"location" else value) for name, value in response.fields]
