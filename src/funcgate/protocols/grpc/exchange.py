"""One RPC on its way through, up to its first message: the gRPC side of `core.ports.Exchange`.

With a method whose callers send one message that is all of it. Else this is the call that opens the RPC, later.py has the
messages that follow. What `resolve` judged and what `send` writes are the same re-written bytes (P9).
"""

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from time import perf_counter
from typing import Any, Protocol

from funcgate.catalog.proto import Method
from funcgate.core.call import Call, Permit
from funcgate.core.decision import Allow
from funcgate.core.ids import new_id
from funcgate.core.lease import Lease
from funcgate.core.ports import CallerGone, Patience
from funcgate.core.principal import Principal, RawToken
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.protocols.calling import traceparent_of
from funcgate.protocols.http2.stream import Gone, Stream
from funcgate.protocols.http2.upstream import refusal as refused_by_target
from funcgate.protocols.watching import Watch
from funcgate.wire.grpc import TextReader, alone, frame

from .answer import Answer
from .answering import Back, Fields, answering_on, refusal_of, written
from .asking import outbound
from .delivering import hand_over
from .holding import patience_of
from .judging import (
    LARGE,
    NO_MESSAGE,
    Message,
    call_of,
    check_readable,
    judged,
    judged_here,
    means_the_same,
    read_message,
)
from .messages import Messages, Readable
from .opening import Opening
from .replying import streamed, whole
from .target import GrpcSite, GrpcTarget, target_of_host

_NEITHER = (False, False)  # streams


class Calling(Protocol):
    """What an exchange asks of the service that it is one of."""

    @property
    def site(self) -> GrpcSite:
        """What serves now; the exchange keeps to the one that it began with."""
        ...

    first_message_timeout_s: float
    write_timeout_s: float


class CallerStream(Readable, Back, Protocol):
    """The caller's stream, in both directions."""

    write_timeout_s: float
    read_by: float
    loop: asyncio.AbstractEventLoop

    def whole(self) -> bytes | None:
        """All of it, when all of it is here; None when it has to be read."""
        ...


class RpcExchange:
    """One RPC. Used by gateway.py, top to bottom, once. `follow` carries the messages after the first one, as a task."""

    _following: asyncio.Task[None] | None = None
    _watch: Watch | None = None
    _answer: Answer | None = None
    _message = NO_MESSAGE
    _target_s = 0.0  # the part of the call's time that the target took
    target = ""
    grpc_target: GrpcTarget | None = None
    method: Method | None = None
    call: Call | None = None
    messages: Messages | None = None  # None where the caller's only message came at once
    upstream: Stream | None = None
    traceparent = b""
    stopped: Refused | None = None  # why a later message ended the RPC

    def __init__(
        self,
        service: Calling,
        stream: CallerStream,
        opening: Opening,
        client: str,
        follow: Callable[["RpcExchange"], Coroutine[Any, Any, None]],
    ) -> None:
        self._loop = stream.loop
        self._stream = stream
        stream.write_timeout_s = service.write_timeout_s
        self._follow = follow
        self.service = service
        self.site = service.site
        self.opening = opening
        self.answering = answering_on(stream, opening, service.site.cors)
        self.call_id = new_id()
        self.client = client
        self.deadline = self._loop.time() + opening.timeout_s if opening.timeout_s else inf

    @property
    def token(self) -> RawToken | None:
        """See `core.ports.Exchange`."""
        return self.opening.token

    @property
    def principal(self) -> Principal | None:
        """Whom the RPC was opened for."""
        return self.call.principal if self.call is not None else None

    @property
    def expires_at(self) -> float:
        """When the caller's token ends (Unix time), leeway aside."""
        return self.call.principal.expires_at if self.call is not None else 0.0

    @property
    def serving(self) -> GrpcSite:
        """What serves now, whatever the RPC began with."""
        return self.service.site

    @property
    def patience(self) -> Patience:
        """See `core.ports.Exchange`. At most as long as the target's `max_wait`, and as the caller's deadline leaves time for."""
        limit_s = self.grpc_target.limits.max_wait_s if self.grpc_target is not None else 0.0
        return patience_of(self.opening, limit_s, self.deadline - self._loop.time())

    def renew(self) -> bool:
        """See `core.ports.Exchange`."""
        old, before = self.grpc_target, self.method
        new = self.service.site.targets.get(self.target)
        if old is None or before is None or new is None:
            return False
        # Attack: get a call approved, and have a reload send its bytes to another place, or mean another method by them.
        if (new.url, new.forward) != (old.url, old.forward):
            return False
        method = new.catalog.find(self.opening.path)
        if method is None or method.streams != before.streams:
            return False
        # Attack: fields that change their numbers while somebody thinks: the same schema, and the bytes mean other arguments.
        if not means_the_same(method, self._message):
            return False
        self.grpc_target, self.method, self.site = new, method, self.service.site
        return True

    async def resolve(self, principal: Principal) -> Call:
        """See `core.ports.Exchange`. The order: place, method, then the message."""
        opening = self.opening
        target = self._locate()
        self.method = method = target.catalog.find(opening.path)
        if method is None:
            raise Refused(Code.FUNCTION_UNKNOWN, private_detail=f"no method for {opening.path.decode('latin-1')}")
        if method.opaque:
            check_readable(method, target, self.site.snapshot)
        if b"traceparent" in opening.known:
            self.traceparent = traceparent_of(opening.known)
        raw = None if method.streams[0] or opening.web is not None else self._stream.whole()
        data = None if raw is None else alone(raw, target.limits.max_request)
        if data is None:
            messages = self._begin_reading(target, raw or b"")
            if not (all(method.streams) and self._speaks_first(method, target, principal)):
                self._message = await judged(method, await read_message(messages, only=not method.streams[0]))
        elif len(data) <= LARGE:
            self._message = judged_here(method, data)
        else:
            self._message = await judged(method, data)
        self.call = call = call_of(self, method, target, principal, self._message)
        return call

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        """See `core.ports.Exchange`."""
        call, message = self.call, self._message
        if call is None:
            raise RuntimeError("a call is sent before it is resolved")
        permit.spend(call.digest)
        started = perf_counter()
        try:
            answer = await self._ask(call, message, lease)
            method = answer.method
            if method.streams != _NEITHER or method.opaque:  # its head goes on before its message comes
                return streamed(answer, self._gone, only=not (method.streams[1] or method.opaque))
            return await whole(answer)
        except Gone as gone:
            raise self._gone(gone) from None
        finally:
            self._target_s += perf_counter() - started

    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`."""
        answer, answering = self._answer, self.answering
        if answer is None:
            raise RuntimeError("an answer is delivered before it came")
        own = self._own_fields()
        head = own + written(reply.headers) if reply.headers else own
        if answer.coding:
            head = [*head, (b"grpc-encoding", answer.coding.encode())]
        only = b""
        try:
            if reply.stream is None and answer.only is not None and reply.body:
                only = frame(answer.only.restore(reply.body))
                if answering.whole(head, only, answer.ending() + written(reply.trailers)):
                    return
            await hand_over(answering, answer, reply, own, head, only)
        except Gone:
            raise CallerGone from None

    async def refuse(self, refused: Refused) -> None:
        """See `core.ports.Exchange`. After the head has gone out, the trailers say it."""
        if self.upstream is not None:
            self.upstream.close()
        answering = self.answering
        try:
            if answering.begun:
                await answering.end(self._refusal(refused))
            elif refused.status in (405, 415):
                await answering.refuse_http(refused.status)  # it does not speak gRPC
            else:
                await answering.only([*self._own_fields(), *self._refusal(refused)])
        except Gone:
            return

    def stop(self, refused: Refused) -> None:
        """A later message was refused, or the caller may be one no longer: the target's side ends at once, and the caller is
        told why."""
        self.stopped = refused
        if self.upstream is not None:
            self.upstream.reset()

    def broke(self) -> None:
        """A fault of ours on the way of a later message."""
        self.stop(Refused(Code.GATEWAY_ERROR, private_detail="a later message could not be carried"))

    def close(self) -> None:
        """Whatever is still open of it ends."""
        if self._following is not None:
            self._following.cancel()
        if self._watch is not None:
            self._watch.close()
        if self.upstream is not None:
            self.upstream.close()
        self._stream.close()

    # Reading.

    def _locate(self) -> GrpcTarget:
        """The target that the metadata or the host names."""
        site, opening = self.site, self.opening
        named = opening.known.get(b"funcgate-target")
        name = named.decode("latin-1") if named is not None else target_of_host(site.hosts, opening.authority)
        target = site.targets.get(name)
        if target is None:
            raise Refused(Code.FUNCTION_UNKNOWN, private_detail="the call names no target")
        self.target = name
        self.grpc_target = target
        return target

    def _speaks_first(self, method: Method, target: GrpcTarget, principal: Principal) -> bool:
        """Whether the RPC is opened before the caller's first message, as a call without one: the target may have the first word.
        Where some policy looks at arguments, or a person is to, the first message opens it."""
        policies, call = self.site.snapshot.policies, call_of(self, method, target, principal, self._message)
        # Attack: have an RPC opened by the policies for no message at all, where they would refuse the message.
        return not method.opaque and policies.blind(call) and isinstance(policies.decide(call), Allow)

    def _begin_reading(self, target: GrpcTarget, begun: bytes) -> Messages:
        stream, opening = self._stream, self.opening
        # Attack: a message that comes byte by byte, so that its call is never over (slowloris).
        stream.read_by = min(self.deadline, self._loop.time() + self.service.first_message_timeout_s)
        text = TextReader() if opening.web is not None and opening.web.text else None
        self.messages = messages = Messages(stream, opening.coding, target.limits.max_request, text, begun)
        return messages

    # Sending.

    async def _ask(self, call: Call, message: Message, lease: Lease) -> Answer:
        target, method, messages = self.grpc_target, self.method, self.messages
        if target is None or method is None:
            raise RuntimeError("a call is sent before it is resolved")
        now = self._loop.time()
        long = method.streams != _NEITHER
        if long:
            self._watch = Watch(self, target.limits.end_with_token)
        left_s = min(target.limits.stream_timeout_s if long else target.limits.timeout_s, self.deadline - now)
        if left_s <= 0:
            raise Refused(Code.TARGET_TIMEOUT, private_detail="the caller's deadline was over before the call was sent")
        injected = target.injection(lease)
        fields = outbound(
            self.opening, target, injected, call_id=self.call_id, traceparent=self.traceparent, left_s=left_s
        )
        body = frame(message.data) if message.data is not None else b""
        secret = injected.secret
        if messages is None or messages.at_end:
            self.upstream = await target.pool.ask(
                fields, body, secret=secret, idempotent=method.idempotent, deadline=now + left_s,
                silence_s=target.limits.stream_idle_timeout_s if long else 0.0,
            )  # fmt: skip
        else:
            await self._open(target, fields, body, secret, now + left_s)
        if self.upstream is None:
            raise RuntimeError("no stream to the target")
        if self.stopped is not None:
            raise self.stopped
        masker = self.site.snapshot.maskers(call.function)
        self._answer = answer = Answer(
            self.upstream, method, target, lease,
            strict=masker.collects or bool(lease.needles), accepts=self.opening.accepts,
        )  # fmt: skip
        return answer

    async def _open(
        self, target: GrpcTarget, fields: Fields, body: bytes, secret: frozenset[bytes], deadline: float
    ) -> None:
        """The RPC, and the first of several messages if it is known. From now on the others follow, while the answer comes."""
        silence_s = target.limits.stream_idle_timeout_s  # of both: a message of the caller's begins it anew
        self.upstream = stream = await target.pool.open(
            fields, end=False, secret=secret, deadline=deadline, silence_s=silence_s
        )
        self._stream.read_by = deadline
        if body:
            await stream.write(body)
        self._following = self._loop.create_task(self._follow(self))
        await stream.answer()

    def _gone(self, gone: Gone) -> Refused:
        """What is told when the target's stream is gone: why a later message was refused, if that is the reason."""
        return self.stopped or refused_by_target(gone)

    # Answering.

    def _own_fields(self) -> Fields:
        spent_ms = (perf_counter() - self.opening.began - self._target_s) * 1000.0
        return [
            (b"funcgate-call-id", self.call_id.encode()),
            (b"server-timing", b"funcgate;dur=%.3f" % spent_ms),
        ]

    def _refusal(self, refused: Refused) -> Fields:
        return refusal_of(refused, self.call_id, self.site.approval_url)
