"""What a target says of itself, asked of real servers: both versions, TLS, a credential, and servers that say nothing useful."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from funcgate.catalog.proto import Asking, NotReflected, ProtoSpec, load_proto, reflect
from funcgate.core.secret import Secret
from support.certificates import self_signed
from support.protos import FOLDER, WHERE, catalog, pool
from support.reflecting import Reflecting

SERVICES = ("sample.Samples", "older.Olds", "edition.News")


def serving(*names: str, **options: object) -> Reflecting:
    return Reflecting(pool(), *(names or SERVICES), **options)  # type: ignore[arg-type]


@pytest.fixture(params=["v1", "v1alpha"])
def server(request: pytest.FixtureRequest) -> Iterator[Reflecting]:
    made = serving(version=request.param)
    yield made
    made.stop()


def test_both_versions_give_all_functions_and_the_same_bytes_each_time(server: Reflecting) -> None:
    asking = Asking(host="127.0.0.1", port=server.port)
    data = reflect(asking)
    found = load_proto("t", ProtoSpec(reflection=True), FOLDER, WHERE, data)
    assert sorted(found.functions) == sorted(catalog().functions)
    for name, function in found.functions.items():
        assert function.args_schema == catalog().functions[name].args_schema
    assert reflect(asking) == data


def test_tls_and_a_credential_that_is_in_no_argument_of_a_process(tmp_path: Path) -> None:
    made = self_signed(tmp_path)
    server = serving(tls=(made.cert, made.key), token="Bearer canary-7b1")
    try:
        asking = Asking(
            host="localhost", port=server.port, tls=True, ca=str(made.cert), timeout_s=20,
            headers=(("Authorization", Secret("Bearer canary-7b1")),),
        )  # fmt: skip
        seen: list[bytes] = []
        stop = threading.Event()

        def watch() -> None:
            while not stop.is_set():
                for file in Path("/proc").glob("[0-9]*/cmdline"):
                    try:
                        text = file.read_bytes()
                    except OSError:
                        continue
                    if b"asking.py" in text:
                        seen.append(text)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            assert b"sample.proto" in reflect(asking)
        finally:
            stop.set()
            watcher.join()
        if Path("/proc/self/cmdline").exists():
            assert seen, "nobody was seen asking"
            assert not any(b"canary" in text for text in seen)
        with pytest.raises(NotReflected, match="UNAUTHENTICATED: bring a token") as caught:
            reflect(Asking(host="localhost", port=server.port, tls=True, ca=str(made.cert), timeout_s=20))
        assert "canary" not in str(caught.value)
        with pytest.raises(NotReflected, match=r"UNAVAILABLE|DEADLINE"):
            reflect(Asking(host="localhost", port=server.port, tls=True, timeout_s=5))
    finally:
        server.stop()
    assert "canary" not in repr(asking)


def test_a_service_that_is_listed_and_not_described_is_unknown() -> None:
    server = serving("sample.Samples", "not.Described")
    try:
        data = reflect(Asking(host="127.0.0.1", port=server.port))
    finally:
        server.stop()
    found = load_proto("t", ProtoSpec(reflection=True), FOLDER, WHERE, data)
    assert all("sample.Samples" in name for name in found.functions)
    assert found.find(b"/not.Described/Do") is None


def test_servers_that_say_nothing_useful() -> None:
    server = serving("not.Described")
    try:
        with pytest.raises(NotReflected, match="describes none"):
            reflect(Asking(host="127.0.0.1", port=server.port))
    finally:
        server.stop()
    server = serving(version="v0")
    try:
        with pytest.raises(NotReflected, match="UNIMPLEMENTED"):
            reflect(Asking(host="127.0.0.1", port=server.port))
    finally:
        server.stop()


@pytest.mark.parametrize("how", ["status", "answer"])
def test_p4_a_server_that_says_what_it_was_told(how: str) -> None:
    """Neither its words nor what they do to a terminal reach whoever starts the gateway."""

    def ask(requests: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        said = dict(context.invocation_metadata()).get("authorization", "nothing")
        text = f"\x1b[2J{said}\nfuncgate: all is well"
        if how == "status":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, text)
        for _ in requests:
            error = reflection_pb2.ErrorResponse(error_code=16, error_message=text)
            yield reflection_pb2.ServerReflectionResponse(error_response=error)

    server = grpc.server(ThreadPoolExecutor(4))
    handler = grpc.stream_stream_rpc_method_handler(
        ask,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    service = "grpc.reflection.v1.ServerReflection"
    found = grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler})
    server.add_generic_rpc_handlers((found,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        for headers in ((), (("authorization", Secret("Bearer canary-7b1")),)):
            with pytest.raises(NotReflected) as caught:
                reflect(Asking(host="127.0.0.1", port=port, headers=headers, timeout_s=20))
            assert "canary" not in str(caught.value)
            assert str(caught.value).isprintable()
    finally:
        server.stop(0).wait(10)


def test_a_target_that_is_not_there_or_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(NotReflected, match=str(port)):
            reflect(Asking(host="127.0.0.1", port=port, timeout_s=1))
    with pytest.raises(NotReflected, match=rf"{port}: (UNAVAILABLE|DEADLINE)"):
        reflect(Asking(host="127.0.0.1", port=port, timeout_s=2))


def test_a_credential_that_metadata_cannot_carry_is_not_quoted() -> None:
    """The library's error has the metadata in it."""
    server = serving()
    try:
        headers = (("X!Key", Secret("canary-7b3")),)
        with pytest.raises(NotReflected, match=r"INTERNAL$|cannot be asked") as caught:
            reflect(Asking(host="127.0.0.1", port=server.port, headers=headers))
    finally:
        server.stop()
    assert "canary" not in str(caught.value)
    assert "key" not in str(caught.value)  # nothing of what it was told
