"""P10 for what anybody may ask, without a token: the gateway's own health."""

import base64
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from funcgate.protocols.grpc.health import MOST_WATCHERS
from support.gate import until
from support.grpc_gate import GrpcGate
from support.raw import connect
from support.workers import one_process

CHECK = b"/grpc.health.v1.Health/Check"


@pytest.mark.parametrize("media", [b"application/grpc-web+proto", b"application/grpc-web-text"])
@pytest.mark.parametrize(
    "rest",
    [b"Content-Length: 5000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n2000\r\n" + b"AAAA" * 2048 + b"\r\n"],
    ids=["announced", "chunked"],
)
def test_a_question_of_megabytes(grpc_gate: GrpcGate, media: bytes, rest: bytes) -> None:
    """Over HTTP/1.1 a body is read whole: not for somebody who says not who it is. The rest of it is not waited for."""
    with connect(grpc_gate.calls) as sock:
        sock.sendall(b"POST %b HTTP/1.1\r\nHost: gate\r\nContent-Type: %b\r\n%b" % (CHECK, media, rest))
        sock.settimeout(10)
        said = b""
        while piece := sock.recv(65536):
            said += piece
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"\r\ncontent-type: " + media in said
    told = b"\x80\x00\x00\x00\x10grpc-status: 3\r\n"
    assert (base64.b64encode(told) if b"text" in media else told) in said


@one_process("watchers are divided, and two connections may go to one worker")
def test_watchers_leave_streams_for_others(grpc_gate: GrpcGate) -> None:
    codes: list[grpc.StatusCode] = []
    told = threading.Semaphore(0)
    with grpc_gate.channel() as one, grpc_gate.channel(("grpc.use_local_subchannel_pool", 1)) as two:
        calls = [
            HealthStub(channel).Watch(HealthCheckRequest(), timeout=60) for channel in (one, two) for _ in range(60)
        ]

        def watch(call: Any) -> None:
            try:
                for reply in call:
                    assert reply.status == HealthCheckResponse.SERVING
                    told.release()
            except grpc.RpcError as error:
                codes.append(error.code())

        watchers = [threading.Thread(target=watch, args=(call,)) for call in calls]
        for watcher in watchers:
            watcher.start()
        for _ in range(MOST_WATCHERS):
            assert told.acquire(timeout=20)
        until(lambda: len(codes) == len(calls) - MOST_WATCHERS)
        assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        for call in calls:
            call.cancel()
        for watcher in watchers:
            watcher.join(20)
    with grpc_gate.channel() as channel:  # they gave back what they had
        replies = HealthStub(channel).Watch(HealthCheckRequest(), timeout=20)
        assert next(replies).status == HealthCheckResponse.SERVING
        replies.cancel()


def test_watchers_have_a_twentieth_of_the_streams_that_there_are(make_grpc_gate: Callable[..., GrpcGate]) -> None:
    listen = {"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "limits": {"http2": {"all_streams": 60}}}
    gate = make_grpc_gate(listen=listen).start()
    with gate.channel(("grpc.use_local_subchannel_pool", 1)) as channel:
        stub = HealthStub(channel)
        until(lambda: stub.Check(HealthCheckRequest(), timeout=20).status == HealthCheckResponse.SERVING)
        watching = [stub.Watch(HealthCheckRequest(), timeout=60) for _ in range(3)]
        for call in watching:
            assert next(call).status == HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as refused:
            next(stub.Watch(HealthCheckRequest(), timeout=20))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert stub.Check(HealthCheckRequest(), timeout=20).status == HealthCheckResponse.SERVING
        for call in watching:
            call.cancel()
