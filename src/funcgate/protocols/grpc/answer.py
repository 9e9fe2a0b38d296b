"""What a target answers, as lines of JSON: what is masked, recorded, and then turned into messages again.

A line holds all of a message, or the message is refused. A failure is a line, too: texts and details of errors are masked.
"""

import asyncio
import base64
from collections import deque
from collections.abc import Mapping
from typing import Protocol

import msgspec
from msgspec import Raw, Struct

from funcgate.catalog.proto import Method
from funcgate.core.lease import Lease
from funcgate.core.refusal import Code, Refused
from funcgate.protocols.http2.stream import Stream
from funcgate.wire.grpc import (
    Malformed,
    Status,
    alone,
    frame,
    from_http,
    packed,
    read_binary,
    read_message,
    read_status,
    write_binary,
    write_message,
)

from .heads import Fields, head_of, returned, success, unreadable
from .messages import Messages
from .target import GrpcTarget

MEDIA = "application/x-ndjson"
_LARGE = 64 << 10  # bytes of one message; larger ones are read beside the loop
_OK = 200
_SUCCEEDED = int(Status.OK)  # members of an enumeration are looked up slowly
_SUCCESS: Fields = [(b"grpc-status", b"0")]
_NO_DETAILS = Raw(b"null")
_encode = msgspec.json.Encoder().encode
# google.rpc.Code's own table, for whoever reads the record.
HTTP_STATUS: Mapping[int, int] = {
    Status.OK: 200, Status.CANCELLED: 499, Status.UNKNOWN: 500, Status.INVALID_ARGUMENT: 400, Status.DEADLINE_EXCEEDED: 504,
    Status.NOT_FOUND: 404, Status.ALREADY_EXISTS: 409, Status.PERMISSION_DENIED: 403, Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 400, Status.ABORTED: 409, Status.OUT_OF_RANGE: 400, Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500, Status.UNAVAILABLE: 503, Status.DATA_LOSS: 500, Status.UNAUTHENTICATED: 401,
}  # fmt: skip


class Seen(Protocol):
    """One message that was read: its line, and the message for a masked line."""

    @property
    def line(self) -> bytes: ...

    def restore(self, masked_line: bytes, /) -> bytes: ...


class Failure(Struct, omit_defaults=True, rename={"status": "grpc-status", "message": "grpc-message"}):
    """The line of an answer that ended in an error. `details` is google.rpc.Status as JSON."""

    status: int
    message: str = ""
    details: Raw = _NO_DETAILS


class Opaque:
    """A message that nobody can read. It passes as it is or not at all; `lenient`: even where masking has rules."""

    __slots__ = ("_data", "_lenient", "line")

    def __init__(self, data: bytes, lease: Lease, lenient: bool) -> None:
        # Attack: have the target echo its credential in a message that no masking looks into (P4).
        if any(needle.reveal().encode("utf-8", "surrogateescape") in data for needle in lease.needles):
            raise unreadable("a message without a descriptor holds the target's credential")
        self._data = data
        self._lenient = lenient
        self.line = b'{"opaque":"%b"}' % base64.b64encode(data)

    def restore(self, masked_line: bytes) -> bytes:
        if masked_line != self.line and not self._lenient:
            raise unreadable("a message without a descriptor would have to be masked")
        return self._data


class Answer:
    """One answer, once its head is there. `metadata` and `trailers` are for the caller, ``-bin`` values as bytes; `status` is
    known once `line` has returned None. `strict`: what cannot be looked into is refused. `accepts` are the codings that the
    caller reads. Raises `Refused`.
    """

    def __init__(
        self,
        stream: Stream,
        method: Method,
        target: GrpcTarget,
        lease: Lease,
        *,
        strict: bool,
        accepts: bytes,
    ) -> None:
        self._stream = stream
        self.method = method
        self._target = target
        self._lease = lease
        self._strict = strict
        self._seen: deque[tuple[Seen, bool]] = deque()
        self._failure = b""
        self._some = False  # a message came
        self._details: Seen | None = None
        self._fields = fields = stream.fields or []
        head = head_of(fields)
        self._http_status = head.http_status
        # Attack: a head that says how it ends, and goes on. Only one that ends the stream is believed.
        self.head_only = head.has_status and stream.ended and not stream.held and not stream.trailers
        self.metadata: Fields = [] if self.head_only else head.metadata
        self.trailers: Fields = []
        self.status = -1
        self._came_in = coding = head.coding
        self.coding = coding if coding in ("gzip", "deflate") and coding.encode() in accepts else ""
        self._begun = b""  # of the messages, and taken off the stream already
        self._several: Messages | None = None
        self.only: Seen | None = None  # the message of an answer that is one plain message, and a success
        if head.http_status == 200 and not head.is_grpc:
            raise unreadable("the target's answer is not gRPC")

    async def whole(self) -> bytes | None:
        """The line, without its end, of an answer that is one plain message and a success; then `only` is its message. None
        for every other one, which `line` reads."""
        stream, max_bytes = self._stream, self._target.limits.max_response
        if self._http_status != _OK or self.head_only:
            return None
        raw = stream.whole()
        if raw is None:
            raw = await stream.gather(max_bytes)
            if raw is None:
                return None
        message, gives, trailers = alone(raw, max_bytes), self.method.gives, success(stream.trailers)
        if message is None or gives is None or trailers is None or len(message) > _LARGE:
            self._begun = raw
            return None
        self.only = seen = gives.read(message, strict=self._strict)
        self.status, self.trailers = _SUCCEEDED, trailers
        return seen.line

    async def line(self) -> bytes | None:
        """The next message as a line with its end; for one that failed, the failure is the last line. None at the end."""
        if self.status >= 0:
            return None
        if self._http_status == 200:
            try:
                message = await self._messages.next()
            except Malformed as malformed:
                raise unreadable(f"the target's answer cannot be read: {malformed}") from None
            if message is not None:
                return await self._read(message)
        return self._ended()

    @property
    def _messages(self) -> Messages:
        if self._several is None:
            max_bytes = self._target.limits.max_response
            self._several = Messages(self._stream, self._came_in, max_bytes, begun=self._begun)
        return self._several

    @property
    def ready(self) -> bool:
        """Whether another message is here already."""
        return self._messages.ready

    async def _read(self, message: bytes) -> bytes:
        gives = self.method.gives
        self._some = True
        seen: Seen
        if gives is None:
            seen = Opaque(message, self._lease, self._target.unmaskable_pass)
        elif len(message) <= _LARGE:
            seen = gives.read(message, strict=self._strict)
        else:
            seen = await asyncio.to_thread(gives.read, message, strict=self._strict)
        self._seen.append((seen, self._messages.packed))
        return seen.line + b"\n"

    def _ended(self) -> bytes | None:
        head_only = self.head_only or not (self._some or self._stream.trailers)  # an empty frame may have ended it
        fields = self._fields if head_only else self._stream.trailers
        if self._http_status != 200:
            self.status = from_http(self._http_status)
            return _encode(Failure(self.status, f"the target answered with HTTP status {self._http_status}")) + b"\n"
        known = dict(fields)
        if b"grpc-status" not in known:
            raise Refused(Code.TARGET_UNREACHABLE, private_detail="the target's answer ended without a status")
        # Attack: two statuses, of which one reader takes the failure and another one the success.
        if sum(name == b"grpc-status" for name, _ in fields) > 1:
            raise unreadable("the target's answer has two statuses")
        try:
            self.status = read_status(known[b"grpc-status"])
        except Malformed as malformed:
            raise unreadable(str(malformed)) from None
        if self.head_only or not head_only:
            self.trailers = returned(fields)
        if self.status == Status.OK:
            return None
        failure = Failure(self.status, read_message(known.get(b"grpc-message", b"")))
        details = known.get(b"grpc-status-details-bin")
        if details is not None:
            self._details = seen = self._read_details(details)
            failure.details = _NO_DETAILS if seen is None else Raw(seen.line)
        return _encode(failure) + b"\n"

    def _read_details(self, value: bytes) -> Seen | None:
        """None for details that cannot be looked into: they stay on the target's side, the status goes on."""
        try:
            status = self._target.catalog.status
            return None if status is None else status.read(b"".join(read_binary(value)), strict=self._strict)
        except (Malformed, Refused):
            return None

    # From the masked lines to what the caller gets.

    def frames(self, lines: bytes) -> bytes:
        """The messages of some masked lines, framed. The line of a failure gives none: see `ending`."""
        out: list[bytes] = []
        for line in lines.split(b"\n")[:-1]:
            if not self._seen:
                self._failure = line
                continue
            seen, was_packed = self._seen.popleft()
            message = seen.restore(line)
            out.append(frame(packed(message, self.coding), True) if was_packed and self.coding else frame(message))
        return out[0] if len(out) == 1 else b"".join(out)

    def ending(self) -> Fields:
        """grpc-status and what goes with it, as masked."""
        if not self._failure:
            return _SUCCESS if self.status == _SUCCEEDED else [(b"grpc-status", b"%d" % self.status)]
        try:
            failure = msgspec.json.decode(self._failure, type=Failure)
        except msgspec.MsgspecError:
            return [(b"grpc-status", b"%d" % self.status)]  # the failure as a whole was masked
        found = [(b"grpc-status", b"%d" % self.status)]
        if failure.message:
            found.append((b"grpc-message", write_message(failure.message)))
        if self._details is not None and bytes(failure.details) != bytes(_NO_DETAILS):
            try:
                data = self._details.restore(bytes(failure.details))
            except Refused:
                return found  # masking left nothing of the details that could be sent
            found.append((b"grpc-status-details-bin", write_binary(data)))
        return found
