"""Compiled and pure: a passage writes the same entries, and hands what is out of the ordinary to the Python code."""

import asyncio
import gc
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from msgspec import Raw, structs

from funcgate import gateway
from funcgate.core import native
from funcgate.core.call import Call, Shared
from funcgate.core.decision import Allow, Deny, RequireApproval
from funcgate.core.entry import Drawn, Entry, Kind, whole
from funcgate.core.lease import NO_LEASE
from funcgate.core.meter import Meter
from funcgate.core.native import half
from funcgate.core.principal import make_principal
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.core.taker import taker_of
from funcgate.core.turn import TURN
from funcgate.masking import RuleSpec, compile_rules
from funcgate.masking.masker import Masked
from funcgate.recording.contents import Contents
from funcgate.recording.tape import tape_of
from funcgate.stores.memory import MemoryJournal

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


SNAPSHOT: Any = SimpleNamespace(version="v1", record_bytes=1000, maskers=lambda name: MASKER)
WAY: Any = SimpleNamespace(call_id="c", target="t", client="::1")


def made(journal: Journal, room: int = 1000, meter: Meter | None = None) -> list[Any]:
    snapshot: Any = SimpleNamespace(version="v1", record_bytes=room, maskers=lambda name: MASKER)
    exchange: Any = SimpleNamespace(call_id="c", target="t", client="::1")
    tally = (meter or Meter()).tally
    compiled: Any = half("funcgate.core._drawn")
    kinds: Any = ((gateway.Passage, compiled.taker_of), (PURE.Passage, taker_of))
    return [kind(exchange, snapshot, taker(journal), tally) for kind, taker in kinds]


def test_whoever_wraps_a_journal_sees_what_it_is_given(tmp_path: Path) -> None:
    """Compiled code calls compiled code only where nothing stands in between."""
    taker_now: Any = half("funcgate.core._drawn").taker_of
    inner = MemoryJournal()
    contents = Contents(inner, tmp_path)
    assert type(taker_now(contents)).__name__ == "Inline"
    seen = Journal()
    wrapped: list[Any] = [SimpleNamespace(append=seen.append, note=contents.note), Contents(inner, tmp_path), seen]
    wrapped[1].append = seen.append  # type: ignore[method-assign]
    for journal in wrapped:
        assert type(taker_now(journal)).__name__ == "Through"
        for passage in (gateway.Passage(WAY, SNAPSHOT, taker_now(journal), Meter().tally),):
            assert passage.write(Entry(kind=Kind.ARRIVED, call="c"), None) is TURN
    assert [line.call for line in seen.lines] == ["c"] * 3
    asyncio.run(contents.close())
    asyncio.run(wrapped[1].close())


def test_content_that_stays_in_its_line_goes_on_at_once(tmp_path: Path) -> None:
    async def go() -> list[str]:
        inner = MemoryJournal()
        contents = Contents(inner, tmp_path, inline_bytes=4)
        passage = gateway.Passage(WAY, SNAPSHOT, half("funcgate.core._drawn").taker_of(contents), Meter().tally)
        for body in (b"1234", b"12345"):
            small = Entry(kind=Kind.ARRIVED, call="c", args=Raw(body))
            await passage.write(small, Entry(kind=Kind.ALLOWED, call="c", body=Raw(body)))
        await contents.close()
        return [entry.args_object[:7] + entry.object[:7] for entry in inner.entries]

    assert asyncio.run(go()) == ["", "", "sha256:", "sha256:"]


def test_a_refusal_is_recorded_whatever_class_its_text_is_of() -> None:
    class Text(str):
        """As an enum's member is one."""

    journal = Journal()
    for passage in made(journal):
        asyncio.run(passage.refused(Refused(Code.POLICY_DENIED, private_detail=Text("why"))))
    assert [(line.kind, line.detail) for line in journal.lines] == [(Kind.DENIED, "why")] * 2


CALLS = [
    call_of({}), call_of({"mail": "ada@example.com"}), call_of({"a": None, "b": float("nan")}),
    call_of({"a": 1}, reason="for b@example.com"),
    call_of({"a": 1}, shared={"card": "4111111111111111"}), call_of({}, shared={"x": 1}), call_of({"a": 1}, shared={}),
]  # fmt: skip


@pytest.mark.parametrize("room", [1000, 13, 0])
def test_the_same_arrival_or_none(room: int) -> None:
    for call in CALLS:
        told: list[Any] = []
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
    told: list[Any] = []
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
            waiting = passage.write(Entry(kind=Kind.ARRIVED, call="c"), None)
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


class Way:
    """An exchange that fails, or is refused, where it is told to."""

    call_id, client, target, token = "c", "::1", "t", None

    def __init__(self, decision: Any, error: Exception | None = None) -> None:
        self.decision, self.error = decision, error
        self.refused: Refused | None = None
        self.delivering = False

    def recall(self, token: Any) -> Any:
        return ANN

    async def identify(self, token: Any) -> Any:
        return ANN

    def decide(self, call: Call) -> Any:
        return self.decision

    def at_hand(self, target: str) -> Any:
        return NO_LEASE

    async def resolve(self, principal: Any) -> Call:
        return call_of({"a": 1})

    async def send(self, permit: Any, lease: Any) -> Reply:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return Reply(status=200, headers=[], media="text/plain", body=b"x")

    async def deliver(self, reply: Reply) -> None:
        self.delivering = True
        await asyncio.sleep(60)

    async def refuse(self, refused: Refused) -> None:
        # Attack: have the gateway crash by an exception that has no traceback any more when it goes on.
        refused.__traceback__ = refused.__context__ = None
        self.refused = refused
        for _ in range(3):
            await asyncio.sleep(0)


async def carried(kind: Any, way: Way, journal: Journal, cancel: bool = False) -> None:
    snapshot: Any = SimpleNamespace(
        version="v1",
        record_bytes=1000,
        maskers=lambda name: MASKER,
        identity=way,
        policies=way,
        broker=way,
        functions={},
    )
    carrying = kind(journal, None, Meter(), None, lambda: snapshot).carry(way, snapshot)
    if cancel:
        task = asyncio.create_task(carrying)
        while not way.delivering:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return
    try:
        raise Refused(Code.REQUEST_INVALID)
    except Refused as refused:
        way.error = way.error or refused  # that is being handled here, too
        await carrying


@pytest.mark.parametrize(
    "way",
    [
        lambda: Way(DECISIONS[1]), lambda: Way(DECISIONS[1], ValueError("x")), lambda: Way(DECISIONS[3]), lambda: Way("allow"),
        lambda: Way(DECISIONS[1], Refused(Code.TARGET_TIMEOUT)),
    ],
)  # fmt: skip
def test_what_fails_is_refused_alike(way: Any) -> None:
    """And says alike where it failed: by file and line."""
    told = []
    for kind in (gateway.Gateway, PURE.Gateway):
        one, journal = way(), Journal()
        asyncio.run(carried(kind, one, journal))
        assert one.refused is not None
        entries = [whole(line) for line in journal.lines]
        for entry in entries:
            entry.timing_us = {}
        told.append((one.refused.code, one.refused.private_detail, entries))
    assert told[0] == told[1]
    detail = told[0][1]
    assert detail is None or " in " not in detail or detail.rpartition(" in ")[2].split(":")[0].endswith("py")


def test_who_goes_away_ends_the_call_alike() -> None:
    told = []
    for kind in (gateway.Gateway, PURE.Gateway):
        journal = Journal()
        asyncio.run(carried(kind, Way(DECISIONS[1]), journal, cancel=True))
        told.append([(whole(line).kind, whole(line).outcome) for line in journal.lines])
    assert told[0] == told[1]
    assert told[0][-1] == (Kind.ENDED, Outcome.CANCELLED)


def test_a_stranger_without_an_entry_is_counted_once_by_what_refused_it() -> None:
    async def refused(code: Code, told: list[Code]) -> None:
        told.append(code)

    async def identify(token: None) -> None:
        raise Refused(Code.IDENTITY_MISSING)

    async def counted(kind: Any, admits: bool) -> dict[tuple[str, str, str], int]:
        meter, told, journal = Meter(), list[Code](), Journal()
        snapshot: Any = SimpleNamespace(
            version="v1", record_bytes=1000, maskers=lambda name: MASKER, identity=SimpleNamespace(identify=identify)
        )
        exchange: Any = SimpleNamespace(
            call_id="c", target="t", client="::1", token=None, refuse=lambda refusal: refused(refusal.code, told)
        )
        unknowns: Any = SimpleNamespace(admit=lambda code: admits)
        await kind(journal, None, meter, unknowns, lambda: snapshot).carry(exchange, snapshot)
        assert (told, len(journal.lines)) == ([Code.IDENTITY_MISSING], int(admits))
        return meter.calls

    for kind in (gateway.Gateway, PURE.Gateway):
        for admits in (True, False):
            assert asyncio.run(counted(kind, admits)) == {("t", "none", Code.IDENTITY_MISSING): 1}


class Content:
    """What a call carried."""


@pytest.mark.parametrize("error", [ValueError, lambda: Refused(Code.TARGET_TIMEOUT)], ids=["broken", "refused"])
@pytest.mark.parametrize("kind", [gateway.Gateway, PURE.Gateway], ids=["compiled", "pure"])
def test_what_could_not_be_recorded_is_not_held_by_its_refusal(kind: Any, error: Any) -> None:
    held: list[ref[Content]] = []

    class Broken(MemoryJournal):
        def append(self, *entries: Entry | Drawn) -> Any:
            raise Refused(Code.JOURNAL_UNAVAILABLE)

    async def resolve(principal: Any) -> Call:
        content = Content()
        held.append(ref(content))
        raise error()

    async def refuse(refused: Refused) -> None:
        assert refused.code == Code.JOURNAL_UNAVAILABLE

    async def carry() -> None:
        identity: Any = SimpleNamespace(recall=lambda token: ANN)
        snapshot: Any = SimpleNamespace(identity=identity, maskers=lambda name: MASKER, version="v", record_bytes=1)
        exchange: Any = SimpleNamespace(
            token="t", call_id="c", target="t", client="::1", resolve=resolve, refuse=refuse
        )
        unused: Any = None
        await kind(Broken(), unused, Meter(), unused, unused).carry(exchange, snapshot)

    gc.disable()
    try:
        asyncio.run(carry())
        assert [one() for one in held] == [None]
    finally:
        gc.enable()
