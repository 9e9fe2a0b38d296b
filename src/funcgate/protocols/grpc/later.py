"""The messages of a caller after the first one: each a call of its own, sent once its "allowed" is durable.

One that is refused ends the RPC; nothing is skipped. Each is judged by the configuration and the token as they are by then.
"""

import asyncio
from collections import deque

from funcgate.catalog.proto import Method
from funcgate.core.call import Call, Permit
from funcgate.core.decision import Allow, Deny
from funcgate.core.ids import new_id
from funcgate.core.lease import Lease
from funcgate.core.ports import CallerGone, Patience
from funcgate.core.principal import Principal, RawToken
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.gateway import Gateway
from funcgate.protocols.http2.stream import Gone, Why
from funcgate.protocols.http2.upstream import refusal as refused_by_target
from funcgate.wire.grpc import frame

from .exchange import RpcExchange
from .judging import Message, call_of, check_readable, judged, means_the_same, read_message
from .messages import Messages
from .target import GrpcTarget

_SOON_S = 1.0  # a message that goes out within it is sent as it was allowed
_TOGETHER = 16  # messages that are judged and recorded at the same time


class LaterMessage:
    """One message of an RPC that is open. `wrong` says why it cannot even be read. `sent` tells the message after it whether it
    went out; `before` is that of the message before it."""

    def __init__(
        self, rpc: RpcExchange, data: bytes, wrong: Refused | None = None, before: "asyncio.Future[bool] | None" = None
    ) -> None:
        self.sent: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._before = before
        self._rpc = rpc
        self.opening, self.traceparent = rpc.opening, rpc.traceparent
        self._data = data
        self.wrong = wrong
        self._message: Message | None = None
        self._call: Call | None = None
        self.site = rpc.service.site
        self.call_id = new_id()
        self.client = rpc.client
        self.target = rpc.target
        self.refused: Refused | None = None
        self._approved = False

    @property
    def token(self) -> RawToken | None:
        """See `core.ports.Exchange`."""
        return self._rpc.token

    @property
    def patience(self) -> Patience:
        """See `core.ports.Exchange`."""
        return self._rpc.patience

    def renew(self) -> bool:
        """See `core.ports.Exchange`."""
        self.site, self._approved = self._rpc.service.site, True
        return self._means_the_same()

    async def resolve(self, principal: Principal) -> Call:
        """See `core.ports.Exchange`."""
        if self.wrong is not None:
            raise self.wrong
        opening, target = self._rpc.opening, self._target()
        method = target.catalog.find(opening.path) if target is not None else None
        if target is None or method is None:
            raise Refused(Code.FUNCTION_UNKNOWN, private_detail="the method is not there any more, or at another place")
        self._check_masking(method, target)
        self._message = message = await judged(method, self._data)
        self._call = call = call_of(self, method, target, principal, message)
        return call

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        """See `core.ports.Exchange`. The answer, if there is one, is the RPC's."""
        call, message, upstream = self._call, self._message, self._rpc.upstream
        if call is None or message is None or upstream is None:
            raise RuntimeError("a message is sent before it is resolved")
        await self._turn(call)
        permit.spend(call.digest)
        try:
            await upstream.write(frame(message.data or b""))
            upstream.stir()
        except Gone as gone:
            if gone.why is Why.ANSWERED:
                raise CallerGone from None  # the target has said its last word: whoever reads it, reads that
            raise refused_by_target(gone) from None
        if not self.sent.done():
            self.sent.set_result(True)
        return Reply(status=200, headers=[])

    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`. There is nothing to hand over."""

    async def refuse(self, refused: Refused) -> None:
        """See `core.ports.Exchange`. The RPC tells it, once what came before has been sent."""
        if self._before is not None:
            await self._before
        self.refused = refused

    async def _turn(self, call: Call) -> None:
        """Until the message before it is sent. Raises `CallerGone` when that never is, `Refused`."""
        before, loop = self._before, asyncio.get_running_loop()
        if before is None:
            return
        since = loop.time()
        if not await before:
            raise CallerGone
        # Attack: have a message allowed behind one that a person thinks about. It is sent minutes later: by then the token is
        # revoked, or the policy gone.
        if self.site is not self._rpc.service.site or loop.time() - since > _SOON_S:
            await self._look_again(call)

    async def _look_again(self, call: Call) -> None:
        """Raises `Refused` unless the message would be allowed now."""
        reloaded = self.site is not self._rpc.service.site
        self.site = site = self._rpc.service.site
        token, identity = self.token, site.snapshot.identity
        principal = (identity.recall(token) if token is not None else None) or await identity.identify(token)
        before = call.principal
        if (principal.issuer, principal.subject, principal.acts_for, principal.actor) != (
            before.issuer, before.subject, before.acts_for, before.actor,
        ):  # fmt: skip
            raise Refused(Code.IDENTITY_INVALID, private_detail="the token names somebody else by now")
        call.principal = principal
        if not self._means_the_same():
            raise Refused(
                Code.FUNCTION_UNKNOWN, private_detail="the method changed while the message waited for its turn"
            )
        decision = site.snapshot.policies.decide(call)
        if isinstance(decision, Deny):
            raise Refused(decision.code, private_detail=decision.reason)
        if not isinstance(decision, Allow) and (reloaded or not self._approved):
            raise Refused(
                Code.APPROVAL_EXPIRED, private_detail="the policies changed while the message waited for its turn"
            )

    def _means_the_same(self) -> bool:
        """Whether place, method and arguments are by now as they were judged."""
        target, message = self._target(), self._message
        method = target.catalog.find(self._rpc.opening.path) if target is not None else None
        if target is None or method is None or message is None:
            return False
        self._check_masking(method, target)
        return means_the_same(method, message)

    def _check_masking(self, method: Method, target: GrpcTarget) -> None:
        """Raises `Refused(masking.refused)`."""
        check_readable(method, target, self.site.snapshot)
        name = method.function.full_name
        # Attack: keep an RPC open from before a masking rule, whose answers are masked by what there was then.
        if self.site.snapshot.maskers(name).hides != self._rpc.site.snapshot.maskers(name).hides:
            raise Refused(Code.MASKING_REFUSED, private_detail="the masking rules changed since the RPC was opened")

    def _target(self) -> GrpcTarget | None:
        """The target, while it is where the RPC is."""
        old, new = self._rpc.grpc_target, self.site.targets.get(self.target)
        # Attack: a reload by which the next message would mean another method, or be judged for another place.
        return new if old is not None and new is not None and new.url == old.url else None


async def follow(rpc: RpcExchange, gateway: Gateway) -> None:
    """Carry the messages until the caller has sent its last one, or one is refused. Those that are there together are judged and
    recorded together, and sent in their order."""
    messages, upstream = rpc.messages, rpc.upstream
    if messages is None or upstream is None:
        raise RuntimeError("a message follows before the RPC is open")
    under_way: deque[asyncio.Task[None]] = deque()
    before: asyncio.Future[bool] | None = None
    try:
        while (later := await _next(rpc, messages, before)) is not None:
            before = later.sent
            if later.wrong is not None:
                break
            if under_way or messages.ready:
                under_way.append(asyncio.create_task(_carry(later, rpc, gateway)))
                if len(under_way) >= _TOGETHER:
                    await under_way.popleft()
            else:
                await _carry(later, rpc, gateway)
            if rpc.stopped is not None:
                return
        while under_way:
            await under_way.popleft()
        if later is not None and rpc.stopped is None:
            await _carry(later, rpc, gateway)  # what cannot be read: nothing can come after it
        if rpc.stopped is None:
            await upstream.write(b"", end=True)
    except CallerGone:
        rpc.stop(Refused(Code.REQUEST_INVALID, private_detail="the caller went away"))
    except Gone:
        return  # whoever reads the answer learns why
    finally:
        for task in under_way:
            task.cancel()


async def _next(rpc: RpcExchange, messages: Messages, before: "asyncio.Future[bool] | None") -> LaterMessage | None:
    """The next message, also one that cannot be read; None after the last one. Raises `CallerGone`."""
    try:
        data = await read_message(messages, only=False)
    except Refused as refused:
        return LaterMessage(rpc, b"", refused, before)
    return None if data is None else LaterMessage(rpc, data, None, before)


async def _carry(later: LaterMessage, rpc: RpcExchange, gateway: Gateway) -> None:
    try:
        await gateway.carry(later, later.site.snapshot)
    finally:
        if not later.sent.done():
            later.sent.set_result(False)
    if later.refused is not None and rpc.stopped is None:
        rpc.stop(later.refused)
