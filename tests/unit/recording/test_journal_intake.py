"""Compiled and pure: the same lines, numbers and questions, whatever comes in; the time as the clock writes it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from funcgate.core.decision import Allow
from funcgate.core.entry import Drawn, Entry, Kind, whole
from funcgate.core.native import half
from funcgate.core.refusal import Code, Refused
from funcgate.core.turn import TURN
from funcgate.recording import entries as making
from funcgate.stores.journal_files.batch import Batch
from funcgate.stores.journal_files.clock import Clock
from funcgate.stores.journal_files.intake import Intake
from support.quick import examples

native = half("funcgate.stores.journal_files._intake")
pytestmark = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
CALLS = st.sampled_from(["a", "b", "c", "\ud800"])
DECIDED = Allow(("small",), "v1")


def drawn(kind: Kind, call: str) -> Entry | Drawn:
    """An entry as it comes from the call's plain way: drawn, where its name is plain text."""
    if kind is Kind.ENDED:
        return making.ended(call, None, "", DECIDED, "v1", "complete", "", {"send": 3}, 200, {}, 60)
    return making.step(Kind.ALLOWED, call, None, "", DECIDED, "v1")


ENTRIES = st.lists(
    st.builds(lambda kind, call, body: Entry(kind=kind, call=call, body=body), st.sampled_from(Kind), CALLS,
              st.none() | st.just(Raw(b'{"a":1}')) | st.just(Raw(b"no json")))
    | st.builds(drawn, st.sampled_from([Kind.ENDED, Kind.ALLOWED]), CALLS),
    max_size=3,
)  # fmt: skip
FLAGS = st.sampled_from(["healthy", "takes_notes", "armed", "lingering"])
STEPS = st.lists(
    st.tuples(st.just("append"), ENTRIES)
    | st.tuples(st.just("note"), ENTRIES)
    | st.tuples(FLAGS, st.booleans())
    | st.tuples(st.just("crowd"), st.integers(1, 40))
    | st.tuples(st.just("fly"), st.just(None))
    | st.tuples(st.just("land"), st.just(None)),
    max_size=20,
)


class Asked:
    """A journal that writes down what it is asked."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def judge(self, entries: tuple[Entry, ...]) -> None:
        self.said.append(("judge", len(entries)))
        if len(entries) != 1:
            raise Refused(Code.JOURNAL_UNAVAILABLE)

    def overloaded(self) -> None:
        self.said.append("overloaded")
        raise Refused(Code.JOURNAL_OVERLOADED)

    def keep(self, entries: tuple[Entry, ...]) -> None:
        self.said.append(("keep", len(entries)))

    def thinned(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        self.said.append(("thinned", len(entries)))
        return entries[:1]

    def arm(self) -> None:
        self.said.append("arm")

    def gather(self) -> None:
        self.said.append("gather")


def content(batch: Any) -> tuple[object, ...]:
    appended = [[(one.call, one.kind) for one in entries] for entries in batch.appended]
    noted = [(one.call, one.kind, whole(one).policy, whole(one).timing_us) for one in batch.noted]
    return (
        bytes(batch.lines),
        batch.count,
        appended,
        noted,
        len(batch.waiters),
        batch.first_seq,
        batch.roll,
        batch.begun,
    )


def play(intake_of: Callable[..., Any], batch_of: Callable[..., Any], steps: Any, relaxed: bool) -> list[object]:
    asked = Asked()
    ticks = iter(range(1_000_000))
    intake = intake_of(asked, Clock(lambda: 1000.0 + next(ticks) / 7), relaxed, 9, 2000)
    intake.loop(SimpleNamespace(create_future=object))
    intake.healthy = intake.takes_notes = True
    found = asked.said
    for name, what in steps:
        try:
            if name in ("append", "note"):
                entries = [
                    Entry(kind=one.kind, call=one.call, body=one.body) if isinstance(one, Entry) else one
                    for one in what
                ]
                given = getattr(intake, name)(*entries)
                found.append("turn" if given is TURN else "wait")
                found.append([(one.seq, one.at) for one in entries if isinstance(one, Entry)])
            elif name == "crowd":
                found += ["turn" if given is TURN else "wait" for given in [intake.append() for _ in range(what)]]
            elif name == "fly":
                intake.flying, intake.flying_bytes = intake.next, len(intake.next.lines)
                intake.next = batch_of(intake.seq + 1, 3)
            elif name == "land":
                intake.depth -= intake.flying.count if intake.flying is not None else 0
                intake.flying, intake.flying_bytes = None, 0
            else:
                setattr(intake, name, what)
        except Refused as refused:
            found.append(refused.code)
        found.append((content(intake.next), intake.seq, intake.depth, sorted(intake.open)))
    return found


@settings(max_examples=examples(300), deadline=None)
@given(STEPS, st.booleans())
def test_the_same_whatever_comes_in(steps: Any, relaxed: bool) -> None:
    assert play(native.Intake, native.Batch, steps, relaxed) == play(Intake, Batch, steps, relaxed)


def stamps(clock: Clock) -> Callable[[], str]:
    stamp: Callable[[], str] = native.Intake(Asked(), clock, False, 9, 2000).stamp
    return stamp


def test_the_time_is_the_systems_to_the_microsecond() -> None:
    stamp, clock = stamps(Clock()), Clock()
    for _ in range(2000):
        before, at, after = clock.stamp(), stamp(), clock.stamp()
        assert before <= at <= after
    assert datetime.fromisoformat(at).tzinfo is UTC


def test_the_time_stands_still_until_it_has_caught_up() -> None:
    clock = Clock()
    last = datetime.fromtimestamp(time.time() + 1.0, UTC).isoformat().replace("+00:00", "Z")
    clock.not_before(last)
    stamp = stamps(clock)
    seen = [stamp()]
    deadline = time.monotonic() + 10
    while seen[-1] == seen[0]:
        assert time.monotonic() < deadline
        seen.append(stamp())
    assert len(seen) > 2
    assert abs(datetime.fromisoformat(seen[0]).timestamp() - datetime.fromisoformat(last).timestamp()) < 1e-5
    assert seen[-1] > seen[0]
    assert clock.set_back_s == 0.0


def test_a_clock_that_is_set_back_is_told_once() -> None:
    clock = Clock()
    clock.not_before("2999-01-01T00:00:00.5Z")
    stamp = stamps(clock)
    assert {stamp() for _ in range(3)} == {"2999-01-01T00:00:00.500000Z"}
    assert clock.set_back_s > 1e9
    clock.set_back_s = 0.0
    stamp()
    assert clock.set_back_s == 0.0
