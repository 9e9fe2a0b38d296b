"""A flood of refusals of unknown callers is counted, not written line by line."""

import asyncio

from funcgate.core.entry import Kind
from funcgate.core.refusal import Code
from funcgate.recording.unknowns import Unknowns
from funcgate.stores.memory import MemoryJournal


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_so_many_a_second_and_code_get_an_entry_the_others_are_counted() -> None:
    journal, clock = MemoryJournal(), Clock()
    unknowns = Unknowns(journal, per_second=3, clock=clock)
    missing = [unknowns.admit(Code.IDENTITY_MISSING) for _ in range(10)]
    expired = [unknowns.admit(Code.IDENTITY_EXPIRED) for _ in range(2)]
    assert missing == [True] * 3 + [False] * 7
    assert expired == [True] * 2  # a flood of one code hides no other
    assert journal.entries == []
    clock.now += 1
    assert unknowns.admit(Code.IDENTITY_MISSING)
    assert journal.entries == []  # counts are the timer's: with a new second's too there would be two lines in one
    unknowns.flush()
    [entry] = journal.entries
    assert (entry.kind, entry.code, entry.count) == (Kind.DENIED, "identity.missing", 7)
    assert entry.call


def test_every_refusal_is_in_an_entry_or_a_count() -> None:
    journal, clock = MemoryJournal(), Clock()
    unknowns = Unknowns(journal, per_second=5, clock=clock)
    admitted = 0
    for number in range(5000):
        clock.now += 0.003 if number % 7 else 0.0
        admitted += unknowns.admit(Code.IDENTITY_INVALID)
    unknowns.flush()
    unknowns.flush()
    assert admitted + sum(entry.count for entry in journal.entries) == 5000
    assert len(journal.entries) == 1


def test_the_timer_flushes_and_so_does_its_end() -> None:
    async def play() -> list[int]:
        journal = MemoryJournal()
        unknowns = Unknowns(journal, per_second=0)
        timer = asyncio.create_task(unknowns.run())
        await asyncio.sleep(0)
        unknowns.admit(Code.IDENTITY_MISSING)
        unknowns.admit(Code.IDENTITY_MISSING)
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)
        return [entry.count for entry in journal.entries]

    assert sum(asyncio.run(play())) == 2
