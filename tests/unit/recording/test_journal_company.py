"""A batch waits for those whom the last one set free, as long as that pays; and callers in step share their syncs."""

import asyncio
from pathlib import Path

import pytest

from funcgate.core.entry import Entry, Kind
from funcgate.core.native import half
from funcgate.core.refusal import Refused
from funcgate.stores.journal_files import FileJournal
from funcgate.stores.journal_files.batch import Batch
from funcgate.stores.journal_files.company import LEAST_S, LONGEST_S, MOST_LEFT_OUT, Company
from funcgate.stores.journal_files.intake import ENOUGH

native = half("funcgate.stores.journal_files._intake")
COMPANIES: list[type[Company]] = [Company] if native is None else [Company, native.Company]
each = pytest.mark.parametrize("made", COMPANIES, ids=["pure", "compiled"][: len(COMPANIES)])


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def carried(company: Company, clock: Clock, came: int, took_s: float, queued: int = 0) -> int:
    company.begun(came)
    clock.now += took_s
    return company.landed(came, queued)


@each
def test_as_many_are_expected_as_were_there_and_have_come_since(made: type[Company]) -> None:
    clock = Clock()
    company = made(clock)
    assert [carried(company, clock, came, 0.001, queued) for came, queued in [(1, 0), (3, 2), (0, 0), (0, 4)]] == [
        1,
        5,
        1,
        4,
    ]
    assert carried(company, clock, 40, 0.001, 40) == ENOUGH


@each
@pytest.mark.parametrize(("took_s", "patience_s"), [(0.0001, LEAST_S), (0.002, 0.002), (3.0, LONGEST_S)])
def test_it_waits_as_long_as_the_last_batch_took_within_bounds(
    made: type[Company], took_s: float, patience_s: float
) -> None:
    clock = Clock()
    company = made(clock)
    carried(company, clock, 4, took_s)
    assert company.patience_s() == pytest.approx(patience_s)
    clock.now += 2 * patience_s
    assert company.patience_s() < 0


@each
def test_a_caller_alone_waits_for_nobody(made: type[Company]) -> None:
    clock = Clock()
    company = made(clock)
    assert company.patience_s() <= 0
    carried(company, clock, 1, 0.001)
    assert company.patience_s() == 0


def waits(company: Company, clock: Clock, batches: int, comes: bool) -> list[bool]:
    found = []
    for _ in range(batches):
        carried(company, clock, 4, 0.001)
        found.append(company.patience_s() > 0)
        if found[-1] and not comes:
            clock.now += 0.001
            company.begun(1)
            company.missed()
    return found


@each
def test_who_does_not_come_is_waited_for_ever_less_often(made: type[Company]) -> None:
    clock = Clock()
    company = made(clock)
    found = waits(company, clock, 1000, comes=False)
    assert found[:8] == [True, False, True, False, False, False, True, False]
    assert sum(found[200:]) <= 800 / MOST_LEFT_OUT + 1
    back = waits(company, clock, 200, comes=True)
    assert all(back[100:])


@pytest.mark.anyio
async def test_callers_in_step_share_their_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of them start later, so that they would go on in two halves for ever. Counted, not timed."""
    journal = FileJournal(tmp_path)
    await journal.start()
    batches: list[int] = []
    put = journal._writer.put

    def counted(batch: Batch) -> None:
        batches.append(len(batch.waiters))
        put(batch)

    monkeypatch.setattr(journal._writer, "put", counted)

    async def caller(name: int, times: int) -> None:
        for _ in range(times):
            await journal.append(Entry(kind=Kind.CHUNK, call=f"c{name}"))
            for _ in range(6 + name % 3):
                await asyncio.sleep(0)  # other things, for longer than turns alone are waited for

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for name in range(4):
            group.create_task(caller(name, 300))
        await journal.append(Entry(kind=Kind.CHUNK, call="x"))
        for name in range(4, 8):
            group.create_task(caller(name, 300))
    await journal.close()
    full = sum(count == 8 for count in batches)
    assert full > 150, batches  # of 300 at best; in halves it would be none


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["close", "fails", "goes"])
async def test_company_is_no_longer_waited_for(what: str, tmp_path: Path) -> None:
    """A journal that closes or fails, or a caller that goes, while the batch waits: nobody hangs, and the next are served."""
    journal = FileJournal(tmp_path)
    await journal.start()
    entry = Entry(kind=Kind.CHUNK, call="c")
    async with asyncio.timeout(30):
        first, second = (asyncio.ensure_future(journal.append(entry)) for _ in range(2))
        await asyncio.gather(first, second)
        left = asyncio.ensure_future(journal.append(entry))
        assert journal._in.lingering
        if what == "goes":
            left.cancel()
        if what == "fails":
            journal.on_failed(None, "a disk that fails")
            with pytest.raises(Refused):
                await left
            assert not journal._in.lingering
        elif what == "goes":
            await journal.append(entry)
        await journal.close()
    assert left.done()


class Patient(COMPANIES[-1]):  # type: ignore[misc]  # the one that is in use
    """Waits for as long as it is told."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s

    def landed(self, released: int, queued: int) -> int:
        return ENOUGH

    def patience_s(self) -> float:
        return self.wait_s


@pytest.mark.anyio
async def test_the_watch_over_a_batch_before_does_not_make_the_next_one_wait(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    await journal.start()
    journal._course.company = company = Patient(3600.0)
    async with asyncio.timeout(20):
        first = asyncio.ensure_future(journal.append(Entry(kind=Kind.CHUNK, call="c")))
        assert journal._in.lingering
        await journal.flush()  # handed over before its time
        await first
        company.wait_s = LEAST_S
        second = asyncio.ensure_future(journal.append(Entry(kind=Kind.CHUNK, call="c")))
        assert journal._in.lingering
        company.wait_s = 0.0
        await second
        await journal.close()
