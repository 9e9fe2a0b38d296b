"""All chores at once beside one gateway, and a keeper that is killed at any moment: what was recorded is proved and whole."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from funcgate.recording.proof import latest_size
from support import forked
from support.gate import Gate, until
from support.receivers import Hook

SECRET = b"a secret of thirty-two bytes, yes"


def get(gate: Gate, token: str, count: int) -> None:
    with httpx.Client(headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=30) as client:
        for _ in range(count):
            assert client.get(gate.url + "/shop/read").status_code == 200


def lag(gate: Gate) -> dict[str, float]:
    lines = gate.get_console("/metrics")[1].splitlines()
    found = [line.split() for line in lines if line.startswith("funcgate_keeper_lag_entries{")]
    return {name.split('"')[1]: float(value) for name, value in found}


def keeper_of(gate: Gate) -> int:
    """The keeper's process; 0 while there is none."""
    assert gate.process is not None
    for task in Path(f"/proc/{gate.process.pid}/task").iterdir():
        with suppress(OSError):
            for number in (task / "children").read_text().split():
                if b"funcgate.cli.keep" in Path(f"/proc/{number}/cmdline").read_bytes():
                    return int(number)
    return 0


def verified(gate: Gate) -> None:
    done = forked.run("audit", "verify", "--config", gate.file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_chores_at_once(
    make_gate: Callable[..., Gate], token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = Hook(SECRET)
    monkeypatch.setenv("RECORD_KEY", os.urandom(32).hex())
    monkeypatch.setenv("HOOK_SECRET", SECRET.decode())
    gate = make_gate(
        journal={"encryption": {"key": "env:RECORD_KEY"}, "segment": "64KiB"},
        proof={"every": "100ms", "copies": [f"file:{tmp_path}/copies"]},
        retention=[{"targets": ["shop"], "content": "1h", "decisions": "1d"}],
        forward=[
            {"name": "siem", "type": "webhook", "url": f"http://127.0.0.1:{hook.port}/", "secret": "env:HOOK_SECRET"}
        ],
    ).start()
    get(gate, token, 60)
    chores = {"proof", "archive", "index", "retention", "forward-siem"}
    until(lambda: set(lag(gate)) == chores and not any(lag(gate).values()), 120)
    assert gate.logged("the keeper has trouble") == []
    assert gate.stop() == 0
    last = gate.entries()[-1]
    assert last["change"]["what"] == "stop"
    assert latest_size(gate.data) == last["seq"]
    assert len(hook.ids()) == len(set(hook.ids()))
    assert set(hook.ids()) > {entry["call"] for entry in gate.entries() if entry["call"]}
    assert (tmp_path / "copies" / "latest").exists()
    verified(gate)
    hook.stop()


def test_another_key_refuses_to_start(
    make_gate: Callable[..., Gate], monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("RECORD_KEY", os.urandom(32).hex())
    gate = make_gate(journal={"encryption": {"key": "env:RECORD_KEY"}}).start()
    get(gate, token, 1)
    assert gate.stop() == 0
    monkeypatch.setenv("RECORD_KEY", os.urandom(32).hex())
    before = gate.entries()
    with pytest.raises(AssertionError, match="key"):
        gate.start()
    assert gate.process is not None
    assert gate.process.returncode == 1
    assert gate.entries() == before


@contextmanager
def traffic(gate: Gate, token: str) -> Iterator[None]:
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            get(gate, token, 20)

    calling = threading.Thread(target=call)
    calling.start()
    try:
        yield
    finally:
        done.set()
        calling.join()


@pytest.mark.slow
def test_a_keeper_killed_at_random_moments(make_gate: Callable[..., Gate], token: str) -> None:
    """Under traffic, in the middle of whatever it does: the tree, the index and the archive are whole in the end.

    Twice in each of four lives of the gateway, since the pauses between two keepers grow; the second time it has no successor.
    """
    gate = make_gate(journal={"segment": "64KiB"}, proof={"every": "100ms"})
    for _ in range(4):
        gate.start()
        with traffic(gate, token):
            for _ in range(2):
                keeper = until(lambda: keeper_of(gate))
                time.sleep(random.random())
                os.kill(keeper, signal.SIGKILL)
                until(lambda: keeper_of(gate) == 0)
        assert gate.stop() == 0
    gate.start()
    until(lambda: lag(gate) and not any(lag(gate).values()), 60)
    assert gate.stop() == 0
    assert latest_size(gate.data) == max(entry["seq"] for entry in gate.entries())  # most segments are compressed
    verified(gate)
