"""How long a stream may last: limits of its own, and never longer than its caller may call."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest

from support.authority import ISSUER, Authority
from support.gate import until
from support.grpc_gate import GrpcGate, said
from support.ledger import Ledger, LedgerTarget, new

TIMEOUT_S = 20
SHORT = {"timeout": "1s", "first_byte_timeout": "1s", "idle_timeout": "500ms"}


@pytest.fixture(scope="module")
def make_shared(
    authority: Authority, shared_ledger: LedgerTarget, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., GrpcGate]]:
    made: list[GrpcGate] = []

    def make(**limits: Any) -> GrpcGate:
        issuer = {"name": "corp", "issuer": ISSUER, "audience": "funcgate", "leeway": "0s"}
        issuers = [issuer | {"jwks_file": str(authority.jwks_file)}]
        target = {"limits": SHORT | limits}
        roles = {"admin": ["group:finance"]}
        folder = tmp_path_factory.mktemp("gate")
        made.append(GrpcGate(folder, authority, shared_ledger, target=target, issuers=issuers, roles=roles))
        made[-1].start()
        return made[-1]

    yield make
    for gate in made:
        assert gate.stop() == 0


@pytest.fixture(scope="module")
def gate(make_shared: Callable[..., GrpcGate]) -> GrpcGate:
    return make_shared(stream_timeout="1h", stream_idle_timeout="3s")


@pytest.fixture
def events(ledger: LedgerTarget) -> LedgerTarget:
    """Events without end, and the first of them at once."""

    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Iterator[Any]:
        while context.is_active():
            yield new("Event", number=len(seen.requests), text="tick")
            ledger.release.wait(0.1)

    ledger.behave["History"] = behave
    return ledger


def listen(gate: GrpcGate, **token: Any) -> tuple[Any, grpc.Channel]:
    channel = gate.channel()
    gate.begin()
    return Ledger(channel).history(new("HistoryRequest"), metadata=gate.metadata(**token), timeout=TIMEOUT_S), channel


def test_a_stream_outlives_the_limits_of_a_call(gate: GrpcGate, events: LedgerTarget) -> None:
    stream, channel = listen(gate)
    began = time.monotonic()
    with channel:
        while time.monotonic() < began + 1.5:  # longer than `timeout`
            assert next(stream).text == "tick"
        stream.cancel()


def test_a_target_may_be_silent_for_longer_than_within_a_call(gate: GrpcGate, ledger: LedgerTarget) -> None:
    """Nothing at first, not even the head."""

    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Iterator[Any]:
        ledger.release.wait(1.3)
        yield new("Event", text="at last")

    ledger.behave["History"] = behave
    stream, channel = listen(gate)
    with channel:
        assert [event.text for event in stream] == ["at last"]


def test_what_the_caller_says_breaks_the_silence(gate: GrpcGate, ledger: LedgerTarget) -> None:
    """The target says nothing before the end."""
    sent = [new("Event", text=str(number)) for number in range(6)]

    def requests() -> Iterator[Any]:
        for event in sent:
            yield event
            ledger.release.wait(0.5)

    with gate.channel() as channel:
        reply = Ledger(channel).import_(requests(), metadata=gate.metadata(), timeout=TIMEOUT_S)
    assert reply.count == len(sent)


def test_silence_on_both_sides_ends_a_stream(gate: GrpcGate, ledger: LedgerTarget) -> None:
    over = threading.Event()

    def requests() -> Iterator[Any]:
        yield new("Event", text="one")
        over.wait(TIMEOUT_S)

    gate.begin()
    with gate.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        list(Ledger(channel).chat(requests(), metadata=gate.metadata(), timeout=TIMEOUT_S))
    over.set()
    code, _, info, _ = said(caught.value)
    assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "target.timeout")
    ended = until(lambda: [e for e in gate.of("Chat") if e["kind"] == "ended" and e.get("code") == "target.timeout"])
    assert ended[0]["outcome"] == "cut"


@pytest.mark.slow
def test_a_stream_that_is_never_silent_ends_when_its_time_is_over(
    make_shared: Callable[..., GrpcGate], events: LedgerTarget
) -> None:
    """Attack: streams for ever, until all that there may be are taken."""
    gate = make_shared(stream_timeout="2s")
    began = time.monotonic()
    stream, channel = listen(gate)
    got = []
    with channel, pytest.raises(grpc.RpcError) as caught:
        got.extend(event.text for event in stream)
    assert time.monotonic() > began + 1.5
    assert set(got) == {"tick"}
    code, _, info, _ = said(caught.value)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert info.reason in ("target.timeout", "")  # the target knows the deadline, and may say it first
    until(lambda: events.ledger[0].over)


def test_a_call_keeps_its_limits(gate: GrpcGate, ledger: LedgerTarget) -> None:
    def behave(request: Any, context: grpc.ServicerContext, seen: Any) -> Any:
        ledger.release.wait(10)
        return new("TransferReply")

    ledger.behave["Transfer"] = behave
    with gate.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        Ledger(channel).transfer(new("TransferRequest"), metadata=gate.metadata(), timeout=TIMEOUT_S)
    code, _, info, _ = said(caught.value)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert info.reason in ("target.timeout", "")  # the target knows the deadline, and may say it first
    assert ledger.ledger[0].left_s is not None
    assert ledger.ledger[0].left_s < 1.1


def test_a_stream_ends_with_the_token_of_its_caller(gate: GrpcGate, events: LedgerTarget) -> None:
    """Attack: a token of a few seconds, and a stream of days."""
    expires_at = int(time.time()) + 4  # by which it has begun, on a busy machine too
    stream, channel = listen(gate, exp=expires_at)
    got = []
    with channel, pytest.raises(grpc.RpcError) as caught:
        got.extend(event.text for event in stream)
    code, _, info, _ = said(caught.value)
    assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "identity.expired")
    assert set(got) == {"tick"}
    assert time.time() >= expires_at
    until(lambda: events.ledger[0].over)  # for the target, too
    entries = until(lambda: [e for e in gate.of("History") if e["kind"] == "ended"] and gate.of("History"))
    kinds = [entry["kind"] for entry in entries]
    assert kinds[:2] == ["arrived", "allowed"]
    assert kinds[-2:] == ["denied", "ended"]
    assert (entries[-2]["code"], entries[-1]["code"], entries[-1]["outcome"]) == (*["identity.expired"] * 2, "cut")


@pytest.mark.slow
def test_a_stream_may_be_let_go_on(make_shared: Callable[..., GrpcGate], events: LedgerTarget) -> None:
    gate = make_shared(end_with_token=False)
    expires_at = int(time.time()) + 2
    stream, channel = listen(gate, exp=expires_at)
    with channel:
        while time.time() < expires_at + 1.5:
            assert next(stream).text == "tick"
        stream.cancel()


@pytest.mark.slow
def test_a_revocation_ends_a_stream(gate: GrpcGate, events: LedgerTarget) -> None:
    stream, channel = listen(gate, subject="mallory")
    with channel:
        assert next(stream).text == "tick"
        headers = {"authorization": f"Bearer {gate.authority.token('bob', ('finance',))}"}
        where = f"http://127.0.0.1:{gate.console}/api/v1/revocations"
        what = {"subject": "mallory", "issuer": "corp", "reason": "left"}
        made = httpx.post(where, headers=headers, json=what)
        assert made.status_code == 201, made.text
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
    code, _, info, _ = said(caught.value)
    assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "identity.revoked")
