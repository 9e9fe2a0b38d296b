"""`funcgate audit replay` over a real journal: a run with a stream, two runs compared, names of several principals."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from funcgate.cli.audit import replay
from funcgate.core.entry import Decided, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.stores.journal_files import FileJournal

Funcgate = Callable[..., Any]
T0 = 1_790_000_000.0
RUN, OTHER, EVE = "nightly~00000000000000aa", "manual~00000000000000bb", "nightly~00000000000000cc"


class Story:
    """Writes calls into a journal, whose clock it sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = T0

    async def write(self) -> None:
        journal = FileJournal(self.folder, min_free_bytes=0, now=lambda: self.now)
        await journal.start()
        await self._pay(journal, RUN, 5, "allow")
        await self._stream(journal, RUN)
        await self._pay(journal, RUN, 70, "deny")
        await self._pay(journal, OTHER, 5, "allow")
        await self._pay(journal, OTHER, 71, "allow")
        await self._pay(journal, EVE, 1, "allow", who="eve\x1b[2J")
        await journal.close()

    async def _pay(self, journal: FileJournal, session: str, amount: int, decision: str, who: str = "ada") -> None:
        self.now += 1
        of: dict[str, Any] = {"call": new_id(self.now), "session": session, "function": "shop.pay"}
        arrived = Entry(
            kind=Kind.ARRIVED, principal=Who("corp", who), target="shop", args=Raw(b'{"amount":%d}' % amount),
            reason="because\n+1.000 9 allowed by nobody", client="10.0.0.1:5", **of,
        )  # fmt: skip
        if decision == "deny":
            refused = Entry(
                kind=Kind.DENIED, code="policy.denied", detail="too much", policy=Decided(("limit",), "v"), **of
            )
            await journal.append(arrived, refused)
            journal.note(Entry(kind=Kind.ENDED, outcome="refused", code="policy.denied", **of))
            return
        await journal.append(arrived, Entry(kind=Kind.ALLOWED, policy=Decided(("small",), "v"), **of))
        self.now += 0.25
        await journal.append(Entry(kind=Kind.CHUNK, body=Raw(b'{"ok":true}'), body_bytes=11, status=200, **of))
        ended = Entry(kind=Kind.ENDED, outcome="complete", status=200, timing_us={"send": 250_000}, body_bytes=11, **of)
        await journal.append(ended)

    async def _stream(self, journal: FileJournal, session: str) -> None:
        self.now += 1
        of: dict[str, Any] = {"call": new_id(self.now), "session": session, "function": "shop.watch"}
        await journal.append(
            Entry(kind=Kind.ARRIVED, principal=Who("corp", "ada"), target="shop", **of),
            Entry(kind=Kind.ALLOWED, policy=Decided(("small",), "v"), **of),
        )
        for piece, text in enumerate(("data: one\n\n", "data: [EMAIL]\n\x1b]0;owned\x07\n", "x" * 1000), 1):
            self.now += 2
            chunk = Entry(kind=Kind.CHUNK, body=text, piece=piece, masked={"email": 1} if piece == 2 else {}, **of)
            await journal.append(chunk)
        await journal.append(Entry(kind=Kind.ENDED, outcome="complete", status=200, masked={"email": 1}, **of))


@pytest.fixture
def story(folder: Path) -> None:
    (folder / "funcgate-data").mkdir(mode=0o700)
    asyncio.run(Story(folder / "funcgate-data" / "journal").write())


@pytest.mark.usefixtures("story")
def test_a_run_beat_by_beat(funcgate: Funcgate) -> None:
    ran = funcgate("audit", "replay", RUN, "--no-wait")
    assert ran.status == 0
    heading, *rows = ran.out.splitlines()
    assert "corp/ada" in heading
    assert "3 calls" in heading
    said = [row.split(maxsplit=2) for row in rows if row.startswith("    +")]
    assert [row[:2] for row in said] == [
        ["+0.000", "1"], ["+0.000", "1"], ["+0.250", "1"], ["+0.250", "1"],
        ["+1.250", "2"], ["+1.250", "2"], ["+3.250", "2"], ["+5.250", "2"], ["+7.250", "2"], ["+7.250", "2"],
        ["+8.250", "3"], ["+8.250", "3"], ["+8.250", "3"],
    ]  # fmt: skip
    texts = [row[2] for row in said]
    assert texts[:4] == [
        'shop.pay {"amount":5}', "allowed by small", 'answer: {"ok":true}',
        "complete 200 · 11 bytes · 250.0 ms (send 250.0)",
    ]  # fmt: skip
    assert texts[7] == "piece 2: data: [EMAIL]⏎�]0;owned�⏎ · masked email 1"
    assert texts[8].endswith("… (+600 characters; --full shows them)")
    assert texts[11] == "denied policy.denied by limit: too much"
    assert "reason given: because⏎+1.000 9 allowed by nobody" in ran.out  # within its line: no beat of its own
    assert "x" * 1000 in funcgate("audit", "replay", RUN, "--no-wait", "--full").out


@pytest.mark.usefixtures("story")
def test_the_pace_is_the_recorded_one(funcgate: Funcgate, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now, slept = 100.0, 0.0

        def monotonic(self) -> float:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now += seconds
            self.slept += seconds

    for speed, wanted in (("1", 8.25), ("4", 8.25 / 4)):
        clock = Clock()
        monkeypatch.setattr(replay, "time", clock)
        assert funcgate("audit", "replay", RUN, "--speed", speed).status == 0
        assert clock.slept == pytest.approx(wanted)


@pytest.mark.usefixtures("story")
def test_ctrl_c_ends_it_cleanly(funcgate: Funcgate, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        if seconds > 0.5:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    ran = funcgate("audit", "replay", RUN)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.count("\n    +") == 4


@pytest.mark.usefixtures("story")
def test_as_json(funcgate: Funcgate) -> None:
    found = funcgate("audit", "replay", OTHER, "--json").json
    assert found["session"]["id"] == OTHER
    assert [(call["number"], call["offset_s"], call["record"]["function"]) for call in found["calls"]] == [
        (1, 0.0, "shop.pay"), (2, 1.25, "shop.pay"),
    ]  # fmt: skip


@pytest.mark.usefixtures("story")
def test_a_name_is_enough_while_one_principal_has_such_a_run(funcgate: Funcgate) -> None:
    assert OTHER in funcgate("audit", "replay", "manual", "--no-wait").out
    ran = funcgate("audit", "replay", "nightly", "--no-wait")
    assert ran.status == 2
    assert {RUN, EVE} <= set(ran.err.replace("(", " ").split())
    assert "\x1b" not in ran.err + funcgate("audit", "replay", EVE, "--no-wait").out
    ran = funcgate("audit", "replay", "night", "--no-wait")
    assert (ran.status, "has no session night" in ran.err) == (1, True)


@pytest.mark.usefixtures("story")
def test_two_runs_compared(funcgate: Funcgate) -> None:
    ran = funcgate("audit", "replay", RUN, "--diff", OTHER)
    assert ran.status == 0
    rows = [row.split() for row in ran.out.splitlines()[2:]]
    assert rows[:3] == [["1", "1", "shop.pay"], ["-", "2", "shop.watch"], ["~", "3", "2", "shop.pay"]]
    assert ["args.amount:", "70", "→", "71"] in rows
    assert ["decision:", "deny", "→", "allow"] in rows
    assert ["answer:", "(absent)", "→", '{"ok":true}'] in rows
    found = funcgate("audit", "replay", RUN, "--diff", OTHER, "--json").json
    assert (found["same"], len(found["calls"])) == (False, 3)
    assert "the same calls" in funcgate("audit", "replay", OTHER, "--diff", "manual").out
