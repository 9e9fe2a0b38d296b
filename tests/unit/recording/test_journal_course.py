"""Compiled and pure: the same batches, in the same turns, whatever comes in, lands, fails or is late."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from funcgate.core.entry import Entry, Kind
from funcgate.core.native import half
from funcgate.core.refusal import Code, Refused
from funcgate.stores.journal_files.batch import Batch
from funcgate.stores.journal_files.clock import Clock
from funcgate.stores.journal_files.company import Company
from funcgate.stores.journal_files.course import Course
from funcgate.stores.journal_files.intake import Intake
from support.quick import examples

native = half("funcgate.stores.journal_files._intake")
pytestmark = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
PURE = SimpleNamespace(Batch=Batch, Intake=Intake, Course=Course, Company=Company)
STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "note", "flush", "turn", "fire"]), st.integers(1, 20))
    | st.tuples(st.sampled_from(["land", "pass"]), st.sampled_from([0.0, 0.0004, 0.002, 0.3]))
    | st.tuples(st.sampled_from(["failed", "low", "space", "back", "leave"]), st.booleans()),
    max_size=40,
)  # fmt: skip


class Loop:
    """Turns when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], None]] = []
        self.later: list[Any] = []

    def time(self) -> float:
        return self.now

    def create_future(self) -> Any:
        return SimpleNamespace(done=lambda: False, set_result=lambda result: None)

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def call_later(self, wait_s: float, call: Callable[[], None]) -> Any:
        timer = SimpleNamespace(at=self.now + wait_s, call=call, when=lambda: timer.at, cancel=lambda: self.drop(timer))
        self.later.append(timer)
        return timer

    def drop(self, timer: Any) -> None:
        self.later = [one for one in self.later if one is not timer]


class World:
    """A journal, its writer and the parcels of a batch, all of which write down what they are asked."""

    def __init__(self, made: Any, relaxed: bool) -> None:
        self.made = made
        self.said: list[object] = []
        self.loop = Loop()
        self.clock = Clock(lambda: 1_763_000_000.25)
        self.intake = made.Intake(self, self.clock, relaxed, 60, 9000)
        self.intake.healthy = self.intake.takes_notes = True
        self.intake.loop(self.loop)
        self.intake.next = made.Batch(1)
        self.course = made.Course(self, self.intake, self.clock, 0.005, 1000)
        self.course.company = made.Company(self.loop.time)
        self.course.begin(self.loop, self)
        self.gather, self.arm = self.course.gather, self.course.arm

    def overloaded(self) -> None:
        raise Refused(Code.JOURNAL_OVERLOADED)

    def thinned(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        return ()

    def on_space(self, low: bool) -> None:
        self.said.append(("space", bool(low)))
        self.course.low = low

    def new_segment(self) -> Any:
        self.course.segment += 1
        self.course.size = 0
        return self.made.Batch(self.intake.seq + 1, self.course.segment)

    def set_back(self) -> None:
        self.said.append("set back")
        self.clock.set_back_s = 0.0
        self.intake.add((Entry(kind=Kind.ADMIN, call=""),))

    def put(self, batch: Any) -> None:
        self.said.append((batch.first_seq, batch.roll, batch.count, len(batch.waiters), bytes(batch.lines)))

    def settle(self) -> None:
        self.said.append("settled")

    @property
    def guest(self) -> Any:
        return SimpleNamespace(answer=lambda: self.said.append("answered"))

    def step(self, name: str, what: Any) -> None:
        intake, course, loop = self.intake, self.course, self.loop
        if name in ("append", "note"):
            for place in range(what):
                getattr(intake, name)(Entry(kind=Kind.CHUNK, call=f"c{place}"))
        elif name == "flush":
            intake.next.parcels.append(self)
            course.hand_over()
        elif name == "turn":
            due, loop.soon = loop.soon, []
            for call in due:
                call()
        elif name == "fire":
            for timer in sorted(loop.later, key=lambda one: float(one.at))[:1]:
                loop.later.remove(timer)
                loop.now = max(loop.now, timer.at)
                timer.call()
        elif name == "land" and intake.flying is not None:
            loop.now += what
            course.on_written(intake.flying, course.low)
        elif name == "pass":
            loop.now += what
        elif name == "space" and intake.flying is not None:
            course.on_written(intake.flying, what)
        elif name == "back":
            self.clock.set_back_s = 2.0 * what
        elif name == "leave":
            course.leave()
        elif name in ("failed", "low"):
            setattr(course, name, what)

    def state(self) -> tuple[object, ...]:
        intake, course, loop = self.intake, self.course, self.loop
        queued, flying = intake.next, intake.flying
        return (
            intake.seq, intake.depth, intake.enough, intake.lingering, intake.armed, intake.flying_bytes,
            course.durable_seq, course.segment, course.size, bool(course.low), course.company.expected,
            queued.count, len(queued.waiters), flying is None or flying.first_seq,
            len(loop.soon), [round(timer.at, 9) for timer in loop.later],
        )  # fmt: skip


def play(made: Any, steps: list[tuple[str, Any]], relaxed: bool) -> list[object]:
    world = World(made, relaxed)
    found: list[object] = []
    for name, what in steps:
        try:
            world.step(name, what)
        except Refused:
            found.append("refused")
        found.append((list(world.said), world.state()))
        world.said.clear()
    world.course.end()
    return [*found, world.loop.later]


@settings(max_examples=examples(400), deadline=None)
@given(STEPS, st.booleans())
@example([("append", 1), ("fire", 1)] * 2 + [("land", 0.0)], True)  # overdue
@example([("append", 1), ("turn", 1)] * 6, False)  # company comes turn by turn
def test_the_same_whatever_comes(steps: Any, relaxed: bool) -> None:
    assert play(native, steps, relaxed) == play(PURE, steps, relaxed)


def test_it_hands_over_lands_and_rolls() -> None:
    """What the comparison above compares does happen."""
    steps = [
        ("append", 3),
        ("turn", 1),
        ("turn", 1),
        ("append", 19),
        ("land", 0.002),
        ("fire", 1),
        ("note", 1),
        ("land", 0.0),
        ("fire", 1),
    ]
    said = [one for step in play(PURE, steps, False)[:-1] for one in step[0] if isinstance(one, tuple)]  # type: ignore[index]
    assert [(one[1], one[2]) for one in said] == [(0, 3), (0, 19), (1, 1)]
