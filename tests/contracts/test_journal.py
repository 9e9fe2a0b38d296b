"""What every adapter of core.ports.Journal does. A new one joins by a harness in HARNESSES."""

import asyncio
import contextlib
import re
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tests.support.joined import joined

from funcgate.core.entry import Decided, Entry, Kind, Who, encode_line
from funcgate.core.ports import Journal
from funcgate.core.refusal import Code, Refused
from funcgate.recording.contents import Contents, Opener
from funcgate.recording.reader import read_entries
from funcgate.stores.journal_files import FileJournal
from funcgate.stores.memory import MemoryJournal

AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class MemoryHarness:
    def __init__(self, folder: Path) -> None:
        self.journal = MemoryJournal()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Journal]:
        yield self.journal

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        self.journal.fail("on purpose")
        yield
        self.journal.recover()

    def read(self) -> list[Entry]:
        return self.journal.entries


class FileHarness:
    sync = "always"

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "journal"

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Journal]:
        journal = FileJournal(self.folder, sync=self.sync, every_s=0.002, min_free_bytes=0)
        await journal.start()
        yield journal
        await journal.close()

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        """A real one: the kernel refuses every write of this process to any file."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def read(self) -> list[Entry]:
        return list(read_entries(self.folder))


class IntervalHarness(FileHarness):
    sync = "interval"


class BesideHarness(FileHarness):
    """With `Contents` in front."""

    key: bytes | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Journal]:
        async with super().running() as inner:
            contents = Contents(inner, self.folder.parent, key=self.key)
            contents.check()
            yield contents
            await contents.close()

    def read(self) -> list[Entry]:
        opened = [Opener(self.folder.parent, self.key).look(entry) for entry in super().read()]
        assert [one.lost for one in opened] == [()] * len(opened)
        return [one.entry for one in opened]


class SealedHarness(BesideHarness):
    key = bytes(range(32))


class SharedHarness(FileHarness):
    """As a worker has it: the files are another's, on the far side of the loop."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Journal]:
        async with super().running() as kept:
            assert isinstance(kept, FileJournal)
            async with joined(kept, sync=self.sync) as wire:
                yield wire.shared


class SharedIntervalHarness(SharedHarness):
    sync = "interval"


HARNESSES = [
    MemoryHarness, FileHarness, IntervalHarness, BesideHarness, SealedHarness, SharedHarness, SharedIntervalHarness,
]  # fmt: skip
Harness = MemoryHarness | FileHarness


@pytest.fixture(params=HARNESSES, ids=lambda harness: harness.__name__)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    return request.param(tmp_path)


def arrived(call: str) -> Entry:
    return Entry(
        kind=Kind.ARRIVED, call=call, session="s1", principal=Who("corp", "ada", ("agents",)), function="shop.buy",
        target="shop", args=msgspec.Raw(b'{"amount":12345678901234567890123}'), digest="sha256:00", client="127.0.0.1:9",
    )  # fmt: skip


def allowed(call: str) -> Entry:
    return Entry(kind=Kind.ALLOWED, call=call, function="shop.buy", policy=Decided(("small",), "v1"))


def ended(call: str) -> Entry:
    return Entry(
        kind=Kind.ENDED, call=call, session="s1", function="shop.buy", outcome="complete", status=200,
        body=msgspec.Raw(b'[1,{"a":"b"}]'),
    )  # fmt: skip


def of_calls(entries: list[Entry]) -> list[tuple[str, str]]:
    return [(entry.call, entry.kind.value) for entry in entries if entry.kind is not Kind.ADMIN]


def assert_whole(entries: list[Entry]) -> None:
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    times = [entry.at for entry in entries]
    assert times == sorted(times)
    assert all(AT.fullmatch(at) for at in times)


async def until(done: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 30
    while not await done():
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.01)


async def refusal_of(journal: Journal, *entries: Entry) -> Code | None:
    try:
        await journal.append(*entries)
    except Refused as refused:
        return refused.code
    return None


def test_entries_are_kept_in_order_numbered_and_dated(harness: Harness) -> None:
    async def play() -> None:
        async with harness.running() as journal:
            for number in range(20):
                await journal.append(arrived(f"c{number}"), allowed(f"c{number}"))
                journal.note(ended(f"c{number}"))

    asyncio.run(play())
    entries = harness.read()
    assert_whole(entries)
    expected = [(f"c{number}", kind) for number in range(20) for kind in ("arrived", "allowed", "ended")]
    assert of_calls(entries) == expected


def test_what_was_written_is_read_back(harness: Harness) -> None:
    async def play() -> None:
        async with harness.running() as journal:
            await journal.append(arrived("c1"), allowed("c1"))
            journal.note(ended("c1"))

    asyncio.run(play())
    entries = [entry for entry in harness.read() if entry.call]
    for entry, given in zip(entries, (arrived("c1"), allowed("c1"), ended("c1")), strict=True):
        given.seq, given.at, given.crc = entry.seq, entry.at, entry.crc
        assert encode_line(entry) == encode_line(given)


def test_a_newline_in_spliced_json_forges_no_line(harness: Harness) -> None:
    forged = b'{"a":1}}\n{"seq":9,"at":"x","kind":"allowed","call":"evil"}'
    pretty = b'{\n  "a": 1\n}'

    async def play() -> None:
        async with harness.running() as journal:
            await journal.append(Entry(kind=Kind.ARRIVED, call="c1", args=msgspec.Raw(forged)))
            await journal.append(Entry(kind=Kind.ARRIVED, call="c2", args=msgspec.Raw(pretty)))

    asyncio.run(play())
    entries = harness.read()
    assert_whole(entries)
    assert of_calls(entries) == [("c1", "arrived"), ("c2", "arrived")]
    first, second = [entry for entry in entries if entry.call]
    assert first.args is not None
    assert msgspec.json.decode(first.args) == forged.decode()
    assert second.args is not None
    assert msgspec.json.decode(second.args) == {"a": 1}


@pytest.mark.parametrize(
    "odd",
    [
        Entry(kind=Kind.DENIED, call="c1", detail="half a \ud800 pair"),
        Entry(kind=Kind.DENIED, call="c1", principal=Who("corp", "\udfff")),
        Entry(kind=Kind.DENIED, call="c1", code=object()),  # type: ignore[arg-type]
    ],
    ids=["surrogate", "surrogate inside", "no JSON"],
)
def test_an_entry_that_is_no_json_is_still_recorded(harness: Harness, odd: Entry) -> None:
    async def play() -> None:
        async with harness.running() as journal:
            await journal.append(odd)
            journal.note(odd)
            await journal.append(allowed("c2"))

    asyncio.run(play())
    entries = harness.read()
    assert_whole(entries)
    assert of_calls(entries) == [("c1", "denied"), ("c1", "denied"), ("c2", "allowed")]


def test_a_failing_disk_refuses_and_keeps_the_notes(harness: Harness) -> None:
    async def play() -> None:
        async with harness.running() as journal:
            await journal.append(arrived("before"), allowed("before"))
            with harness.fault():
                # An interval journal learns of the fault at its next write: a call or two may still pass.
                async def refuses() -> bool:
                    return await refusal_of(journal, Entry(kind=Kind.DENIED, call="probe")) is Code.JOURNAL_UNAVAILABLE

                await until(refuses)
                journal.note(ended("before"))
                assert await refusal_of(journal, arrived("refused"), allowed("refused")) is Code.JOURNAL_UNAVAILABLE

            async def takes() -> bool:
                return await refusal_of(journal, arrived("after"), allowed("after")) is None

            await until(takes)

    asyncio.run(play())
    entries = harness.read()
    assert_whole(entries)
    told = [pair for pair in of_calls(entries) if pair[0] != "probe"]
    assert sorted(told) == sorted(
        [("before", "arrived"), ("before", "allowed"), ("before", "ended"), ("after", "arrived"), ("after", "allowed")]
    )


def test_cancelling_one_caller_leaves_the_others(harness: Harness) -> None:
    async def play() -> None:
        async with harness.running() as journal:

            async def write(call: str) -> str:
                await journal.append(arrived(call))
                return call

            tasks = [asyncio.create_task(write(f"c{number}")) for number in range(10)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert [answer for answer in answers if isinstance(answer, str)][-5:] == ["c1", "c3", "c5", "c7", "c9"] or (
                answers == [f"c{number}" for number in range(10)]  # done before they could be cancelled
            )

    asyncio.run(play())
    assert of_calls(harness.read()) == [(f"c{number}", "arrived") for number in range(10)]
