"""The messages of a caller after the first one: each a call of its own, sent once its "allowed" is durable.

One that is refused ends the RPC; nothing is skipped. Each is judged by the configuration and the token as they are by then.
"""

from time import time

from funcgate.core.call import Call, Permit
from funcgate.core.ids import new_id
from funcgate.core.lease import Lease
from funcgate.core.ports import CallerGone, Patience
from funcgate.core.principal import Principal, RawToken
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.gateway import Gateway
from funcgate.protocols.calling import reason_of, session
from funcgate.protocols.http2.stream import Gone, Why
from funcgate.protocols.http2.upstream import refusal as refused_by_target
from funcgate.wire.grpc import frame

from .exchange import RpcExchange
from .judging import Message, check_readable, digest, judged, read_message
from .target import GrpcTarget


class LaterMessage:
    """One message of an RPC that is open. `wrong` says why it cannot even be read."""

    def __init__(self, rpc: RpcExchange, data: bytes, wrong: Refused | None = None) -> None:
        self._rpc = rpc
        self._data = data
        self._wrong = wrong
        self._message: Message | None = None
        self._call: Call | None = None
        self.site = rpc.service.site
        self.call_id = new_id()
        self.client = rpc.client
        self.target = rpc.target
        self.refused: Refused | None = None

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
        self.site = self._rpc.service.site
        return self._call is not None and self._target() is not None

    async def resolve(self, principal: Principal) -> Call:
        """See `core.ports.Exchange`."""
        if self._wrong is not None:
            raise self._wrong
        opening, target = self._rpc.opening, self._target()
        method = target.catalog.find(opening.path) if target is not None else None
        if target is None or method is None:
            raise Refused(Code.FUNCTION_UNKNOWN, private_detail="the method is not there any more, or at another place")
        check_readable(method, target, self.site.snapshot)
        self._message = message = await judged(method, self._data)
        self._call = call = Call(
            id=self.call_id, target=target.name, function=method.function.full_name, args=message.args,
            principal=principal, session=session(opening.known, self._rpc.traceparent, principal, target.name),
            digest=digest(target, opening.path, message.data), received_at=time(), client=self.client,
            trace=self._rpc.traceparent[3:35].decode(), reason=reason_of(opening.known),
        )  # fmt: skip
        return call

    async def send(self, permit: Permit, lease: Lease) -> Reply:
        """See `core.ports.Exchange`. The answer, if there is one, is the RPC's."""
        call, message, upstream = self._call, self._message, self._rpc.upstream
        if call is None or message is None or upstream is None:
            raise RuntimeError("a message is sent before it is resolved")
        permit.spend(call.digest)
        try:
            await upstream.write(frame(message.data or b""))
        except Gone as gone:
            if gone.why is Why.ANSWERED:
                raise CallerGone from None  # the target has said its last word: whoever reads it, reads that
            raise refused_by_target(gone) from None
        return Reply(status=200, headers=[])

    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`. There is nothing to hand over."""

    async def refuse(self, refused: Refused) -> None:
        """See `core.ports.Exchange`. The RPC tells it."""
        self.refused = refused

    def _target(self) -> GrpcTarget | None:
        """The target, while it is where the RPC is."""
        old, new = self._rpc.grpc_target, self.site.targets.get(self.target)
        # Attack: a reload by which the next message would mean another method, or be judged for another place.
        return new if old is not None and new is not None and new.url == old.url else None


async def follow(rpc: RpcExchange, gateway: Gateway) -> None:
    """Carry the messages, one after the other, until the caller has sent its last one, or one is refused."""
    messages, upstream = rpc.messages, rpc.upstream
    if messages is None or upstream is None:
        raise RuntimeError("a message follows before the RPC is open")
    while True:
        later: LaterMessage | None = None
        try:
            data = await read_message(messages, only=False)
            if data is not None:
                later = LaterMessage(rpc, data)
        except CallerGone:
            rpc.stop(Refused(Code.REQUEST_INVALID, private_detail="the caller went away"))
            return
        except Refused as refused:
            later = LaterMessage(rpc, b"", refused)
        if later is None:
            break
        await gateway.carry(later, later.site.snapshot)
        if later.refused is not None:
            rpc.stop(later.refused)
            return
    try:
        await upstream.write(b"", end=True)
    except Gone:
        return  # whoever reads the answer learns why
