"""Compiled and pure: a passage writes the same entries, and hands what is out of the ordinary to the Python code."""

import asyncio
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from funcgate import gateway
from funcgate.core import native
from funcgate.core.call import Call, Shared
from funcgate.core.decision import Allow, Deny, RequireApproval
from funcgate.core.entry import Drawn, Entry, Kind, whole
from funcgate.core.meter import Meter
from funcgate.core.native import half
from funcgate.core.principal import make_principal
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.core.turn import TURN
from funcgate.masking import RuleSpec, compile_rules
from funcgate.masking.masker import Masked
from funcgate.recording.tape import tape_of

pytestmark = pytest.mark.skipif(half("funcgate._gateway") is None, reason="not built, or FUNCGATE_PURE is set")
MASKER = compile_rules([RuleSpec(functions=["t.f"], detect="all")], ["t.f"], hash_key=b"k" * 32).masker("t.f")
ANN = make_principal("corp", "ann", frozenset({"a"}), {}, "t" * 16, 9e9)
DECISIONS = (None, Allow(("p",), "v"), RequireApproval((), ("p",), "v"), Deny(Code.POLICY_DENIED, "why", (), "v"))


def pure() -> Any:
    """gateway.py as Python runs it."""
    spec: Any = spec_from_file_location("pure_gateway", Path(native.__file__).parents[1] / "gateway.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PURE = pure()


class Journal:
    def __init__(self, waits: bool = False) -> None:
        self.lines: list[Entry] = []
        self.waits = waits

    def append(self, *entries: Entry | Drawn) -> Any:
        self.lines += map(whole, entries)
        if not self.waits:
            return TURN
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(Refused(Code.JOURNAL_UNAVAILABLE))
        return future

    def note(self, *entries: Entry | Drawn) -> None:
        self.lines += map(whole, entries)


def call_of(args: dict[str, Any], reason: str = "", shared: dict[str, Any] | None = None) -> Call:
    return Call(
        id="c", target="t", function="t.f", args=args if shared is None else {**shared, **args}, principal=ANN, session="s",
        digest="sha256:0", received_at=0.0, shared=None if shared is None else Shared(shared), own=args, reason=reason,
    )  # fmt: skip


def made(journal: Journal, room: int = 1000, meter: Meter | None = None) -> list[Any]:
    snapshot: Any = SimpleNamespace(version="v1", record_bytes=room, maskers=lambda name: MASKER)
    exchange: Any = SimpleNamespace(call_id="c", target="t", client="::1")
    tally = (meter or Meter()).tally
    return [kind(exchange, snapshot, journal, tally) for kind in (gateway.Passage, PURE.Passage)]


CALLS = [
    call_of({}), call_of({"mail": "ada@example.com"}), call_of({"a": None, "b": float("nan")}),
    call_of({"a": 1}, reason="for b@example.com"),
    call_of({"a": 1}, shared={"card": "4111111111111111"}), call_of({}, shared={"x": 1}), call_of({"a": 1}, shared={}),
]  # fmt: skip


@pytest.mark.parametrize("room", [1000, 13, 0])
def test_the_same_arrival_or_none(room: int) -> None:
    for call in CALLS:
        told = []
        for passage in made(Journal(), room):
            one = structs.replace(call)
            try:
                told.append((whole(passage.arrived(one, MASKER)), one.reason, passage.room, passage.unwritten))
            except Refused as refused:
                told.append((refused.code, refused.private_detail, refused.status, whole(passage.unwritten)))
        assert told[0] == told[1], call.args


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("kind", [Kind.ALLOWED, Kind.ASKED, Kind.DENIED])
def test_the_same_entry(decision: Any, kind: Kind) -> None:
    for call in (None, CALLS[0]):
        passages = made(Journal())
        for passage in passages:
            passage.call, passage.decision, passage.approval = call, decision, "a1"
        assert whole(passages[0].entry(kind)) == whole(passages[1].entry(kind))


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("code", ["", Code.TARGET_TIMEOUT])
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("is_open", [True, False])
def test_the_same_end(decision: Any, code: str, answered: bool, is_open: bool) -> None:
    told = []
    meter = Meter()
    for passage in made(journal := Journal(), meter=meter):
        passage.call, passage.decision, passage.code, passage.open = CALLS[1], decision, code, is_open
        passage.outcome = Outcome.COMPLETE if answered else Outcome.CANCELLED
        if answered:
            reply = Reply(status=201, headers=[], media="text/plain", body=b"x")
            passage.tape = tape_of(Masked(reply, {"card": 2}), 10, CALLS[1], journal.append)
            passage.tape.chunk()
        passage.marks.over(0)
        passage.marks.over(5)
        passage.end()
        told.append(journal.lines.pop() if is_open else None)
        assert not journal.lines
        if is_open:
            assert list(told[-1].timing_us) == ["identify", "lease"]
            told[-1].timing_us = {}
    assert told[0] == told[1]
    assert list(meter.calls.values()) == [2]


def test_a_write_that_is_refused_leaves_the_call_as_it_was() -> None:
    async def go(was_open: bool) -> list[bool]:
        found = []
        for passage in made(Journal(waits=True)):
            passage.open = was_open
            waiting = passage.write(Entry(kind=Kind.ARRIVED, call="c"))
            assert passage.open  # the entry may be on the disk by now
            with pytest.raises(Refused):
                await waiting
            found.append(passage.open)
        return found

    assert asyncio.run(go(False)) == [False, False]
    assert asyncio.run(go(True)) == [True, True]


def test_a_refusal_is_written_alike() -> None:
    async def go() -> list[Any]:
        told = []
        for call in (None, CALLS[1]):
            for passage in made(journal := Journal()):
                passage.call, passage.principal = call, ANN
                await passage.refused(Refused(Code.POLICY_DENIED, private_detail="ada@example.com wants in"))
                told.append((journal.lines.pop(), passage.code, passage.outcome, passage.open))
        return told

    told = asyncio.run(go())
    assert told[0] == told[1]
    assert told[2] == told[3]
    assert "ada@" not in told[0][0].detail


def test_what_is_no_call_has_not_arrived() -> None:
    odd: Any = 5
    with pytest.raises(TypeError):
        made(Journal())[0].arrived(odd, MASKER)
