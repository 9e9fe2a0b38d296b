"""Several processes' entries in one journal: one order, and the same promises to each of them as to the one that keeps it."""

import asyncio
import contextlib
import os
import random
import resource
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from msgspec import Raw
from tests.support.joined import Wire, joined

from funcgate.core.entry import Entry, Kind
from funcgate.core.refusal import Code, Refused
from funcgate.core.turn import TURN
from funcgate.stores.journal_files import FileJournal, Forged, Guest, State
from funcgate.stores.journal_files.folder import free_bytes
from funcgate.stores.journal_files.guest import MOST_BARE
from funcgate.stores.journal_shared import SharedJournal
from funcgate.stores.parcels import MOST_BYTES, Group, Head, packed
from funcgate.stores.told import Told, encode, told_of

Make = Callable[..., FileJournal]
Read = Callable[[Path], list[Entry]]
A, W, D, C, E = Kind.ARRIVED, Kind.ALLOWED, Kind.DENIED, Kind.CHUNK, Kind.ENDED


def entry(kind: Kind, call: str, size: int = 0) -> Entry:
    return Entry(kind=kind, call=call, detail="x" * size)


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.jsonl")))


async def until(true: Callable[[], bool], deadline_s: float = 30) -> None:
    deadline = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.005)


async def code_of(waiting: Callable[[], Awaitable[None]]) -> Code | None:
    try:
        await waiting()
    except Refused as refused:
        return refused.code
    return None


def of(entries: list[Entry], *calls: str) -> list[tuple[str, Kind]]:
    return [(one.call, one.kind) for one in entries if one.call in calls]


@pytest.mark.parametrize("sync", ["always", "interval"])
def test_two_guests_and_the_house_write_in_one_order(
    folder: Path, journal_in: Make, entries_of: Read, sync: str
) -> None:
    async def play() -> None:
        journal = journal_in(folder, sync=sync, every_s=0.002, segment_bytes=64 << 10)
        await journal.start()
        async with joined(journal, share=2, sync=sync) as one, joined(journal, share=2, sync=sync) as two:

            async def carry(into: SharedJournal | FileJournal, name: str) -> None:
                dice = random.Random(name)
                for number in range(100):
                    call = f"{name}-{number}"
                    await into.append(entry(A, call), entry(W, call))
                    await into.append(entry(C, call, dice.randrange(3000)))
                    into.note(entry(E, call))
                    if dice.random() < 0.1:
                        await asyncio.sleep(0.001)

            callers = [carry(into, f"{letter}{n}") for letter, into in
                       (("a", one.shared), ("b", two.shared), ("c", journal)) for n in range(4)]  # fmt: skip
            await asyncio.gather(*callers)
            await one.shared.flush()
            assert (one.shared.depth, one.guest.open, one.guest._depth, one.guest._bytes) == (0, set(), 0, 0)
        await journal.close()

    asyncio.run(play())
    entries = entries_of(folder)
    for name in [f"{letter}{n}" for letter in "abc" for n in range(4)]:
        told = [(one.call, one.kind) for one in entries if one.call.startswith(f"{name}-")]
        assert told == [(f"{name}-{number}", kind) for number in range(100) for kind in (A, W, C, E)]
    times = [one.at for one in entries]
    assert times == sorted(times)
    assert len(list(folder.glob("*.jsonl"))) > 1


def test_always_is_done_when_it_is_on_the_disk(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        async with joined(journal) as wire:
            for number in range(20):
                await wire.shared.append(entry(A, f"c{number}"))
                assert b'"call":"c%d"' % number in content_of(folder)
        await journal.close()

    asyncio.run(play())


def test_gone_closes_what_is_open_and_nothing_else(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        async with joined(journal) as other:
            wire = Wire(journal)
            await until(lambda: wire.shared.status.healthy)
            await wire.shared.append(entry(A, "over"), entry(W, "over"))
            await wire.shared.append(entry(A, "open"), entry(W, "open"))
            await wire.shared.append(entry(A, "held"), entry(Kind.ASKED, "held"))
            await wire.shared.append(entry(D, "stranger"))
            await other.shared.append(entry(A, "another's"))
            await journal.append(entry(A, "the house's"))
            wire.shared.note(entry(E, "over"))
            await wire.shared.flush()
            assert wire.cut() == 2
            assert wire.cut() == 0
            with pytest.raises(Forged):
                wire.guest.take(packed(Head(99, False), []))
        await journal.close()

    asyncio.run(play())
    entries = entries_of(folder)
    ended = [(one.call, one.outcome) for one in entries if one.kind is E]
    assert ended == [("over", ""), ("held", "unknown"), ("open", "unknown")]


def test_what_a_killed_gateway_left_open_is_closed_at_the_next_start(
    folder: Path, journal_in: Make, entries_of: Read
) -> None:
    async def first() -> None:
        journal = journal_in(folder, segment_bytes=4 << 10)
        await journal.start()
        async with joined(journal) as wire:
            await wire.shared.append(entry(A, "open"), entry(W, "open"))
            for number in range(50):  # several segments on, whose first lines name it
                await wire.shared.append(entry(A, f"c{number}", 300))
                wire.shared.note(entry(E, f"c{number}"))
        await journal.close()

    async def second() -> None:
        journal = journal_in(folder)
        assert (await journal.start()).closed == ("open",)
        await journal.close()

    asyncio.run(first())
    asyncio.run(second())
    assert of(entries_of(folder), "open") == [("open", A), ("open", W), ("open", E)]


# -- failures


@pytest.mark.parametrize("sync", ["always", "interval"])
def test_a_disk_that_fails_and_comes_back(folder: Path, journal_in: Make, sync: str) -> None:
    async def play() -> None:
        journal = journal_in(folder, sync=sync, every_s=0.002)
        await journal.start()
        async with joined(journal, sync=sync) as wire:
            shared = wire.shared
            await shared.append(entry(A, "before"), entry(W, "before"))
            await shared.flush()
            shutil.rmtree(folder)
            if sync == "always":
                assert await code_of(lambda: shared.append(entry(A, "refused"), entry(W, "refused"))) is (
                    Code.JOURNAL_UNAVAILABLE
                )
            else:
                shared.append(entry(A, "passed"), entry(W, "passed"))  # told of no fault yet
            await until(lambda: shared.status.state is State.FAILED)
            assert await code_of(lambda: shared.append(entry(D, "nobody"))) is Code.JOURNAL_UNAVAILABLE
            with pytest.raises(Refused):
                await shared.flush()
            shared.note(entry(E, "before"))
            await until(lambda: shared.depth == 0)
            assert journal.depth == (1 if sync == "always" else 3)  # kept there
            os.mkdir(folder)
            await until(lambda: shared.status.healthy)
            await shared.append(entry(A, "after"), entry(W, "after"))
            await shared.flush()
            assert wire.guest.open == ({"after"} if sync == "always" else {"after", "passed"})
        await journal.close()

    asyncio.run(play())
    lines = content_of(folder).rstrip(b"\0").splitlines()
    told = [(call, kind) for call in ("before", "refused", "passed", "nobody", "after") for kind in (A, W, D, E)
            if any(f'"kind":"{kind}","call":"{call}"'.encode() in line for line in lines)]  # fmt: skip
    passed = [("passed", A), ("passed", W)] if sync == "interval" else []
    assert told == [("before", E), *passed, ("after", A), ("after", W)]


def test_a_caller_that_went_away_before_its_arrival_was_refused_has_no_end(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        async with joined(journal) as wire:
            shutil.rmtree(folder)
            waiting = asyncio.ensure_future(shared_append(wire, "gone"))
            await asyncio.sleep(0)
            wire.shared.note(entry(E, "gone"))  # in the same parcel
            waiting.cancel()
            await until(lambda: wire.shared.status.state is State.FAILED)
            wire.shared.note(entry(E, "gone"))  # and once more, later
            await until(lambda: wire.shared.depth == 0)
            os.mkdir(folder)
            await until(lambda: wire.shared.status.healthy)
        await journal.close()

    async def shared_append(wire: Wire, call: str) -> None:
        await wire.shared.append(entry(A, call), entry(W, call))

    asyncio.run(play())
    assert b'"gone"' not in content_of(folder)


def test_what_a_guest_wrote_before_it_died_is_kept_through_a_failure(folder: Path, journal_in: Make) -> None:
    """Nobody was told no, and nobody will be: so the call is in the record, and its end is `unknown`."""

    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        wire = Wire(journal)
        await until(lambda: wire.shared.status.healthy)
        shutil.rmtree(folder)
        wire.shared.append(entry(A, "dying"), entry(W, "dying"))
        await asyncio.sleep(0)  # the parcel is sent
        await asyncio.sleep(0)  # and taken
        assert wire.guest.open == {"dying"}
        assert wire.cut() == 1
        await until(lambda: journal.status.state is State.FAILED)
        os.mkdir(folder)
        await until(lambda: journal.status.healthy)
        await journal.close()

    asyncio.run(play())
    lines = content_of(folder).rstrip(b"\0").splitlines()
    kinds = [line.split(b'"kind":"')[1].split(b'"')[0] for line in lines if b'"call":"dying"' in line]
    assert kinds == [b"arrived", b"allowed", b"ended"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two mebibytes."""
    where = tmp_path / "small"
    where.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(where)], capture_output=True)
    if made.returncode:
        pytest.skip("no file system can be mounted here (not root)")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


@pytest.mark.parametrize("sync", ["always", "interval"])
def test_on_a_full_disk_what_is_owed_goes_to_the_reserve(
    small_disk: Path, journal_in: Make, entries_of: Read, sync: str
) -> None:
    folder, filler = small_disk / "journal", small_disk / "filler"

    async def play() -> None:
        journal = journal_in(folder, sync=sync, every_s=0.002, reserve_bytes=256 << 10)
        await journal.start()
        async with joined(journal, sync=sync) as wire:
            shared = wire.shared
            told: list[str] = []
            heard = shared.on_state

            def hear(payload: bytes) -> None:
                told.append(told_of(payload).state)
                heard(payload)

            shared.on_state = hear  # type: ignore[method-assign]
            await shared.append(entry(A, "early"), entry(W, "early"))
            await shared.append(entry(A, "held"), entry(W, "held"))
            await shared.flush()
            with contextlib.suppress(OSError), filler.open("wb") as file:
                while file.write(bytes(4096)):
                    file.flush()
            results: list[Code | None] = []
            for number in range(600):  # until what was written ahead is used up
                if shared.status.state is not State.HEALTHY:
                    break
                results.append(await code_of(lambda number=number: shared.append(entry(D, f"d{number}", 4000))))  # type: ignore[misc]
                await shared.flush()  # what nobody waits for would be more than the reserve holds
            assert set(results) == {None}, "a refusal was refused"
            await until(lambda: shared.status.state is State.LOW)
            assert "reserve" in shared.status.reason
            assert await code_of(lambda: shared.append(entry(A, "new"), entry(W, "new"))) is Code.JOURNAL_UNAVAILABLE
            await shared.append(entry(A, "told no"), entry(D, "told no"))
            shared.note(entry(E, "told no"), entry(E, "early"))
            await shared.flush()
            # what was sent while the gateway already knew better: refused there, with the same words
            if sync == "always":
                shared._out.healthy = True
                assert await code_of(lambda: shared.append(entry(A, "late"), entry(W, "late"))) is (
                    Code.JOURNAL_UNAVAILABLE
                )
                await shared.append(entry(D, "late"))
                shared._out.healthy = False
            # each word comes by itself: between "failed" and "low" a refusal would have been answered without its record
            assert State.FAILED.value not in told, told
            filler.unlink()
            await until(lambda: shared.status.healthy)
            shared.note(entry(E, "held"))
            await shared.append(entry(A, "after"), entry(W, "after"))
        await journal.close()

    asyncio.run(play())
    # told of a failure that is over by then, the worker would not record the refusals that follow from it
    entries = entries_of(folder)
    assert of(entries, "early") == [("early", A), ("early", W), ("early", E)]
    assert of(entries, "held") == [("held", A), ("held", W), ("held", E)]
    assert of(entries, "told no") == [("told no", A), ("told no", D), ("told no", E)]
    assert of(entries, "new") == []
    assert of(entries, "late") == ([("late", D)] if sync == "always" else [])
    denied = [one.call for one in entries if one.kind is D and one.call.startswith("d")]
    assert denied == [f"d{number}" for number in range(len(denied))]
    assert len([one for one in entries if "outage" in one.change]) == 1


def test_low_space_on_the_way(small_disk: Path, journal_in: Make, entries_of: Read) -> None:
    folder, filler = small_disk / "journal", small_disk / "filler"

    async def play() -> None:
        journal = journal_in(folder, min_free_bytes=512 << 10)
        await journal.start()
        async with joined(journal) as wire:
            filler.write_bytes(bytes(free_bytes(small_disk) - (300 << 10)))
            deadline = time.monotonic() + 30
            while wire.shared.status.state is State.HEALTHY:
                assert time.monotonic() < deadline
                await wire.shared.append(entry(D, "tick"))
            assert wire.shared.status.state is State.LOW
            with pytest.raises(Refused):
                wire.shared.append(entry(A, "new"), entry(W, "new"))
            await wire.shared.append(entry(D, "new"))
        await journal.close()

    asyncio.run(play())
    assert of(entries_of(folder), "new") == [("new", D)]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_promises_are_kept(folder: Path, journal_in: Make, entries_of: Read, seed: int) -> None:
    """Callers, kills and faults by dice. What was promised is there, what was refused is not, and every call has one end."""
    dice = random.Random(seed)
    promised: set[str] = set()
    refused: set[str] = set()

    async def play() -> None:
        journal = journal_in(folder, segment_bytes=dice.choice([4 << 10, 1 << 20]), max_queue=2000)
        await journal.start()
        wires = [Wire(journal, share=2, max_queue=1000) for _ in range(2)]
        await until(lambda: all(wire.shared.status.healthy for wire in wires))

        async def call(into: SharedJournal | FileJournal, name: str) -> None:
            try:
                await into.append(entry(A, name), entry(W, name))
                promised.add(name)
                for _ in range(dice.randrange(3)):
                    await into.append(entry(C, name, dice.randrange(2000)))
            except Refused:
                refused.add(name)
                if name not in promised:
                    return
            into.note(entry(E, name))

        tasks: list[asyncio.Task[None]] = []
        for number in range(300):
            place = dice.randrange(3)
            into: SharedJournal | FileJournal = journal if place == 2 else wires[place].shared
            tasks.append(asyncio.create_task(call(into, f"{place}-{number}")))
            roll = dice.random()
            if roll < 0.2:
                await asyncio.sleep(dice.choice([0, 0.001, 0.003]))
            elif roll < 0.21:
                wires[0].cut()
                wires[0] = Wire(journal, share=2, max_queue=1000)
            elif roll < 0.23 and journal.status.healthy:
                limits = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # the kernel refuses every write
                await asyncio.sleep(0.003)
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
                if dice.random() < 0.7:
                    await until(lambda: journal.status.healthy)
        await asyncio.wait(tasks, timeout=0.5)
        await until(lambda: journal.status.healthy)
        for wire in wires:
            await until(lambda wire=wire: wire.shared.depth == 0 or not wire._up)  # type: ignore[misc]
            wire.cut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await journal.flush()
        await journal.close()

    asyncio.run(play())

    async def again() -> None:
        journal = journal_in(folder)
        await journal.start()
        await journal.close()

    asyncio.run(again())
    entries = entries_of(folder)
    arrived = Counter(one.call for one in entries if one.kind is A)
    ended = Counter(one.call for one in entries if one.kind is E)
    assert promised - set(arrived) == set()
    assert (refused - promised) & set(arrived) == set()
    assert set(arrived.values()) <= {1}
    assert ended == arrived


# -- limits


def test_a_worker_that_sends_faster_than_the_disk_is_refused_and_then_its_notes_are_thinned(
    folder: Path, journal_in: Make
) -> None:
    async def play() -> None:
        sent: list[bytes] = []
        shared = SharedJournal(lambda payload: sent.append(bytes(payload)), sync="interval", max_queue=10)
        journal = journal_in(folder)
        await journal.start()
        answers: list[bytes] = []
        guest = journal.guest(answers.append, shared.on_state, mark="")
        waiting = [shared.append(entry(A, f"c{number}")) for number in range(10)]
        assert [one is TURN for one in waiting] == [True] * 5 + [False] * 5
        assert await code_of(lambda: shared.append(entry(A, "more"))) is Code.JOURNAL_OVERLOADED
        for number in range(12):
            shared.note(Entry(kind=E, call=f"c{number}", body=Raw(b'"body"')))
        assert (shared.depth, shared.lost) == (21, 1)
        shared.push()
        assert b"".join(sent).count(b'"body":"body"') == 1  # until it was over its limit
        assert b"".join(sent).count(b'"body_cut":true') == 10
        for payload in sent:
            guest.take(payload)
        await until(lambda: bool(answers))
        held = [one for one in waiting if isinstance(one, asyncio.Future)]
        assert [one.done() for one in held] == [False] * 5
        for payload in answers:
            shared.on_written(payload)
        assert shared.depth == 0
        assert [one.done() for one in held] == [True] * 5
        await shared.append(entry(A, "more"))
        await journal.close()

    asyncio.run(play())


def test_callers_that_are_faster_than_the_disk_are_slowed_and_not_refused(
    folder: Path, journal_in: Make, entries_of: Read
) -> None:
    async def play() -> None:
        journal = journal_in(folder, sync="interval", every_s=0.002)
        await journal.start()
        async with joined(journal, sync="interval", max_queue=100) as wire:

            async def carry(name: str) -> None:
                for number in range(50):
                    await wire.shared.append(entry(A, f"{name}-{number}"), entry(W, f"{name}-{number}"))
                    wire.shared.note(entry(E, f"{name}-{number}"))

            await asyncio.gather(*(carry(str(n)) for n in range(8)))
        await journal.close()

    asyncio.run(play())
    assert len([one for one in entries_of(folder) if one.kind is E]) == 400


def test_who_is_slowed_down_goes_on_when_the_disk_fails(folder: Path) -> None:
    async def play() -> None:
        shared = SharedJournal(lambda payload: None, sync="interval", max_queue=3)
        shared.on_state(encode(Told("healthy", "", "")))
        assert shared.append(entry(A, "a")) is TURN
        held = shared.append(entry(A, "b"))
        assert isinstance(held, asyncio.Future)
        shared.on_state(encode(Told("failed", "broken", "")))
        await held
        with pytest.raises(Refused):
            shared.append(entry(A, "c"))

    asyncio.run(play())


def test_a_worker_by_bytes(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        shared = SharedJournal(lambda payload: None, max_queue_bytes=1000)
        journal.guest(lambda payload: None, shared.on_state, mark="")
        waiting = shared.append(entry(D, "c", 1000))
        with pytest.raises(Refused) as refused:
            shared.append(entry(D, "c"))
        assert refused.value.code is Code.JOURNAL_OVERLOADED
        assert waiting is not TURN
        await journal.close()

    asyncio.run(play())


def test_a_guest_that_sends_more_than_was_agreed_is_no_worker_of_ours(folder: Path, journal_in: Make) -> None:
    line = b'{"kind":"denied","call":"c"}'

    async def play() -> None:
        journal = journal_in(folder, max_queue=40)
        await journal.start()
        guest = journal.guest(lambda payload: None, lambda payload: None, share=4, mark="")
        guest.take(packed(Head(1, False), [Group(False, [line] * 20)]))
        guest.take(packed(Head(2, False), [Group(False, [line])]))
        with pytest.raises(Forged):  # no answer came yet, as the loop did not turn
            guest.take(packed(Head(3, False), [Group(False, [line])]))
        guest.gone()
        other = journal.guest(lambda payload: None, lambda payload: None, mark="")
        for number in (0, 2, 1 << 63):
            with pytest.raises(Forged):
                other.take(packed(Head(number, False), []))
        other.take(packed(Head(1, False), []))
        with pytest.raises(Forged):
            other.take(packed(Head(1, False), []))
        with pytest.raises(Forged):  # before any of it was looked at, which would take half a second for each MiB
            other.take(
                packed(Head(2, False), [Group(False, [b'{"kind":"denied","call":"c","args":' + b"[" * MOST_BYTES])])
            )
        await journal.close()

    asyncio.run(play())


def test_parcels_of_nothing_are_not_remembered_by_the_million(folder: Path, journal_in: Make) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        guest = journal.guest(lambda payload: None, lambda payload: None, mark="")
        journal.note(entry(D, "d"))
        flushed = asyncio.create_task(journal.flush())
        await asyncio.sleep(0)  # a batch is under way until the loop hears of it
        for number in range(1, MOST_BARE + 2):
            guest.take(packed(Head(number, False), []))
        with pytest.raises(Forged):
            guest.take(packed(Head(MOST_BARE + 2, False), []))
        await flushed
        guest.take(packed(Head(MOST_BARE + 2, False), []))  # what was answered counts no more
        await journal.close()

    asyncio.run(play())


def test_a_worker_with_as_much_under_way_as_may_be_can_still_flush(
    folder: Path, journal_in: Make, entries_of: Read
) -> None:
    async def play() -> None:
        journal = journal_in(folder, max_queue=4)
        await journal.start()
        async with joined(journal, max_queue=4) as wire:
            for number in range(12):
                wire.shared.note(entry(D, f"d{number}"))
            wire.shared.push()
            assert (wire.shared.depth, wire.shared.lost) == (9, 3)
            flushing = asyncio.create_task(wire.shared.flush())
            async with asyncio.timeout(10):
                await wire.shared.flush()
                await flushing
            assert (wire.shared.depth, wire.guest._depth, wire.guest._bytes) == (0, 0, 0)
        await journal.close()

    asyncio.run(play())
    assert len([one for one in entries_of(folder) if one.kind is D]) == 9


def test_without_a_word_said_each_guest_has_a_mark_of_its_own(folder: Path, journal_in: Make, entries_of: Read) -> None:
    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        marks: list[str] = []
        both = []
        for _ in range(2):
            shared = SharedJournal(lambda payload: None, named=marks.append)
            both.append(journal.guest(lambda payload: None, shared.on_state))
        one, two = marks
        assert one != two
        line = b'{"kind":"arrived","call":"01M80QSVN9%b24QF8B59"}' % one.encode()
        both[0].take(packed(Head(1, False), [Group(False, [line])]))
        with pytest.raises(Forged):
            both[1].take(packed(Head(1, False), [Group(False, [line])]))
        assert both[1].gone() == 0
        await journal.flush()
        assert both[0].gone() == 1
        await journal.close()

    asyncio.run(play())
    assert [one.kind for one in entries_of(folder) if one.call] == [A, E]


def test_calls_that_begin_and_never_end_are_no_worker_s(
    folder: Path, journal_in: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{Guest.__module__}.MOST_OPEN", 50)  # compiled, or not

    async def play() -> None:
        journal = journal_in(folder)
        await journal.start()
        guest = journal.guest(lambda payload: None, lambda payload: None, mark="")
        for parcel in range(6):
            lines = [b'{"kind":"arrived","call":"c%d"}' % (10 * parcel + number) for number in range(10)]
            guest.take(packed(Head(parcel + 1, True), [Group(True, lines)]))
            await journal.flush()
        with pytest.raises(Forged):
            guest.take(packed(Head(7, True), [Group(True, [b'{"kind":"arrived","call":"more"}'])]))
        assert guest.gone() == 60
        await journal.close()

    asyncio.run(play())


def test_nothing_is_taken_before_anything_was_heard(folder: Path) -> None:
    async def play() -> None:
        shared = SharedJournal(lambda payload: None)
        with pytest.raises(Refused) as refused:
            shared.append(entry(D, "c"))
        assert refused.value.code is Code.JOURNAL_UNAVAILABLE

    asyncio.run(play())
