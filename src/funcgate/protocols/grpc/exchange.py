"""One RPC on its way through, up to its first message: the gRPC side of `core.ports.Exchange`.

With a method whose callers send one message that is all of it. Else this is the call that opens the RPC, later.py has the
messages that follow. What `resolve` judged and what `send` writes are the same re-written bytes (P9).
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine
from math import inf
from time import monotonic, perf_counter, time
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
from funcgate.protocols.calling import reason_of, session, told, traceparent_of
from funcgate.protocols.http2.stream import Gone, Stream
from funcgate.protocols.http2.upstream import refusal as refused_by_target
from funcgate.protocols.watching import Watch
from funcgate.wire.grpc import TextReader, alone, frame
from funcgate.wire.http1.fields import INCIDENTAL
from funcgate.wire.http1.prefer import read_prefer

from .answer import Answer
from .answering import Back, Fields, answering_on, refusal_of, written
from .asking import outbound
from .judging import (
    LARGE,
    NO_MESSAGE,
    Message,
    check_readable,
    digest,
    judged,
    judged_here,
    means_the_same,
    read_message,
)
from .messages import Messages, Readable
from .opening import Opening
from .replying import framed, streamed, whole
from .target import GrpcSite, GrpcTarget, target_of_host

_MARGIN_S = 1.0  # before the caller's deadline: what is told then still arrives


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
        self._loop = asyncio.get_running_loop()
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
        known = self.opening.known
        wait_s, detached = read_prefer(known.get(b"prefer", b""))
        limit_s = self.grpc_target.limits.max_wait_s if self.grpc_target is not None else 0.0
        left_s = self.deadline - self._loop.time()
        until = inf if left_s == inf else monotonic() + left_s - min(_MARGIN_S, left_s / 3)
        patient_s = limit_s if wait_s is None else min(float(wait_s), limit_s)
        named = known.get(b"funcgate-approval", b"")[:64].decode("latin-1")
        return Patience(patient_s, detached, named, *self._beside_digest(), until)

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
        self.call = call = self._call_of(method, target, principal)
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
            # Piece for piece?
            if answer.method.streams[1] or answer.method.opaque:
                return streamed(answer, self._gone)
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
        head = self._own_fields()
        if reply.headers:
            head += written(reply.headers)
        if answer.coding:
            head.append((b"grpc-encoding", answer.coding.encode()))
        try:
            if reply.stream is None and answer.only is not None and reply.body:
                only = frame(answer.only.restore(reply.body))
                if answering.whole(head, only, answer.ending() + written(reply.trailers)):
                    return
                answering.head(head)
                await answering.messages(only)
            elif reply.stream is None:
                frames = await framed(answer, reply.body + b"\n") if reply.body else b""
                if frames or not answer.head_only:
                    answering.head(head)
                    if frames:
                        await answering.messages(frames)
            else:
                await self._deliver_stream(head, answer, reply.stream)
            trailers = answer.ending()
            if reply.trailers:
                trailers = [*trailers, *written(reply.trailers)]
            if answering.begun:
                await answering.end(trailers)
            else:
                await answering.only([*self._own_fields(), *trailers])
        except Gone:
            raise CallerGone from None

    async def _deliver_stream(self, head: Fields, answer: Answer, stream: AsyncIterator[bytes]) -> None:
        answering = self.answering
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

    def _call_of(self, method: Method, target: GrpcTarget, principal: Principal) -> Call:
        """The call, with what was read of it so far."""
        opening, message = self.opening, self._message
        return Call(
            id=self.call_id, target=target.name, function=method.function.full_name, args=message.args, principal=principal,
            session=session(opening.known, self.traceparent, principal, target.name),
            digest=digest(target, opening.path, message.data), received_at=time(), client=self.client,
            trace=self.traceparent[3:35].decode(), reason=reason_of(opening.known),
        )  # fmt: skip

    def _speaks_first(self, method: Method, target: GrpcTarget, principal: Principal) -> bool:
        """Whether the RPC is opened before the caller's first message, as a call without one: the target may have the first word.
        Where some policy looks at arguments, or a person is to, the first message opens it."""
        policies, call = self.site.snapshot.policies, self._call_of(method, target, principal)
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
        long = method.streams != (False, False)
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

    def _beside_digest(self) -> tuple[str, tuple[str, ...], str]:
        """SHA-256 over the path and the fields that the target gets, but for those in which the same call differs when it is
        sent again; these fields, for approvers; SHA-256 over them alone."""
        # Attack: have a call approved, and send it again with a field more that changes what the target does.
        fields = [field for field in self.opening.fields if field[0] not in INCIDENTAL]
        lines = b"".join(b"%b: %b\n" % field for field in fields)
        whole = hashlib.sha256(b"%b\n%b" % (self.opening.path, lines)).hexdigest()
        return whole, tuple([told(*field) for field in fields]), hashlib.sha256(lines).hexdigest()
