"""A caller's message: read, judged, made a call, named by a digest. What is judged is what is sent: the message written
anew (P9)."""

import asyncio
from time import time
from typing import Protocol

from funcgate.catalog.proto import Judged, Method
from funcgate.core.call import Call
from funcgate.core.digest import digest_of
from funcgate.core.ports import CallerGone
from funcgate.core.principal import Principal
from funcgate.core.refusal import Code, Refused
from funcgate.gateway import Snapshot
from funcgate.protocols.calling import reason_of, session
from funcgate.protocols.http2.stream import Gone, Why
from funcgate.wire.grpc import Malformed, TooLarge

from .messages import Messages
from .opening import Opening
from .target import GrpcTarget

Message = Judged
NO_MESSAGE = Message({}, None)  # the caller sent none, or none yet
LARGE = 64 << 10  # bytes; larger messages are read beside the loop


async def read_message(messages: Messages, *, only: bool) -> bytes | None:
    """The caller's next message; with `only`, the one that there has to be. Raises `Refused`, `CallerGone`."""
    try:
        return await messages.only() if only else await messages.next()
    except TooLarge:
        raise Refused(Code.REQUEST_TOO_LARGE, "The message is larger than this function takes.") from None
    except Malformed as malformed:
        raise Refused(Code.REQUEST_INVALID, f"{str(malformed).capitalize()}.") from None
    except Gone as gone:
        if gone.why is Why.LATE:
            raise Refused(Code.REQUEST_TIMEOUT, private_detail=f"the time for {gone.late} was over") from None
        raise CallerGone from None


def judged_here(method: Method, message: bytes | None) -> Message:
    """The same, for as long as it takes."""
    takes = method.takes
    return Message({}, message) if takes is None or message is None else takes.read(message)


async def judged(method: Method, message: bytes | None) -> Message:
    """Raises `Refused(request.…)`."""
    if message is None or len(message) <= LARGE:
        return judged_here(method, message)
    return await asyncio.to_thread(judged_here, method, message)


class Asking(Protocol):
    """What is asked of an RPC, or of one message of it, to make its call."""

    call_id: str
    client: str

    @property
    def opening(self) -> Opening: ...

    @property
    def traceparent(self) -> bytes: ...


def call_of(asking: Asking, method: Method, target: GrpcTarget, principal: Principal, message: Message) -> Call:
    """The call, with what was read of it so far."""
    opening, traceparent = asking.opening, asking.traceparent
    known = opening.known
    return Call(
        id=asking.call_id, target=target.name, function=method.function.full_name, args=message.args, principal=principal,
        session=session(known, traceparent, principal, target.name), digest=digest(target, opening.path, message.data),
        received_at=time(), client=asking.client, trace=traceparent[3:35].decode(), reason=reason_of(known),
    )  # fmt: skip


def means_the_same(method: Method, message: Message) -> bool:
    """Whether the method, as it is described by now, reads and writes the message as it was judged."""
    if method.takes is None or message.data is None:
        return True  # nobody looks into it, or there is nothing to look into
    try:
        found = method.takes.read(message.data)
    except Refused:
        return False
    return found.args == message.args and found.data == message.data


def check_readable(method: Method, target: GrpcTarget, snapshot: Snapshot) -> None:
    """Attack: call a method that nobody can look into, and get what masking should have hidden. Refused before it runs."""
    if method.opaque and not target.unmaskable_pass and snapshot.maskers(method.function.full_name).collects:
        raise Refused(Code.MASKING_REFUSED, private_detail="masking has rules for a method without a descriptor")


def digest(target: GrpcTarget, path: bytes, data: bytes | None) -> str:
    """SHA-256 over the place, the method and the message that will be sent."""
    head = b"grpc %b\n%b\n%d\n" % (target.url.encode(), path, data is not None)
    return digest_of(head + (data or b""))
