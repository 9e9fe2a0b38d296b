"""A gRPC target: a real grpcio server with the sample service, and clients for it. It keeps a ledger of what reached it."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc._server import _CANCELLED
from grpc_reflection.v1alpha import reflection, reflection_pb2

from funcgate.catalog.proto.protoc import compile_files

PROTO = Path(__file__).with_name("grpc_samples") / "ledger.proto"
SERVICE = "bank.v1.Ledger"


@cache
def descriptors() -> bytes:
    return compile_files([PROTO])


@cache
def pool() -> DescriptorPool:
    made = DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors()).file:
        made.AddSerializedFile(file.SerializeToString())
    made.AddSerializedFile(reflection_pb2.DESCRIPTOR.serialized_pb)
    return made


def new(name: str, /, **fields: Any) -> Any:
    """A message: ``new("Event", number=1)``."""
    return _class(name if "." in name else f"bank.v1.{name}")(**fields)


@cache
def _class(name: str) -> Any:
    """Kept: made anew in several threads at a time, and dropped again, it brings protobuf down."""
    return GetMessageClass(pool().FindMessageTypeByName(name))


def _kind(name: str) -> Any:
    return GetMessageClass(pool().FindMessageTypeByName(f"bank.v1.{name}"))


# name: (request, reply, caller streams, target streams)
METHODS = {
    "Transfer": ("TransferRequest", "TransferReply", False, False),
    "Lookup": ("LookupRequest", "Person", False, False),
    "History": ("HistoryRequest", "Event", False, True),
    "Import": ("Event", "Imported", True, False),
    "Chat": ("Event", "Event", True, True),
}


@dataclass
class Seen:
    """One RPC as the target saw it."""

    method: str
    metadata: list[tuple[str, str | bytes]]
    requests: list[Any] = field(default_factory=list)
    left_s: float | None = None
    answered: bool = False  # the method came to its end
    over: bool = False  # so did the RPC
    cancelled: bool = (
        False  # by the caller: a method that reads a stream may take that for its end, and `answered` is true too
    )

    def header(self, name: str) -> str | bytes | None:
        return next((value for key, value in self.metadata if key == name), None)


class LedgerTarget:
    """Start it, set `behave` per method, read `ledger`. What a method does by default is in `_Default`."""

    def __init__(self, *, tls: tuple[bytes, bytes] | None = None, compression: Any = None, options: Any = ()) -> None:
        self.ledger: list[Seen] = []
        self.behave: dict[str, Callable[[Any, grpc.ServicerContext, Seen], Any]] = {}
        self.release = threading.Event()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(16),
            compression=compression,
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0), *options],
        )
        handlers = {name: self._handler(name) for name in METHODS}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        reflection.enable_server_reflection((SERVICE, reflection.SERVICE_NAME), self._server, pool=pool())
        if tls is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            self.port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([tls]))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "LedgerTarget":
        self._server.start()
        return self

    def stop(self) -> None:
        self.release.set()
        self._server.stop(0).wait(10)

    def forget(self) -> None:
        """Back to the beginning, between tests."""
        self.release.set()
        self.release = threading.Event()
        self.ledger.clear()
        self.behave.clear()

    def _handler(self, name: str) -> Any:
        request, reply, caller_streams, target_streams = METHODS[name]
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[caller_streams, target_streams]
        behaviour = self._streaming(name, caller_streams) if target_streams else self._single(name, caller_streams)
        return make(
            behaviour,
            request_deserializer=_kind(request).FromString,
            response_serializer=_kind(reply).SerializeToString,
        )

    def _begin(self, name: str, context: grpc.ServicerContext) -> Seen:
        seen = Seen(name, list(context.invocation_metadata()), left_s=context.time_remaining())
        self.ledger.append(seen)

        def end() -> None:
            seen.cancelled = context._state.client is _CANCELLED  # type: ignore[attr-defined]
            seen.over = True

        if not context.add_callback(end):
            end()
        return seen

    def _requests(self, seen: Seen, came: Any, caller_streams: bool) -> Any:
        if not caller_streams:
            seen.requests.append(came)
            return came

        def each() -> Iterator[Any]:
            for one in came:
                seen.requests.append(one)
                yield one

        return each()

    def _single(self, name: str, caller_streams: bool) -> Any:
        def answer(came: Any, context: grpc.ServicerContext) -> Any:
            seen = self._begin(name, context)
            requests = self._requests(seen, came, caller_streams)
            reply = self.behave.get(name, getattr(self, f"_{name.lower()}"))(requests, context, seen)
            seen.answered = True
            return reply

        return answer

    def _streaming(self, name: str, caller_streams: bool) -> Any:
        def answer(came: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            seen = self._begin(name, context)
            requests = self._requests(seen, came, caller_streams)
            yield from self.behave.get(name, getattr(self, f"_{name.lower()}"))(requests, context, seen)
            seen.answered = True

        return answer

    # What the methods do unless a test says otherwise.

    def _transfer(self, request: Any, context: grpc.ServicerContext, seen: Seen) -> Any:
        return new("TransferReply", id=f"t-{request.amount}", note=request.note)

    def _lookup(self, request: Any, context: grpc.ServicerContext, seen: Seen) -> Any:
        return new("Person", name=request.name)

    def _history(self, request: Any, context: grpc.ServicerContext, seen: Seen) -> Iterator[Any]:
        for number in range(request.count):
            if request.fail_after and number >= request.fail_after:
                context.abort(grpc.StatusCode.OUT_OF_RANGE, "no more of them")
            yield new("Event", number=number, text=f"event {number}")
        if request.hold:
            self.release.wait(30)

    def _import(self, requests: Iterator[Any], context: grpc.ServicerContext, seen: Seen) -> Any:
        texts = [one.text for one in requests]
        return new("Imported", count=len(texts), text=",".join(texts))

    def _chat(self, requests: Iterator[Any], context: grpc.ServicerContext, seen: Seen) -> Iterator[Any]:
        for one in requests:
            yield new("Event", number=one.number + 1, text=one.text)

    def wait_for(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
        end = time.monotonic() + timeout_s
        while not (found := condition()):
            assert time.monotonic() < end, "still not so"
            time.sleep(0.01)
        return found


class Ledger:
    """A client of the sample service over any channel, sync or asyncio."""

    def __init__(self, channel: Any) -> None:
        for name, (request, reply, caller_streams, target_streams) in METHODS.items():
            kind = f"{'stream' if caller_streams else 'unary'}_{'stream' if target_streams else 'unary'}"
            call = getattr(channel, kind)(
                f"/{SERVICE}/{name}",
                request_serializer=_kind(request).SerializeToString,
                response_deserializer=_kind(reply).FromString,
            )
            setattr(self, name.lower(), call)

    transfer: Any
    lookup: Any
    history: Any
    chat: Any

    @property
    def import_(self) -> Any:
        return getattr(self, "import")
