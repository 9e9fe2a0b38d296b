"""How an answer is written to a caller: as gRPC, or as gRPC-Web. It knows how much has gone out, and nothing of what it says."""

from typing import Any, Protocol

from funcgate.core.refusal import Code, Refused
from funcgate.wire.grpc import Status, WebKind, is_binary, refusal, text, trailer_frame, write_binary

from .cors import Cors, without_cors
from .opening import Opening

Fields = list[tuple[bytes, bytes]]

_STATUS_OK = (b":status", b"200")
ACCEPTED = (b"grpc-accept-encoding", b"identity,deflate,gzip")


class Back(Protocol):
    """The caller's stream, to answer on. Raises `Gone` when nobody takes it."""

    def head(self, fields: Fields, end: bool = ...) -> None: ...

    def send_trailers(self, fields: Fields) -> None: ...

    async def write(self, data: bytes, end: bool = ...) -> None: ...

    def answer_now(self, head: Fields, data: bytes, trailers: Fields) -> bool: ...

    def close(self) -> None: ...


class Answering:
    """gRPC: messages in DATA, trailers behind them. `begun`: the head is out."""

    __slots__ = ("_content_type", "_stream", "begun")

    def __init__(self, stream: Back, content_type: bytes) -> None:
        self._stream = stream
        self._content_type = content_type
        self.begun = False

    def head(self, fields: Fields) -> None:
        self.begun = True
        self._stream.head([_STATUS_OK, (b"content-type", self._content_type), ACCEPTED, *fields])

    def whole(self, fields: Fields, frames: bytes, trailers: Fields) -> bool:
        """All of an answer, if the caller has room for it now; else nothing has gone out."""
        head = [_STATUS_OK, (b"content-type", self._content_type), ACCEPTED, *fields]
        self.begun = self._stream.answer_now(head, frames, trailers)
        return self.begun

    async def messages(self, frames: bytes) -> None:
        await self._stream.write(frames)

    async def end(self, trailers: Fields) -> None:
        self._stream.send_trailers(trailers)

    async def only(self, fields: Fields) -> None:
        """A head that is also the trailers: nothing else follows."""
        self.begun = True
        self._stream.head([_STATUS_OK, (b"content-type", self._content_type), *fields], end=True)

    async def refuse_http(self, status: int) -> None:
        """To somebody who does not speak gRPC."""
        self.begun = True
        self._stream.head([(b":status", b"%d" % status), (b"content-length", b"0")], end=True)


class WebAnswering(Answering):
    """gRPC-Web: trailers are the body's last message; in the text form everything is base64."""

    __slots__ = ("_beside", "_kind")

    def __init__(self, stream: Back, kind: WebKind, beside: Fields) -> None:
        super().__init__(stream, kind.content_type)
        self._kind = kind
        self._beside = beside  # for the browser, which says what the page may read

    def head(self, fields: Fields) -> None:
        super().head([*without_cors(fields), *self._beside])

    def whole(self, fields: Fields, frames: bytes, trailers: Fields) -> bool:
        """Never: trailers are written otherwise."""
        return False

    async def refuse_http(self, status: int) -> None:
        self.begun = True
        self._stream.head([(b":status", b"%d" % status), (b"content-length", b"0"), *self._beside], end=True)

    async def messages(self, frames: bytes) -> None:
        await self._stream.write(text(frames) if self._kind.text else frames)

    async def end(self, trailers: Fields) -> None:
        frame = trailer_frame(trailers)
        await self._stream.write(text(frame) if self._kind.text else frame, end=True)

    async def only(self, fields: Fields) -> None:
        own = (b"grpc-status", b"grpc-message", b"grpc-status-details-bin")
        self.head([field for field in fields if field[0] not in own])
        await self.end([field for field in fields if field[0] in own])


def written(fields: Fields) -> Fields:
    """Metadata as they are sent: those whose name ends in ``-bin`` in base64."""
    for name, _ in fields:
        if is_binary(name):
            return [(name, write_binary(value) if is_binary(name) else value) for name, value in fields]
    return fields


def answering_on(stream: Back, opening: Opening, cors: Cors | None) -> Answering:
    if opening.web is not None:
        beside = cors.beside(opening.known.get(b"origin", b"")) if cors is not None else []
        return WebAnswering(stream, opening.web, beside)
    return Answering(stream, opening.known[b"content-type"] if opening.wrong is None else b"application/grpc")


def refusal_of(refused: Refused, call_id: str, approval_url: str) -> Fields:
    """grpc-status and what goes with it. ErrorInfo's metadata are flat: what is told of an approval gets names of its own."""
    told: dict[str, Any] = {}
    for name, value in refused.public.items():
        if isinstance(value, dict):
            told |= {f"{name}_{key}": _text(part) for key, part in value.items()}
        else:
            told[name] = _text(value)
    approval = refused.public.get("approval")
    if approval_url and refused.code is Code.APPROVAL_PENDING:
        told["approval_url"] = f"{approval_url.rstrip('/')}/{approval['id']}" if approval else approval_url
    told_so = Refused(refused.code, refused.public_detail, retry_after_s=refused.retry_after_s, public=told)
    fields = refusal(told_so, call_id)
    if (
        refused.status == 501
    ):  # a coding of messages that is not known: the protocol asks for this status, and for those that are
        return [(b"grpc-status", b"%d" % Status.UNIMPLEMENTED), *fields[1:], ACCEPTED]
    return fields


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
