"""The harness with its real processes: it notices wrong answers and false claims, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from bench.forms import FORMS
from bench.load import Job, Load
from bench.peers import Peer, preflight
from bench.plain import direct
from bench.processes import BenchError, carriers, children_cpu_s, cpu_s, talker
from bench.whole import WARM
from bench.workload import PATH, TARGET_KEY, make_body, make_request, make_workload, sensitive_answer

from support.gate import free_port, until

FRAMING = b"\r\nContent-Length: %d\r\n" % len(sensitive_answer().body)


@pytest.fixture
def upstream() -> Iterator[int]:
    with talker("bench.upstream") as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


def _load(port: int, framing: bytes = FRAMING, extra_bytes: int = 0, run_s: float = 0.1) -> Load:
    job = Job(
        port=port, request=make_request(PATH, "token", make_body(), "upstream"), framing=framing,
        answer_bytes=len(sensitive_answer().body) + extra_bytes, connections=3, warm_s=0.02, run_s=run_s, pids=[],
    )  # fmt: skip
    with talker("bench.load") as loader:
        said, _ = loader.communicate(msgspec.json.encode(job).decode() + "\n", timeout=30)
    return msgspec.json.decode(said, type=Load)


def test_the_load_generator_counts_right_answers(upstream: int) -> None:
    load = _load(upstream, run_s=2.0)  # none may come within a moment: others may have the processor
    assert load.fault == ""
    assert load.calls > 0
    assert 0 < load.p50_s <= load.p99_s < load.took_s


@pytest.mark.parametrize(("framing", "extra"), [(b"\r\nContent-Length: 7\r\n", 0), (FRAMING, -1)])
def test_the_load_generator_notices_another_answer(upstream: int, framing: bytes, extra: int) -> None:
    assert "another answer" in _load(upstream, framing, extra).fault


def test_the_load_generator_says_that_nobody_listens() -> None:
    assert "cannot connect" in _load(free_port()).fault


def test_a_peer_that_does_not_do_what_its_row_says_is_not_timed(upstream: int) -> None:
    work = make_workload()
    honest = direct(upstream, 0)
    assert preflight(honest, work, upstream).answer_bytes == len(sensitive_answer().body)
    with pytest.raises(BenchError, match="forged token"):
        preflight(honest._replace(judges=True), work, upstream)
    with pytest.raises(BenchError, match="credential"):
        preflight(Peer("liar", "", upstream, [], PATH, judges=False, guards=True), work, upstream)


@pytest.mark.slow
def test_a_run_writes_its_samples_and_removes_its_folder(tmp_path: Path) -> None:
    data, result = tmp_path / "data", tmp_path / "result.json"
    command = [sys.executable, "-m", "bench", "compare", "--quick", "--only", "aiohttp", "--connections", "2"]
    done = subprocess.run(
        [*command, "--json", str(result), "--data", str(data)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    samples = json.loads(result.read_text())["compare"]["samples"]
    assert {sample["peer"] for sample in samples} == {"direct", "aiohttp"}
    assert all(sample["calls"] > 0 and sample["cpu_us"] > 0 for sample in samples)
    assert list(data.iterdir()) == []


@pytest.mark.slow
def test_the_parts_are_those_of_this_tree(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "bench", "parts", "--data", str(tmp_path / "data"), "--json", str(result)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(least > 0 for least in json.loads(result.read_text())["parts_us"].values())


@pytest.mark.parametrize(
    "form", ["whole", *[pytest.param(name, marks=pytest.mark.slow) for name in FORMS if name != "whole"]]
)
def test_a_call_in_one_process_is_carried_to_its_end(tmp_path: Path, form: str) -> None:
    command = [sys.executable, "-m", "bench.whole", str(tmp_path / "whole"), "100", form]
    environ = os.environ | {"BENCH_TARGET_KEY": TARGET_KEY}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ)
    assert done.returncode == 0, done.stderr
    [segment] = (tmp_path / "whole" / "journal").glob("*.jsonl")
    assert segment.read_bytes().count(b'"kind":"allowed"') == WARM + 100


@pytest.mark.slow
def test_a_sampled_gateway_does_all_that_its_row_says(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "bench", "profile", "--quick", "--samples", "--connections", "2"]
    done = subprocess.run(
        [*command, "--data", str(tmp_path / "data"), "--json", str(result)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    profile = json.loads(result.read_text())["profile"]
    assert set(profile) == {"always-2", "interval-2", "clean-2"}
    for found in profile.values():
        assert {"identify", "resolve", "decide", "record", "send", "mask", "deliver"} <= set(found["steps_us"])
        assert any("Gateway.carry" in name for name, _ in found["samples"]["within"])


@pytest.mark.slow
def test_the_cost_of_durability_is_told_for_each_way_to_record(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "bench", "durability", "--quick", "--connections", "4"]
    done = subprocess.run(
        [*command, "--data", str(tmp_path / "data"), "--json", str(result)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    samples = json.loads(result.read_text())["durability"]["samples"]
    assert {sample["peer"] for sample in samples} == {
        "always",
        "interval",
        "always alone",
        "interval alone",
        "memory",
        "nothing",
    }
    assert all(sample["calls"] > 0 for sample in samples)
    assert "4 connections" in done.stdout


@pytest.mark.slow
def test_what_leaves_is_measured_for_every_format_and_destination(tmp_path: Path) -> None:
    from bench.leaving import measure

    results = measure(tmp_path, 500)
    assert all(value > 0 for value in results.values())
    assert {"export parquet, calls/s", "forward syslog, entries/s", "forward otlp, content, calls/s"} <= set(results)


def test_a_run_that_is_stopped_takes_its_children_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "compare", "--only", "aiohttp", "--connections", "2"]
    with subprocess.Popen([*command, "--data", str(tmp_path)], stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert next(line for line in run.stderr if line.startswith("round 1"))
        assert _running_with(tmp_path)
        run.send_signal(signal.SIGTERM)
        run.stderr.read()
        assert run.wait(60) == 143
    assert _running_with(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def _running_with(folder: Path) -> list[str]:
    """The command lines of the harness' children that name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and "bench.aiohttp_proxy" in line:
            found.append(line)
    return found


PARENT = """
import subprocess, sys, time
kept = [subprocess.Popen([sys.executable, "-c", "while True: pass", name]) for name in sys.argv[1:]]
print(*(each.pid for each in kept), flush=True)
time.sleep(60)
"""


def test_what_carries_calls_counts_with_its_gateway_and_the_keeper_beside_it() -> None:
    names = ("funcgate.cli.carry", "funcgate.cli.keep", "funcgate.cli.carry")
    with subprocess.Popen([sys.executable, "-c", PARENT, *names], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        try:
            until(lambda: min(cpu_s([child]) for child in children) > 0.02)
            assert sorted(carriers(parent.pid)) == sorted([children[0], children[2]])
            beside, keeper, all_of_it = children_cpu_s([parent.pid]), cpu_s(children[1:2]), cpu_s([parent.pid])
            assert 0 < beside <= keeper < all_of_it
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
            parent.kill()
