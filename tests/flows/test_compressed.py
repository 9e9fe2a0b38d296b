"""A real gateway whose keeper compresses: every command reads the journal as before, and damage is found in it too."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from support import forked
from support.gate import Gate, until
from support.load import Load


def audit(gate: Gate, *arguments: str) -> tuple[int, Any]:
    """The exit status of ``funcgate audit …``, and what it says as JSON."""
    ran = forked.run("audit", *arguments, "--data-dir", gate.data, "--json")
    said = ran.stdout.strip().splitlines()
    return ran.returncode, json.loads(said[0] if len(said) == 1 else ran.stdout) if said else ran.stderr


@pytest.mark.slow
def test_compressed_segments_are_read_by_every_command(make_gate: Callable[..., Gate], token: str) -> None:
    gate = make_gate(journal={"segment": "64KiB"}).start()
    journal = gate.data / "journal"
    load = Load(gate, token, 4)
    until(lambda: len(list(journal.glob("*.zst"))) >= 2)
    load.stop()
    assert gate.stop() == 0
    first, last = load.answered[0], load.answered[-1]
    assert not (journal / "00000001.jsonl").exists()
    assert audit(gate, "verify")[0] == 0
    for call in (first, last):
        status, shown = audit(gate, "show", call)
        assert status == 0
        assert call in str(shown)
    packed = journal / "00000001.jsonl.zst"
    packed.chmod(0o600)
    content = bytearray(packed.read_bytes())
    content[len(content) // 3] ^= 1
    packed.write_bytes(content)
    assert audit(gate, "verify")[0] == 1
    gate.start()  # an old segment is no reason to refuse calls; verify is there to tell
    assert gate.stop() == 0


@pytest.mark.slow
def test_a_start_after_compression_goes_on_with_the_numbers(make_gate: Callable[..., Gate], token: str) -> None:
    gate = make_gate(journal={"segment": "64KiB"})
    journal = gate.data / "journal"
    for _ in range(2):
        gate.start()
        load = Load(gate, token, 4)
        packed = len(list(journal.glob("*.zst")))
        until(lambda packed=packed: len(list(journal.glob("*.zst"))) > packed)  # type: ignore[misc]
        load.stop()
        assert gate.stop() == 0
    status, verdict = audit(gate, "verify")
    assert status == 0, verdict
