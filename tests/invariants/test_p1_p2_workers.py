"""P1 and P2 with several processes that carry calls, any of which may die at any moment: the target's own ledger against the
journal. A worker that is killed takes its calls with it, and nobody else's; without the process that records, nothing goes on.
"""

import asyncio
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from funcgate.core.entry import Kind
from funcgate.core.ids import MARK_AT, MARK_LETTERS
from funcgate.recording.reader import read_entries
from support.disk import filled, mounted
from support.gate import Gate, until
from support.lines import assert_one_record, funcgate, metrics, one_each, several
from support.load import Load
from support.target import Target

Make = Callable[..., Gate]
GONE_WITHIN_S = 1.0
MARGIN_S = 10.0  # for a machine that is busy with other things


def compare(gate: Gate, target: Target, answered: set[str], *, may_lack: int = 0) -> None:
    """Whatever was forwarded is recorded before, whatever was answered has its answer there, and each call has one end.

    `may_lack`: of the last so many calls that each worker forwarded nothing may be there, or only their beginning.
    """
    kinds: dict[str, list[Kind]] = defaultdict(list)
    damaged: list[str] = []
    entries = list(read_entries(gate.data / "journal", damaged=damaged.append))
    assert damaged == []
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    for entry in entries:
        kinds[entry.call].append(entry.kind)
    sent = [received.header("funcgate-call-id") or "" for received in target.ledger]
    by_worker: dict[str, list[str]] = defaultdict(list)
    for call in sent:
        by_worker[call[MARK_AT : MARK_AT + MARK_LETTERS]].append(call)
    owed = [call for calls in by_worker.values() for call in calls[: max(len(calls) - may_lack, 0)]]
    assert [call for call in owed if kinds[call][:2] != [Kind.ARRIVED, Kind.ALLOWED]] == []
    assert [call for call in answered if Kind.CHUNK not in kinds[call]] == []
    assert [call for call, of in kinds.items() if of.count(Kind.ENDED) != of.count(Kind.ARRIVED)] == []
    assert len(sent) == len(set(sent)), "a call was forwarded twice"


def held(target: Target) -> None:
    """From now on the target answers nothing."""

    async def never(_: Any, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    target.answers["/read"] = never


def outcomes(gate: Gate) -> list[str]:
    return [entry["outcome"] for entry in gate.entries() if entry["kind"] == "ended"]


def test_calls_of_a_killed_worker_end_unknown_and_others_go_on(make_gate: Make, target: Target, token: str) -> None:
    gate = make_gate(listen=several(2)).start()
    first, second = one_each(gate, token)
    held(target)
    with ThreadPoolExecutor(2) as callers:
        lost, kept = callers.submit(first.call), callers.submit(second.call, "/shop/items/7")
        assert kept.result()[0] == 200
        until(lambda: len(target.seen("/read")) == 1)
        call = target.seen("/read")[0].header("funcgate-call-id") or ""
        os.kill(first.worker, signal.SIGKILL)
        assert lost.exception(20) is not None
        until(lambda: "unknown" in outcomes(gate))  # at once, not at the next start
        assert [entry["kind"] for entry in gate.call_entries(call)] == ["arrived", "allowed", "ended"]
        assert gate.ended(call)["outcome"] == "unknown"
        assert second.call("/shop/items/8")[0] == 200
    until(lambda: len(gate.workers()) == 2)
    assert second.worker in gate.workers()
    until(lambda: metrics(gate, "funcgate_open_calls") == 0)
    target.answers.clear()
    lines = one_each(gate, token)
    assert [line.call()[0] for line in lines] == [200, 200]
    for line in (*lines, second):
        line.close()
    assert gate.stop() == 0
    assert_one_record(gate)
    compare(gate, target, set())


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["always", "interval"])
def test_workers_that_are_killed_under_load(make_gate: Make, target: Target, token: str, sync: str) -> None:
    gate = make_gate(listen=several(2), journal={"sync": sync, "segment": "256KiB"}).start()
    load, chance, kills = Load(gate, token, 8), random.Random(20261122), 0
    while kills < 4 or "unknown" not in outcomes(gate):  # one that had no call at that moment leaves none open
        assert kills < 20
        kills += 1
        until(lambda: len(gate.workers()) == 2)
        before = len(load.answered)
        until(lambda before=before: len(load.answered) > before + 200)  # type: ignore[misc]
        os.kill(chance.choice(gate.workers()), signal.SIGKILL)
        before = len(load.answered)
        until(lambda before=before: len(load.answered) > before + 50, 5)  # type: ignore[misc]  # by the other one
    until(lambda: len(gate.workers()) == 2)
    load.stop()
    assert gate.stop() == 0
    if sync == "always":
        compare(gate, target, set(load.answered))
    else:  # what a worker made in its last 5 ms: at most five calls of each of the 8, when all of them were at that one
        compare(gate, target, set(), may_lack=40)
    funcgate(gate, "audit", "verify")


def test_no_worker_outlives_the_process_that_records(make_gate: Make, target: Target, token: str) -> None:
    """By kill -9 of that process alone, under load, again and again."""
    gate = make_gate(listen=several(2), journal={"segment": "256KiB"})
    answered: set[str] = set()
    chance = random.Random(20261122)
    for _ in range(5):
        gate.start()
        workers = gate.workers()
        assert len(workers) == 2
        load = Load(gate, token, 8)
        until(lambda load=load: len(load.answered) > 50)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.2))
        gate.kill()
        since = time.monotonic()
        until(lambda workers=workers: not any(alive(each) for each in workers))  # type: ignore[misc]
        assert time.monotonic() - since < GONE_WITHIN_S + MARGIN_S
        load.stop()
        answered |= set(load.answered)
    gate.start()
    assert gate.stop() == 0
    compare(gate, target, answered)
    funcgate(gate, "audit", "verify")


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_worker_forwards_nothing_while_nobody_records(make_gate: Make, target: Target, token: str) -> None:
    """`always`: the process that records is stopped, not killed. Calls wait at their workers; none of them gets through."""
    gate = make_gate(listen=several(2)).start()
    lines = one_each(gate, token)
    assert [line.call()[0] for line in lines] == [200, 200]
    assert gate.process is not None
    before = len(target.ledger)
    gate.process.send_signal(signal.SIGSTOP)
    with ThreadPoolExecutor(2) as callers:
        calls = [callers.submit(line.call) for line in lines]
        time.sleep(1.0)  # what would go on would have gone on by now
        assert len(target.ledger) == before
        gate.process.send_signal(signal.SIGCONT)
        assert [call.result()[0] for call in calls] == [200, 200]
    for line in lines:
        line.close()
    assert gate.stop() == 0
    compare(gate, target, set())


def test_a_full_disk_refuses_at_every_worker(make_gate: Make, target: Target, token: str, tmp_path: Path) -> None:
    with mounted(tmp_path / "small") as disk:
        small = {"data_dir": str(disk / "data"), "journal": {"keep_free": "4MiB", "segment": "64KiB"}}
        gate = make_gate(listen=several(2), **small)
        gate.data = disk / "data"
        gate.start()
        lines = one_each(gate, token)
        assert [line.code() for line in lines] == ["", ""]
        with filled(disk):
            for line in lines:
                until(lambda line=line: line.code() == "journal.unavailable")  # type: ignore[misc]
            before = len(target.ledger)
            assert [line.code() for line in lines * 20] == ["journal.unavailable"] * 40
            assert len(target.ledger) == before
        for line in lines:
            until(lambda line=line: line.code() == "")  # type: ignore[misc]
        for line in lines:
            line.close()
        assert gate.stop() == 0
        compare(gate, target, set())
        denied = [entry for entry in gate.entries() if entry.get("code") == "journal.unavailable"]
        assert len({entry["call"] for entry in denied}) >= 42  # they went to the reserve
        funcgate(gate, "audit", "verify")


def test_callers_wait_while_the_process_that_records_is_behind(make_gate: Make, target: Target, token: str) -> None:
    """`interval`: a worker that is faster than the process that records makes its callers wait; it does not refuse them."""
    gate = make_gate(listen=several(2), journal={"sync": "interval", "queue": 400}).start()
    load = Load(gate, token, 8)
    until(lambda: len(load.answered) > 100)
    assert gate.process is not None
    for _ in range(3):
        before = len(load.answered)
        gate.process.send_signal(signal.SIGSTOP)
        time.sleep(1.0)  # long enough for each worker's part of the queue
        stood = len(load.answered)
        assert stood - before < 400
        gate.process.send_signal(signal.SIGCONT)
        until(lambda stood=stood: len(load.answered) > stood + 100)  # type: ignore[misc]
    load.stop()
    assert gate.stop() == 0
    assert not load.refused
    compare(gate, target, set(load.answered))
