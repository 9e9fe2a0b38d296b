"""The gateway as a gRPC service: its health, reflection through it, draining, reloading, and where descriptors come from."""

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from typer.testing import CliRunner, Result

from funcgate.cli.commands import application
from support.authority import Authority
from support.certificates import self_signed
from support.gate import until
from support.grpc_gate import GrpcGate, refused
from support.ledger import PROTO, SERVICE, Ledger, LedgerTarget, descriptors, new

TIMEOUT_S = 15
REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def test_health_needs_no_token(grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    with grpc_gate.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
        code, *_ = refused(stub.Check, health_pb2.HealthCheckRequest(service="ledger"), timeout=TIMEOUT_S)
        assert code is grpc.StatusCode.NOT_FOUND  # targets are nobody's business
        listed = stub.List(health_pb2.HealthListRequest(), timeout=TIMEOUT_S)
        assert listed.statuses[""].status == health_pb2.HealthCheckResponse.SERVING
        watching = stub.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        watching.cancel()
    assert not any("ealth" in str(entry) for entry in grpc_gate.entries())
    assert not ledger.ledger


def test_health_of_a_target_is_a_call(grpc_gate: GrpcGate) -> None:
    with grpc_gate.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        metadata = [("funcgate-target", "ledger")]
        code, *_ = refused(stub.Check, health_pb2.HealthCheckRequest(), metadata=metadata, timeout=TIMEOUT_S)
    assert code is grpc.StatusCode.UNAUTHENTICATED


class _WithMetadata(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    def __init__(self, metadata: Any) -> None:
        self._metadata = metadata

    def _details(self, details: Any) -> Any:
        return details._replace(metadata=[*(details.metadata or ()), *self._metadata])

    def intercept_unary_unary(self, call: Any, details: Any, request: Any) -> Any:
        return call(self._details(details), request)

    def intercept_stream_stream(self, call: Any, details: Any, requests: Any) -> Any:
        return call(self._details(details), requests)


def test_a_reflection_client(grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    """As grpcurl does it: ask the target through the gateway what it has, and call it with what it said."""
    with grpc_gate.channel() as plain:
        channel = grpc.intercept_channel(plain, _WithMetadata(grpc_gate.metadata()))
        database = ProtoReflectionDescriptorDatabase(channel)
        assert SERVICE in database.get_services()
        found = DescriptorPool(database).FindServiceByName(SERVICE)
        method = found.methods_by_name["Transfer"]
        kinds = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = channel.unary_unary(f"/{SERVICE}/Transfer", kinds[0].SerializeToString, kinds[1].FromString)
        assert call(kinds[0](amount=11), timeout=TIMEOUT_S).id == "t-11"
    asked = [entry for entry in grpc_gate.of("ServerReflectionInfo") if entry["kind"] == "arrived"]
    assert asked  # each question is a call of its own
    assert asked[0]["function"] == f"ledger.{REFLECTION}"


@pytest.fixture(scope="module")
def several(
    authority: Authority, shared_ledger: LedgerTarget, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GrpcGate]:
    """The sample target by other names: described by files, and not there at all. Its service is all that may be called."""
    folder = tmp_path_factory.mktemp("several")
    file = folder / "ledger.binpb"
    file.write_bytes(descriptors())

    def entry(name: str, url: str = shared_ledger.url, **functions: Any) -> dict[str, Any]:
        return {"name": name, "protocol": "grpc", "url": url, "functions": functions}

    targets = [
        entry("ledger", reflection=True),
        entry("described", descriptors=str(file)),
        entry("compiled", proto=[str(PROTO)]),
        entry("gone", "http://127.0.0.1:9", descriptors=str(file)),
    ]
    functions = [f"{target['name']}.{SERVICE}/*" for target in targets]
    policies = [{"name": "p", "effect": "allow", "functions": functions, "principals": ["group:agents"]}]
    running = GrpcGate(folder, authority, shared_ledger, targets=targets, policies=policies)
    running.start()
    yield running
    assert running.stop() == 0


def to(gate: GrpcGate, target: str) -> list[tuple[str, str | bytes]]:
    return [(name, target if name == "funcgate-target" else value) for name, value in gate.metadata()]


def test_reflection_that_nobody_allowed(several: GrpcGate, ledger: LedgerTarget) -> None:
    with several.channel() as plain:
        channel = grpc.intercept_channel(plain, _WithMetadata(several.metadata()))
        with pytest.raises(grpc.RpcError) as caught:
            ProtoReflectionDescriptorDatabase(channel).get_services()
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", ["described", "compiled"])
def test_descriptors_from_files(several: GrpcGate, ledger: LedgerTarget, target: str) -> None:
    with several.channel() as channel:
        request = new("TransferRequest", amount=2)
        reply = Ledger(channel).transfer(request, metadata=to(several, target), timeout=TIMEOUT_S)
    assert reply.id == "t-2"


def test_tls_on_both_sides(make_grpc_gate: Callable[..., GrpcGate], tmp_path: Any) -> None:
    made = self_signed(tmp_path)
    secure = LedgerTarget(tls=(made.key.read_bytes(), made.cert.read_bytes())).start()
    try:
        target = {"url": f"https://localhost:{secure.port}", "tls": {"ca": str(made.cert)}}
        tls = {"cert": str(made.cert), "key": str(made.key)}
        listen = {"calls": "127.0.0.1:0", "console": "127.0.0.1:0", "tls": tls}
        gate = make_grpc_gate(target=target, listen=listen).start()
        credentials = grpc.ssl_channel_credentials(made.cert.read_bytes())
        with grpc.secure_channel(f"localhost:{gate.calls}", credentials) as channel:
            client = Ledger(channel)
            reply = client.transfer(new("TransferRequest", amount=6), metadata=gate.metadata(), timeout=TIMEOUT_S)
            assert reply.id == "t-6"
            chat = client.chat(iter([new("Event", number=1)]), metadata=gate.metadata(), timeout=TIMEOUT_S)
            assert [event.number for event in chat] == [2]
    finally:
        secure.stop()


def test_a_drain_lets_a_conversation_end(make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    gate = make_grpc_gate().start()
    asked, more = threading.Event(), threading.Event()

    def requests() -> Iterator[Any]:
        yield new("Event", text="before")
        asked.set()
        more.wait(TIMEOUT_S)
        yield new("Event", text="after")

    with gate.channel() as channel:
        replies = Ledger(channel).chat(requests(), metadata=gate.metadata(), timeout=TIMEOUT_S)
        assert next(replies).text == "before"
        assert gate.process is not None
        gate.process.send_signal(signal.SIGTERM)
        until(lambda: gate.logged("draining"))
        more.set()
        assert [event.text for event in replies] == ["after"]
    assert gate.process.wait(30) == 0
    outcomes = [entry["outcome"] for entry in gate.of("Chat") if entry["kind"] == "ended"]
    assert outcomes == ["complete"] * 3  # the opening, and the two messages


def test_a_target_that_cannot_be_reached(several: GrpcGate) -> None:
    with several.channel() as channel:
        code, _, info, retry = refused(
            Ledger(channel).transfer, new("TransferRequest"), metadata=to(several, "gone"), timeout=TIMEOUT_S
        )
    assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "target.unreachable")
    assert retry is not None


def test_reflection_is_asked_again_at_a_reload(make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    """And stands in for a target that cannot be asked: from the data folder."""
    gate = make_grpc_gate().start()
    kept = gate.data / "reflected" / "ledger.binpb"
    said = kept.read_bytes()
    assert kept.stat().st_mode & 0o077 == 0 or kept.parent.stat().st_mode & 0o077 == 0
    kept.write_bytes(b"")
    assert gate.process is not None
    gate.process.send_signal(signal.SIGHUP)
    until(lambda: gate.logged("configuration reloaded"))
    assert kept.read_bytes() == said
    with gate.channel() as channel:
        reply = Ledger(channel).transfer(new("TransferRequest", amount=2), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert reply.id == "t-2"


@pytest.mark.slow  # three starts; what is kept, and stands in, is in tests/unit/config/test_grpc.py
def test_a_start_without_the_target(make_grpc_gate: Callable[..., GrpcGate], authority: Any) -> None:
    """What the target said before is kept; without that, the gateway does not start."""
    passing = LedgerTarget().start()
    gate = make_grpc_gate(target={"url": passing.url}).start()
    assert gate.stop() == 0
    passing.stop()
    gate.start()
    assert "the functions that it had before are used" in gate.log.read_text()
    assert gate.stop() == 0
    (gate.data / "reflected" / "ledger.binpb").unlink()
    with pytest.raises(AssertionError, match="server reflection"):
        gate.start()


@pytest.mark.slow
def test_a_policy_that_is_taken_away_ends_a_conversation(
    make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget
) -> None:
    """Each message is judged by the configuration that serves when it comes."""
    gate = make_grpc_gate().start()
    more = threading.Event()

    def requests() -> Iterator[Any]:
        yield new("Event", text="before")
        more.wait(TIMEOUT_S)
        yield new("Event", text="after")

    with gate.channel() as channel:
        replies = Ledger(channel).chat(requests(), metadata=gate.metadata(), timeout=TIMEOUT_S)
        assert next(replies).text == "before"
        text = gate.file.read_text()
        assert "ledger.*" in text
        gate.file.write_text(text.replace("ledger.*", f"ledger.{SERVICE}/History"))
        until(lambda: gate.logged("configuration reloaded"))
        more.set()
        code, _, info, _ = refused(lambda: list(replies))
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "policy.denied")
    assert until(lambda: ledger.ledger[0].over)
    assert [request.text for request in ledger.ledger[0].requests] == ["before"]


def test_plain_http_does_not_reach_a_grpc_target(grpc_gate: GrpcGate, ledger: LedgerTarget) -> None:
    headers = {"authorization": f"Bearer {grpc_gate.authority.token()}", "content-type": "application/json"}
    for two in (False, True):
        with httpx.Client(http2=two, http1=not two) as http:
            reply = http.post(f"{grpc_gate.url}/ledger/{SERVICE}/Transfer", json={"amount": 1}, headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (403, "function.unknown")
    assert not ledger.ledger


def test_the_command_line_knows_the_methods(grpc_gate: GrpcGate) -> None:
    def cli(*command: str) -> Result:
        return CliRunner().invoke(application, [*command, "--config", str(grpc_gate.file)])

    listed = cli("functions", f"ledger.{SERVICE}/*", "--json")
    assert f"ledger.{SERVICE}/Transfer" in listed.stdout
    assert cli("check", "--no-secrets").exit_code == 0
    called = cli("call", f"ledger.{SERVICE}/Transfer")
    assert called.exit_code == 2
    assert "its own protocol (grpc)" in called.output
    explained = cli(
        "policy",
        "explain",
        "--function",
        f"ledger.{SERVICE}/Transfer",
        "--args",
        '{"amount": 5}',
        "--as-group",
        "agents",
    )
    assert "allow" in explained.stdout, explained.output
