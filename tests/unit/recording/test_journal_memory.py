"""A million calls through the journal leave no more memory in use than the first two hundred thousand."""

import subprocess
import sys
from pathlib import Path

import pytest

MILLION = Path(__file__).with_name("million.py")


@pytest.mark.slow
def test_memory_is_flat_over_a_million_calls(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, str(MILLION), str(folder), "1000000", "20", "always"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert ran.returncode == 0, ran.stderr
    sampled = [int(line.split()[1]) / 1024 for line in ran.stdout.splitlines()]
    with capsys.disabled():
        print("\n  memory each 50,000 calls: " + ", ".join(f"{mib:.1f}" for mib in sampled) + " MiB", flush=True)
    assert len(sampled) == 20
    assert max(sampled[4:]) - sampled[3] < 8
